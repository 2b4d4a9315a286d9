"""Pictures of a run: traces with spikes marked, waveforms of the units, raster, features. Each is a PNG, drawn without a display.

Everything is drawn from the run's own folder, so it can be done at any time and on any machine.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from bitspike.printed import plural
from bitspike.runs import Run, Unit
from bitspike.writing import write_files
from pipeline.blocks import SampleFormat
from pipeline.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

R = TypeVar("R", bound=Run)
Picture: TypeAlias = "tuple[str, str, Callable[[R, Figure], bool]]"
MOST_TRACES, MOST_UNITS, MOST_FEATURES, MOST_DOTS = 16, 48, 12, 100_000
GREY, INK = "#9aa0a6", "#202124"
COLOURS = (
    "#1f77b4",
    "#d62728",
    "#2ca02c",
    "#9467bd",
    "#ff7f0e",
    "#17becf",
    "#e377c2",
    "#8c564b",
    "#bcbd22",
    "#005f73",
    "#ae2012",
    "#5a189a",
)
STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "figure.dpi": 110,
    "savefig.bbox": "tight",
}
TAP_S, TAP_CHANNELS, SPECTRUM_S = 10.0, 8, 300.0  # of a saved output: drawn as a trace, and looked at for its spectrum


def draw_all(run: Run, folder: Path) -> dict[str, Path]:
    """Draw every picture that there is something to draw for.

    Parameters
    ----------
    run : Run
        A finished run with spikes.
    folder : pathlib.Path
        Where the PNGs go.

    Returns
    -------
    dict of str to pathlib.Path
        What each picture shows, and its file.

    Raises
    ------
    MissingExtraError
        The ``plot`` extra is not installed.
    """
    pictures: list[Picture[Run]] = []
    if "spikes" in run.manifest.outputs:
        pictures += [
            ("traces", "Traces with spikes marked", traces),
            ("waveforms", "Waveforms of the units", waveforms),
            ("raster", "Raster", raster),
            ("features", "Features: principal components of the waveforms", features),
        ]
    slow = [label for label, about in run.taps.items() if about["kind"] == "samples"]
    pictures += [(f"tap-{label}", f"Saved output: {label}", partial(tap, label=label)) for label in slow]
    return draw_each(run, folder, pictures)


def draw_each(run: R, folder: Path, pictures: list[Picture[R]]) -> dict[str, Path]:
    """Draw pictures, each by its name, its title and what draws it and tells whether there was anything to draw."""
    need_matplotlib()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    titles, drawn = {}, {}
    with mpl.rc_context(STYLE):
        for name, title, draw in pictures:
            figure = Figure(layout="constrained")
            if draw(run, figure):
                png = io.BytesIO()
                figure.savefig(png, format="png")
                titles[f"{name}.png"], drawn[f"{name}.png"] = title, png.getvalue()
    return {titles[name]: path for name, path in write_files(folder, drawn).items()}


def need_matplotlib() -> None:
    """Refuse to go on without the ``plot`` extra."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingExtraError("plotting", "plot") from None


def colour(unit: int) -> str:
    """Return a unit's colour in every picture; grey for spikes that no unit explains."""
    return GREY if unit < 0 else COLOURS[unit % len(COLOURS)]


def traces(run: Run, figure: Figure) -> bool:
    """Draw the traces that the run keeps, the channels with most spikes, and mark each spike in its unit's colour."""
    stretches = run.manifest.outputs["traces"]["stretches"]
    if not stretches:
        return False
    first, frames = stretches[0]
    data, spikes, rate = run.array("traces")[:frames], run.spikes, run.rate_hz
    near = np.flatnonzero((spikes.sample >= first) & (spikes.sample < first + frames))
    busy = np.bincount(spikes.channel[near], minlength=data.shape[1])
    shown = np.sort(np.argsort(-busy, kind="stable")[:MOST_TRACES])
    scale, unit_name = run.signal.scale
    data = data[:, shown] * scale
    step = max(float(np.percentile(np.abs(data), 99.9)) * 1.6, float(np.ptp(data, axis=0).max()) * 0.5, 1e-9)
    figure.set_size_inches(11, 1.2 + 0.42 * max(4, len(shown)))
    axes = figure.subplots()
    seconds = (first + np.arange(frames)) / rate
    for row, channel in enumerate(shown):
        axes.plot(seconds, data[:, row] - row * step, color=INK, linewidth=0.5)
        mine = near[spikes.channel[near] == channel]
        at = spikes.sample[mine]
        heights = data[at - first, row] - row * step
        axes.scatter(at / rate, heights, s=14, c=[colour(int(u)) for u in spikes.unit[mine]], zorder=3, linewidths=0)
    axes.set_yticks([-row * step for row in range(len(shown))], [str(c) for c in shown])
    axes.set(xlabel="time, s", ylabel="channel", xlim=(seconds[0], seconds[-1]))
    _scale_bar(axes, seconds[-1], step, unit_name)
    more = f", {len(shown)} of {run.signal.channels} channels" if len(shown) < run.signal.channels else ""
    axes.set_title(f"{run.manifest.outputs['spikes']['found_in']}{more}; spikes in the colour of their unit, grey where unsorted")
    return True


def _scale_bar(axes: Axes, right: float, step: float, unit_name: str) -> None:
    """Draw a vertical bar of a round length beside the traces."""
    length = 10.0 ** np.floor(np.log10(step))
    length *= max(m for m in (1, 2, 5) if m * length <= step)
    axes.plot([right, right], [0, length], color=INK, linewidth=2.5, clip_on=False, solid_capstyle="butt", transform=_beside(axes))
    axes.annotate(
        f"{length:g} {unit_name}",
        (1.0, length / 2),
        (14, 0),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        va="center",
        fontsize=8,
        annotation_clip=False,
    )


def _beside(axes: Axes) -> Any:
    from matplotlib.transforms import blended_transform_factory, offset_copy

    base = blended_transform_factory(axes.transData, axes.transData)
    return offset_copy(base, fig=axes.get_figure(root=True), x=8, units="points")


def waveforms(run: Run, figure: Figure) -> bool:
    """Draw example spikes and the mean of each unit, on its main channel."""
    from matplotlib.collections import LineCollection

    units = sorted(run.units, key=lambda unit: -unit.spikes)[:MOST_UNITS]
    if not units:
        return False
    columns = min(6, max(2, int(np.ceil(np.sqrt(len(units))))))
    rows = -(-len(units) // columns)
    figure.set_size_inches(1.9 * columns + 0.6, 1.6 * rows + 0.4)
    grid = figure.subplots(rows, columns, sharex=True, squeeze=False)
    scale, unit_name = run.signal.scale
    examples, owner, near = run.array("snippets/waveform"), run.array("snippets/unit"), run.array("snippets/channels")
    ms = (np.arange(examples.shape[1]) - run.before) / run.rate_hz * 1000
    for axes, unit in zip(grid.flat, sorted(units, key=lambda u: (u.channel, u.unit)), strict=False):
        column = np.flatnonzero(near[unit.unit] == unit.channel)
        if len(column):
            drawn = examples[owner == unit.unit][:, :, column[0]] * scale
            lines = np.stack([np.broadcast_to(ms, drawn.shape), drawn], axis=2)
            axes.add_collection(LineCollection(list(lines), colors=colour(unit.unit), alpha=0.12, linewidths=0.5))
        axes.plot(ms, run.templates[unit.unit, :, unit.channel] * scale, color=INK, linewidth=1.4)
        axes.axhline(0, color=GREY, linewidth=0.4, zorder=0)
        snr = f", SNR {unit.snr:.1f}" if unit.snr is not None else ""
        axes.set_title(
            f"unit {unit.unit}, channel {unit.channel}\n{unit.rate_hz:.2f} Hz{snr}", fontsize=7.5, color=colour(unit.unit)
        )
        axes.tick_params(labelsize=7)
    for axes in list(grid.flat)[len(units) :]:
        axes.set_visible(False)
    figure.supxlabel("time from the peak, ms", fontsize=9)
    figure.supylabel(unit_name, fontsize=9)
    return True


def raster(run: Run, figure: Figure) -> bool:
    """Draw every spike: a row for each unit, by channel, and one for what is unsorted; without units, a row for each channel."""
    spikes, units = run.spikes, sorted(run.units, key=lambda unit: (unit.channel, unit.unit))
    if not len(spikes):
        return False
    step = -(-len(spikes) // MOST_DOTS)
    seconds = spikes.sample[::step] / run.rate_hz
    figure.set_size_inches(11, 1.4 + 0.14 * max(10, len(units) if units else run.signal.channels))
    axes = figure.subplots()
    if units:
        rows = {unit.unit: row for row, unit in enumerate(units)}
        place = np.array([rows.get(int(u), -1.5) for u in spikes.unit[::step]])
        axes.set_ylabel("unit, by channel")
        axes.set_yticks([-1.5, *range(0, len(units), max(1, len(units) // 30))])
        axes.set_yticklabels(
            ["unsorted", *[str(units[i].unit) for i in range(0, len(units), max(1, len(units) // 30))]], fontsize=7
        )
    else:
        place = spikes.channel[::step].astype(float)
        axes.set_ylabel("channel")
    colours = [colour(int(u)) for u in spikes.unit[::step]]
    axes.scatter(seconds, place, s=26, c=colours, marker="|", linewidths=0.5)
    begin = run.manifest.recording["start"] / run.manifest.recording["rate_hz"]
    axes.set(xlabel="time, s", xlim=(begin, begin + run.seconds), ylim=(place.min() - 1, place.max() + 1))
    thinned = f" (1 of {step} drawn)" if step > 1 else ""
    axes.set_title(f"{len(spikes):,} spikes{thinned}, {len(units)} units")
    return True


def features(run: Run, figure: Figure) -> bool:
    """Draw the first two principal components of the example spikes, for sets of units that are seen on the same channels."""
    if not run.units:
        return False
    examples, owner, near = run.array("snippets/waveform"), run.array("snippets/unit"), run.array("snippets/channels")
    sets: dict[tuple[int, ...], list[Unit]] = {}
    for unit in run.units:
        sets.setdefault(tuple(near[unit.unit].tolist()), []).append(unit)
    chosen = [(place, them) for place, them in sets.items() if np.isin(owner, [u.unit for u in them]).sum() > 2]
    chosen = sorted(chosen, key=lambda item: (-len(item[1]), item[0]))[:MOST_FEATURES]
    if not chosen:
        return False
    scale, unit_name = run.signal.scale
    columns = min(4, len(chosen))
    rows = -(-len(chosen) // columns)
    figure.set_size_inches(2.9 * columns + 0.5, 2.7 * rows + 0.4)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, (place, them) in zip(grid.flat, sorted(chosen), strict=False):
        mine = np.isin(owner, [unit.unit for unit in them])
        flat = examples[mine].reshape(int(mine.sum()), -1) * scale
        points = principal(flat)
        for unit in them:
            own = owner[mine] == unit.unit
            axes.scatter(*points[own].T, s=7, color=colour(unit.unit), alpha=0.7, linewidths=0, label=f"unit {unit.unit}")
        channels = [c for c in place if c >= 0]
        axes.set_title(f"channel {channels[0]}" if len(channels) == 1 else f"channels {', '.join(map(str, channels))}", fontsize=8)
        axes.set(xlabel=f"component 1, {unit_name}", ylabel=f"component 2, {unit_name}")
        axes.locator_params(nbins=5)
        axes.tick_params(labelsize=7)
        axes.legend(fontsize=6.5, frameon=False, markerscale=1.6, handletextpad=0.1)
    for axes in list(grid.flat)[len(chosen) :]:
        axes.set_visible(False)
    return True


def principal(rows: np.ndarray) -> np.ndarray:
    """Return the first two principal components of `rows` [n, width]: float64 [n, 2]."""
    centred = rows - rows.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    return np.asarray(centred @ axes[:, :-3:-1])


def tap(run: Run, figure: Figure, label: str) -> bool:
    """Draw a saved output: ten seconds from its middle, and the power spectral densities (Welch) of up to eight channels."""
    from scipy.signal import welch

    about, data = run.taps[label], run.tap(label)
    if len(data) < 16:
        return False
    names = ("rate_hz", "channels", "uv_per_count", "bits", "input_counts")
    rate, (scale, unit_name) = about["rate_hz"], SampleFormat(**{name: about[name] for name in names}).scale
    shown = np.unique(np.linspace(0, data.shape[1] - 1, min(TAP_CHANNELS, data.shape[1])).astype(int))
    first = max(0, len(data) // 2 - round(TAP_S * rate / 2))
    piece = data[first : first + round(TAP_S * rate)][:, shown] * scale
    figure.set_size_inches(11, 2.2 + 0.45 * len(shown))
    left, right = figure.subplots(1, 2, width_ratios=[3, 1])
    step = max(float(np.percentile(np.abs(piece - np.median(piece, axis=0)), 99.5)) * 2.2, 1e-9)
    seconds = (about["stretches"][0][0] + first + np.arange(len(piece))) / rate
    for row, channel in enumerate(shown):
        left.plot(seconds, piece[:, row] - np.median(piece[:, row]) - row * step, color=colour(row), linewidth=0.7)
        longest = data[: round(SPECTRUM_S * rate), channel].astype(np.float64) * scale
        frequency, power = welch(longest, rate, nperseg=min(len(longest), round(2 * rate)))
        right.loglog(frequency[1:], power[1:], color=colour(row), linewidth=0.9)
    left.set_yticks([-row * step for row in range(len(shown))], [str(c) for c in shown])
    left.set(xlabel="time, s", ylabel="channel", xlim=(seconds[0], seconds[-1]))
    left.set_title(f"{label}: {plural(about['channels'], 'channel')} at {rate:g} Hz")
    _scale_bar(left, seconds[-1], step, unit_name)
    right.set(xlabel="frequency, Hz", ylabel=f"{unit_name}²/Hz")
    right.set_title("power spectral density")
    return True
