"""Simulated electrode recordings with ground truth, made by SpikeInterface's generator and streamed to disk.

Cells of random place and shape around the electrodes fire as Poisson processes with a refractory period; their waveforms fall off
with distance and arrive later there; the noise is white and Gaussian (``spikeinterface.generate_ground_truth_recording``; Buccino
et al. 2020, eLife 9:e61834, describe the framework). Spikes fall between the samples: each is one of several waveforms
shifted by fractions of a sample. The truth is tagged at the frame of the waveform's trough on the cell's best channel.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.blocks import SampleFormat
from pipeline.errors import BitspikeError, MissingExtraError
from sensors.convert import Conversion
from sensors.folder import read_folder, write_folder
from sensors.sites import LAYOUTS, electrode_sites
from sensors.source import Recording
from sensors.stated import Stated
from sensors.truth import Truth

BEFORE_MS, AFTER_MS = 1.0, 3.0
REFRACTORY_MS = 4.0
NOISE_SECONDS = 10.0  # of noise from which its level is measured


@dataclass(frozen=True)
class NeuralSimulation:
    """What is to be simulated.

    Attributes
    ----------
    channels : int
        Number of electrodes.
    rate_hz : float
        Frames per second.
    seconds : float
        Length.
    units : int
        Number of cells; 0 means one for every two channels, and at least three.
    noise_uv : float
        Standard deviation of the noise.
    seed : int
        The same seed and parameters give the same bytes.
    layout : str
        "probe", "tetrodes" or "wires"; see `sensors.sites.electrode_sites`.
    firing_hz : tuple of float
        Lowest and highest mean firing rate of a cell.
    amplitude_uv : tuple of float
        Smallest and largest amplitude of a cell on its best channel; (0, 0) leaves what follows from its distance.
    jitter : int
        Number of sub-sample positions of a spike; 1 puts all spikes on whole samples.
    uv_per_count : float
        Microvolts of one count.
    """

    channels: int = 64
    rate_hz: float = 24000.0
    seconds: float = 60.0
    units: int = 0
    noise_uv: float = 8.0
    seed: int = 0
    layout: str = "probe"
    firing_hz: tuple[float, float] = (2.0, 10.0)
    amplitude_uv: tuple[float, float] = (0.0, 0.0)
    jitter: int = 4
    uv_per_count: float = 0.195

    def __post_init__(self) -> None:
        checks = (
            ("channels", 1 <= self.channels <= 4096, "choose 1 to 4096"),
            ("rate_hz", 8000 <= self.rate_hz <= 100_000, "choose 8000 to 100000"),
            ("seconds", 0.1 <= self.seconds <= 1e6, "choose 0.1 to 1000000"),
            ("units", 0 <= self.units <= 10_000, "choose 1 to 10000, or 0 for one for every two channels"),
            ("noise_uv", 0 < self.noise_uv <= 1000, "choose more than 0 and at most 1000"),
            ("seed", 0 <= self.seed < 2**32, "choose 0 to 4294967295"),
            ("layout", self.layout in LAYOUTS, f"choose one of {', '.join(LAYOUTS)}"),
            ("firing_hz", 0 < self.firing_hz[0] <= self.firing_hz[1] <= 200, "choose two rates, 0 to 200, the lower one first"),
            ("amplitude_uv", 0 <= self.amplitude_uv[0] <= self.amplitude_uv[1] <= 5000, "choose two, 0 to 5000, the smaller first"),
            ("jitter", 1 <= self.jitter <= 16, "choose 1 to 16"),
            ("uv_per_count", 0 < self.uv_per_count <= 100, "choose more than 0 and at most 100"),
        )
        for name, good, cure in checks:
            if not good:
                raise BitspikeError(f"{name}: {getattr(self, name)} cannot be simulated; {cure}")

    @property
    def cells(self) -> int:
        """Number of cells, with the default worked out."""
        return self.units or max(3, self.channels // 2)


def simulate_neural(
    path: str | Path,
    *,
    overwrite: bool = False,
    progress: Callable[[float], None] | None = None,
    **parameters: Any,
) -> Recording:
    """Write a ground-truth recording, and open it.

    Parameters
    ----------
    path : str or pathlib.Path
        Folder to make; it appears when all is written (see `sensors.folder`).
    overwrite : bool
        Replace an earlier recording of bitspike's.
    progress : callable, optional
        Called with the fraction done, 0 to 1.
    **parameters
        Fields of `NeuralSimulation`.

    Returns
    -------
    Recording
        With its truth.

    Raises
    ------
    BitspikeError
        A parameter is out of range, or the folder cannot be written.
    MissingExtraError
        The ``ephys`` extra is not installed.
    """
    try:
        plan = NeuralSimulation(**parameters)
    except TypeError as error:
        raise BitspikeError(
            f"simulate neural: {error}; parameters are: {', '.join(NeuralSimulation.__dataclass_fields__)}"
        ) from None
    frames = round(plan.seconds * plan.rate_hz)
    traces, truth, version = _generate(plan, frames)
    sites, groups = electrode_sites(plan.layout, plan.channels)
    signal = SampleFormat(plan.rate_hz, plan.channels, plan.uv_per_count, 16, sites, groups)
    about = {
        "generator": f"spikeinterface {version}, generate_ground_truth_recording",
        "seed": plan.seed,
        "parameters": asdict(plan),
    }
    folder = write_folder(
        Path(path),
        signal,
        _counts(Path(path), traces, frames, plan),
        truth,
        about,
        overwrite,
        (lambda done: progress(done / frames)) if progress is not None else None,
    )
    return read_folder(folder, Stated())


def _counts(path: Path, traces: Any, frames: int, plan: NeuralSimulation) -> Iterator[np.ndarray]:
    convert = Conversion(path, 0, 1 / plan.uv_per_count, 16, "choose a larger uv_per_count")
    step = round(plan.rate_hz)
    for first in range(0, frames, step):
        yield convert(traces.get_traces(start_frame=first, end_frame=min(first + step, frames)), first)


def _generate(plan: NeuralSimulation, frames: int) -> tuple[Any, Truth, str]:
    """Return SpikeInterface's lazy recording, the truth, and SpikeInterface's version."""
    try:
        import spikeinterface
        from probeinterface import Probe
        from spikeinterface.core import generate_ground_truth_recording
        from spikeinterface.core.generate import generate_sorting, generate_templates
    except ImportError as error:
        raise MissingExtraError("simulating electrodes", "ephys") from error
    sites, groups = electrode_sites(plan.layout, plan.channels)
    duration = (frames + 0.5) / plan.rate_hz  # the generator rounds down
    sorting = generate_sorting(
        num_units=plan.cells,
        sampling_frequency=plan.rate_hz,
        durations=[duration],
        firing_rates=plan.firing_hz,
        refractory_period_ms=REFRACTORY_MS,
        seed=plan.seed,
    )
    templates = generate_templates(
        np.array(sites),
        _places(plan, np.array(sites), np.array(groups)),
        plan.rate_hz,
        BEFORE_MS,
        AFTER_MS,
        upsample_factor=plan.jitter,
        seed=plan.seed,
    )
    rng = np.random.default_rng([plan.seed, 1])
    if plan.amplitude_uv[1] > 0:
        templates *= (rng.uniform(*plan.amplitude_uv, plan.cells) / -templates.min(axis=(1, 2, 3)))[:, None, None, None]
    spikes = sorting.to_spike_vector()
    shifts = rng.integers(0, plan.jitter, len(spikes))
    probe = Probe(ndim=2)
    probe.set_contacts(positions=np.array(sites), shapes="circle", shape_params={"radius": 6})
    probe.set_device_channel_indices(np.arange(plan.channels))
    noise = {"noise_levels": plan.noise_uv, "strategy": "on_the_fly"}
    traces, _ = generate_ground_truth_recording(
        durations=[duration],
        sampling_frequency=plan.rate_hz,
        sorting=sorting,
        probe=probe,
        templates=templates,
        ms_before=BEFORE_MS,
        ms_after=AFTER_MS,
        upsample_vector=shifts,
        noise_kwargs=noise,
        seed=plan.seed,
    )
    if traces.get_num_frames() != frames:
        raise BitspikeError(
            f"seconds: {plan.seconds} gives {traces.get_num_frames()} frames instead of {frames}; choose another length"
        )
    levels = _noise_levels(plan, min(frames, round(NOISE_SECONDS * plan.rate_hz)), noise)
    truth = _tag(templates, spikes, shifts, round(BEFORE_MS * plan.rate_hz / 1000), levels, frames, plan.rate_hz)
    return traces, truth, spikeinterface.__version__


def _places(plan: NeuralSimulation, sites: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the cells' places, float [cells, 3] in micrometres, spread evenly over the groups."""
    from spikeinterface.core.generate import generate_unit_locations

    names = np.unique(groups)
    places = np.empty((plan.cells, 3))
    for i, group in enumerate(names):
        mine = np.arange(i, plan.cells, len(names))
        if not len(mine):
            continue
        around = sites[groups == group]
        area = float(np.prod(np.ptp(around, axis=0) + 20.0))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where there is no room for the distance, the closest it came to is good enough
            places[mine] = generate_unit_locations(
                len(mine),
                around,
                margin_um=10.0,
                minimum_z=5.0,
                maximum_z=50.0,
                minimum_distance=min(20.0, 0.5 * (area / len(mine)) ** 0.5),
                seed=plan.seed + i,
            )
    return places


def _noise_levels(plan: NeuralSimulation, frames: int, noise: dict[str, Any]) -> np.ndarray:
    """Return 1.4826 MAD of the noise alone in microvolts, float64 [channels]: the generator's own, by the same seed."""
    from spikeinterface.generation.noise_tools import NoiseGeneratorRecording

    alone = NoiseGeneratorRecording(
        num_channels=plan.channels,
        sampling_frequency=plan.rate_hz,
        durations=[(frames + 0.5) / plan.rate_hz],
        seed=plan.seed,
        noise_block_size=int(plan.rate_hz),
        **noise,
    )
    levels = np.empty(plan.channels)
    x = alone.get_traces(end_frame=frames)
    for c in range(plan.channels):
        column = x[:, c].astype(np.float64)
        levels[c] = np.median(np.abs(column - np.median(column))) * 1.4826
    return levels


def _tag(
    templates: np.ndarray, spikes: np.ndarray, shifts: np.ndarray, before: int, noise_uv: np.ndarray, frames: int, rate_hz: float
) -> Truth:
    """Tag every spike at its trough; `templates` is [units, width, channels, shifts], and `before` is where a spike's index is."""
    units = len(templates)
    mean = templates.mean(axis=3)
    best = mean.min(axis=1).argmin(axis=1)
    rows = np.arange(units)
    trough = templates[rows, :, best].argmin(axis=1) - before  # [units, shifts]
    unit = spikes["unit_index"].astype(np.int32)
    sample = spikes["sample_index"].astype(np.int64) + trough[unit, shifts]
    inside = (sample >= 0) & (sample < frames)
    order = np.lexsort((unit[inside], sample[inside]))
    sample, unit = sample[inside][order], unit[inside][order]
    return Truth(
        sample=sample,
        unit=unit,
        peak_channel=best.astype(np.int32),
        snr=-mean[rows, :, best].min(axis=1) / noise_uv[best],
        firing_hz=np.bincount(unit, minlength=units) * rate_hz / frames,
    )
