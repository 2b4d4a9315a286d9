"""Pictures of a run of events: what the camera saw and the filters left, when each pixel last changed, paths, and passages.

Everything is drawn from the run's own folder. Colours are those of Okabe and Ito (2008), which colour-blind people tell apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bitspike.event_examples import MOST_WINDOW
from bitspike.event_keeper import PARTICLES, WINDOW
from bitspike.event_runs import EventRun
from bitspike.plots import INK, Picture, draw_each
from bitspike.printed import plural
from pipeline.blocks import DOUBLET, Events
from pipeline.chain import INPUT
from pipeline.errors import BitspikeError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BRIGHTER, DARKER = (0.0, 0.447, 0.698), (0.835, 0.369, 0.0)
FRAME_BRIGHTER, FRAME_DARKER = 255, 125  # grey values of published frames of particles
FULL = 0.25  # events per pixel, on average, that make a good picture
ROUND_US = [m * 10**e for e in range(2, 6) for m in (1, 2, 5)]
MOST_COLUMNS, TILE_COLUMNS = 900, 320  # of pictures of the sensor; more pixels than that are drawn together
MOST_DOTS, CLOSER, MONTAGE, MONTAGE_COLUMNS = 20_000, 40, 12, 4
FRAMES = 8  # real ones that are shown beside


def draw_events(run: EventRun, folder: Path) -> dict[str, Path]:
    """Draw every picture that there is something to draw for.

    Parameters
    ----------
    run : EventRun
        A finished run.
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
    return draw_each(run, folder, _pictures(run))


def drawn_events(run: EventRun, folder: Path) -> dict[str, Path]:
    """Return the pictures that `draw_events` has drawn before."""
    drawn = {title: folder / f"{name}.png" for name, title, _ in _pictures(run)}
    return {title: path for title, path in drawn.items() if path.is_file()}


def _pictures(run: EventRun) -> list[Picture[EventRun]]:
    pictures: list[Picture[EventRun]] = [
        ("events", "Events where there were most", event_image),
        ("surface", "Time surface", time_surface),
    ]
    if PARTICLES in run.manifest.outputs:
        pictures += [
            ("tracks", "Particles over time", tracks),
            ("montage", "Passages, a millisecond each", montage),
        ]
    return pictures


def draw_beside(run: EventRun, frames: Path, folder: Path) -> dict[str, Path]:
    """Draw passages of a run beside frames of another camera, as `draw_events` does.

    Parameters
    ----------
    run : EventRun
        A run with particles.
    frames : pathlib.Path
        Folder of PNGs: brighter 255, darker 125, nothing 0.
    folder : pathlib.Path
        Where the picture goes.

    Raises
    ------
    BitspikeError
        The run has no passages, or the folder no frames.
    """
    files = sorted(frames.glob("*.png")) if frames.is_dir() else []
    if not files:
        raise BitspikeError(f"{frames}: holds no frames; give a folder of PNG files")
    if not run.passages:
        raise BitspikeError(f"{run.path}: has no passages to show; replay with --chain cytometry")

    def draw(run: EventRun, figure: Figure) -> bool:
        above, below = np.asarray(figure.subfigures(2, 1, height_ratios=[2.4, 2.1]))
        _montage(run, above, 2 * MONTAGE_COLUMNS)
        above.suptitle(f"this run: {run.name}", x=0.01, ha="left", fontsize=11)
        figure.set_size_inches(12.5, 10.5)
        chosen = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, min(FRAMES, len(files))).round().astype(int))]
        _frames(below, chosen)
        below.suptitle(f"frames of {frames.name}", x=0.01, ha="left", fontsize=11)
        return True

    return draw_each(run, folder, [("beside", f"Passages beside frames of {frames.name}", draw)])


def event_image(run: EventRun, figure: Figure) -> bool:
    """Draw the events of the busiest stretch, as they came and as the filters left them: brighter, darker, and both."""
    seen, kept = run.window("seen"), run.window("kept")
    if not len(seen):
        return False
    start, stop = shown_us(seen, run)
    before, after = (run.manifest.outputs[WINDOW][name] for name in ("seen", "kept"))
    named = [("as recorded" if before == INPUT else f"after {before}", seen), (f"after {after}", kept)][: 1 + (before != after)]
    for axes, (name, events) in zip(_panels(run, figure, len(named)), named, strict=True):
        inside = between(events, start, stop)
        axes.imshow(two_colours(inside, run.pictured.height, run.pictured.width), extent=_extent(run), interpolation="nearest")
        axes.set_title(f"{name}: {plural(len(inside), 'event')} in {(stop - start) / 1000:g} ms, from {_since(run, start)}")
        axes.set(xlabel="x, pixels", ylabel="y, pixels")
    keys = [("brighter", BRIGHTER), ("darker", DARKER), ("both", tuple(a * b for a, b in zip(BRIGHTER, DARKER, strict=True)))]
    _legend(figure, keys)
    return True


def time_surface(run: EventRun, figure: Figure) -> bool:
    """Draw when each pixel last had an event that the filters kept, in the busiest stretch."""
    kept = run.window("kept")
    if not len(kept):
        return False
    start, stop = shown_us(kept, run)
    (axes,) = _panels(run, figure, 1)
    events = between(kept, start, stop)
    age = np.full((run.pictured.height, run.pictured.width), np.nan)
    age[events.y, events.x] = (stop - np.asarray(events.t_us)) / 1000  # of several events at a pixel, the last one stays
    image = axes.imshow(age, cmap="viridis", vmin=0, vmax=(stop - start) / 1000, interpolation="nearest")
    axes.set(
        xlabel="x, pixels", ylabel="y, pixels", title=f"last events in {(stop - start) / 1000:g} ms, from {_since(run, start)}"
    )
    figure.colorbar(image, ax=axes, label="age of the pixel's last event, ms", shrink=0.8, pad=0.02)
    return True


def tracks(run: EventRun, figure: Figure) -> bool:
    """Draw x and y of every particle over time, and some of the passages closely, from their first to their last event."""
    from matplotlib.collections import LineCollection

    found, begin = run.particles, run.manifest.recording["start"]
    if not len(found):
        return False
    figure.set_size_inches(11.5, 5.2)
    panels = figure.subplots(2, 2, width_ratios=[3, 2], sharey="row", sharex="col")
    step = -(-len(found) // MOST_DOTS)
    middle = (np.asarray(found.first_us[::step]) + np.asarray(found.last_us[::step])) / 2e6 - begin / 1e6
    double = (np.asarray(found.flags[::step]) & DOUBLET) != 0
    path = np.asarray(found.path[::step]) / 16
    first = max(0, len(found) // 2 - CLOSER // 2)
    near = slice(first, first + CLOSER)
    flagged = (np.asarray(found.flags[near]) & DOUBLET) != 0
    lasted = (np.asarray(found.last_us[near]) - np.asarray(found.first_us[near])) / 1000
    ms = np.stack([np.zeros(len(lasted)), lasted], axis=1)
    for row, (name, most) in enumerate((("x", run.pictured.width), ("y", run.pictured.height))):
        wide, close = panels[row]
        places = (path[:, row] + path[:, row + 2]) / 2
        for mask, look in ((~double, _single()), (double, _double())):
            wide.scatter(middle[mask], places[mask], s=14, **look)
        ends = np.stack([found.path[near, row], found.path[near, row + 2]], axis=1) / 16
        colours = [DARKER if one else BRIGHTER for one in flagged]
        close.add_collection(LineCollection(list(np.stack([ms, ends], axis=2)), colors=colours, linewidths=0.8, alpha=0.8))
        for mask, look in ((~flagged, _single()), (flagged, _double())):
            close.scatter(ms[mask, 1], ends[mask, 1], s=18, **look)
        wide.set(ylabel=f"{name}, pixels", ylim=(most, 0) if name == "y" else (0, most))
    panels[1][0].set(xlabel="time, s", xlim=(0, run.seconds))
    panels[1][1].set(xlabel="time from the passage's first event, ms")
    thinned = f", 1 of {step} drawn" if step > 1 else ""
    panels[0][0].set_title(f"{plural(run.manifest.counts['particles'], 'particle')}{thinned}: middle of each path")
    panels[0][1].set_title(f"{len(flagged)} paths, from first to last event (marked)")
    double_key = [f"flagged as doublet ({run.manifest.counts['doublets']:,})"]
    panels[0][0].legend(["one particle", *double_key], loc="upper right", fontsize=8, framealpha=0.9)
    return True


def montage(run: EventRun, figure: Figure) -> bool:
    """Draw passages from all over the recording as frames: brighter white, darker grey, the last event of a pixel decides."""
    if not run.passages:
        return False
    rows = _montage(run, figure, MONTAGE)
    shape = crop(run)
    figure.set_size_inches(11.6, 0.3 + rows * (0.35 + 2.75 * min(2.0, shape[1] / shape[0])))
    return True


def shown_us(events: Events, run: EventRun) -> tuple[int, int]:
    """Return the part of the busiest stretch to draw, ``[start, stop)`` us: a round length with not too many events a pixel."""
    start, stop = events.start, min(events.stop, run.manifest.recording["stop"])
    if len(events) >= MOST_WINDOW:
        stop = min(stop, int(events.t_us[-1]))  # what came then is not all there
    enough = FULL * run.pictured.width * run.pictured.height
    fitting = [us for us in ROUND_US if start + us < stop and np.searchsorted(events.t_us, start + us) <= enough]
    if np.searchsorted(events.t_us, stop) <= enough or not fitting:
        return start, stop
    return start, start + fitting[-1]


def between(events: Events, start: int, stop: int) -> Events:
    """Return the events of ``[start, stop)`` us."""
    first, last = np.searchsorted(events.t_us, [start, stop]).tolist()
    return Events(start, stop, *(np.asarray(c[first:last]) for c in (events.t_us, events.x, events.y, events.p)))


def two_colours(events: Events, height: int, width: int) -> np.ndarray:
    """Return events on white: float64 [rows, columns, 3], the more events of a kind, the fuller its colour; both darken.

    Several pixels of a wide sensor are one of the picture.
    """
    by = -(-width // MOST_COLUMNS)
    rows, columns = -(-height // by), -(-width // by)
    image = np.ones((rows, columns, 3))
    for p, colour in ((1, BRIGHTER), (0, DARKER)):
        mine = events.p == p
        count = np.bincount((events.y[mine] // by).astype(np.int64) * columns + events.x[mine] // by, minlength=rows * columns)
        count = count.reshape(rows, columns, 1)
        most = max(1.0, float(np.percentile(count[count > 0], 99)) if mine.any() else 1.0)
        share = np.where(count > 0, 0.4 + 0.6 * np.minimum(count / most, 1), 0)
        image *= 1 - share * (1 - np.array(colour))
    return image


def frame(events: Events, height: int, width: int, by: int = 1) -> np.ndarray:
    """Return events as published frames have them, uint8 [rows, columns]: 255 brighter, 125 darker, the last one decides.

    `by` pixels along each axis are one of the frame.
    """
    image = np.zeros((-(-height // by), -(-width // by)), np.uint8)
    image[events.y // by, events.x // by] = np.where(events.p == 1, FRAME_BRIGHTER, FRAME_DARKER)
    return image


def crop(run: EventRun) -> tuple[int, int]:
    """Return columns and rows of a passage's picture: room for the largest of them, or the whole sensor where one fills that."""
    box = np.asarray(run.particles.box)[list(run.passages)]
    sizes = (box[:, 2:] - box[:, :2] + 1).max(axis=0) * 1.25
    return tuple(most if size > 0.7 * most else int(size) for size, most in zip(sizes, _size(run), strict=True))  # type: ignore[return-value]


def _size(run: EventRun) -> tuple[int, int]:
    return run.pictured.width, run.pictured.height


def _montage(run: EventRun, figure: Any, most: int) -> int:
    """Draw up to `most` passages; return how many rows of them."""
    found, columns = run.particles, MONTAGE_COLUMNS
    numbers = list(run.passages)
    chosen = [numbers[i] for i in np.unique(np.linspace(0, len(numbers) - 1, min(most, len(numbers))).round().astype(int))]
    rows = -(-len(chosen) // columns)
    grid = figure.subplots(rows, columns, squeeze=False)
    width, height = crop(run)
    for axes, number in zip(grid.flat, chosen, strict=False):
        left, top, right, bottom = found.box[number].tolist()
        x = min(max((left + right - width) // 2, 0), run.pictured.width - width)
        y = min(max((top + bottom - height) // 2, 0), run.pictured.height - height)
        by = -(-width // TILE_COLUMNS)
        image = frame(run.passages[number], run.pictured.height, run.pictured.width, by)
        axes.imshow(image, cmap="gray", vmin=0, vmax=255, extent=_extent(run, by), interpolation="nearest")
        axes.set(xlim=(x - 0.5, x + width - 0.5), ylim=(y + height - 0.5, y - 0.5))
        lasted = (int(found.last_us[number]) - int(found.first_us[number])) / 1000
        double = bool(found.flags[number] & DOUBLET)
        events = int(found.events[number].sum())
        axes.set_title(
            f"particle {number}{', doublet' if double else ''}\n{lasted:.2f} ms, {events:,} events",
            fontsize=8,
            color=DARKER if double else INK,
        )
        _plain(axes)
    for axes in list(grid.flat)[len(chosen) :]:
        axes.set_visible(False)
    figure.supxlabel("x, pixels", fontsize=9)
    figure.supylabel("y, pixels", fontsize=9)
    return rows


def _frames(figure: Any, files: list[Path]) -> None:
    from matplotlib.image import imread

    grid = figure.subplots(-(-len(files) // MONTAGE_COLUMNS), MONTAGE_COLUMNS, squeeze=False)
    for axes, file in zip(grid.flat, files, strict=False):
        axes.imshow(imread(file), cmap="gray", interpolation="antialiased")
        axes.set_title(file.stem, fontsize=8)
        _plain(axes)
    for axes in list(grid.flat)[len(files) :]:
        axes.set_visible(False)
    figure.supxlabel("x, pixels", fontsize=9)
    figure.supylabel("y, pixels", fontsize=9)


def _plain(axes: Axes) -> None:
    axes.tick_params(labelsize=7)
    axes.locator_params(nbins=4)


def _panels(run: EventRun, figure: Figure, count: int) -> list[Axes]:
    """Return axes for `count` pictures of the sensor, beside each other, or below where it is wide."""
    width, height = _size(run)
    inches = float(np.clip(width / 110, 4.5, 8.0))
    below = width > 640
    rows, columns = (count, 1) if below else (1, count)
    figure.set_size_inches(columns * inches + 0.6, rows * (inches * height / width + 0.55) + 0.4)
    return list(figure.subplots(rows, columns, squeeze=False).flat)


def _extent(run: EventRun, by: int = 0) -> tuple[float, float, float, float]:
    """Return where a picture's edges are in pixels, of which `by` along each axis are one of the picture."""
    width, height = _size(run)
    by = by or -(-width // MOST_COLUMNS)
    return -0.5, -(-width // by) * by - 0.5, -(-height // by) * by - 0.5, -0.5


def _legend(figure: Figure, keys: list[tuple[str, Any]]) -> None:
    from matplotlib.patches import Patch

    figure.legend(
        handles=[Patch(color=colour, label=name) for name, colour in keys], loc="outside lower center", ncols=3, frameon=False
    )


def _since(run: EventRun, us: int) -> str:
    return f"{(us - run.manifest.recording['start']) / 1e6:.4f} s on"


def _single() -> dict[str, Any]:
    return {"color": BRIGHTER, "marker": "o", "linewidths": 0, "alpha": 0.8}


def _double() -> dict[str, Any]:
    return {"color": DARKER, "marker": "x", "linewidths": 1.2}
