"""A benchmark of bitspike's own, laid on the true spike trains of the wave_clus files: a re-synthesis.

The trains (onsets, units, overlaps) are those of the simulated benchmark; shapes and noise are not, as the traces may not be to
hand. The recipe is the published one (Quian Quiroga, Nadasdy and Ben-Shaul 2004, Neural Computation 16:1661, section 3.1):
background noise from spikes of random shape and amplitude, one for every two samples, scaled to a standard deviation that the
file's name states relative to the spikes' amplitude of one; on it, three shapes of peak one at the onsets, at a resolution finer
than a sample. Files named Difficult have shapes closer to each other than those named Easy; files that differ in noise only share
their shapes. A little white noise stands for the amplifier. Results on it are not to be put beside published figures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.blocks import SampleFormat
from pipeline.errors import BitspikeError
from pipeline.fixed import kernel
from sensors.folder import read_folder, write_folder
from sensors.source import Recording
from sensors.spike_shapes import distance, random_shapes, sampled
from sensors.stated import Stated
from sensors.truth import Truth

LABEL = "bitspike re-synthesis on the spike trains of wave_clus; not comparable with published figures"
RATE_HZ, FRAMES, UNITS = 24000.0, 1_440_000, 3
UV_OF_ONE, UV_PER_COUNT = 100.0, 0.1
PHASES = 4  # positions between two samples: the original was drawn at 96 kHz
LIBRARY, NEGATIVE_SHARE = 96, 0.15  # shapes of the background
CANDIDATES, TRIPLETS = 48, 2000
CLOSENESS = {
    "Easy1": 0.97,
    "Easy2": 0.85,
    "Difficult1": 0.5,
    "Difficult2": 0.3,
}  # quantile of the smallest distance of three shapes
EVENNESS = 2.0  # the largest distance of three is at most so many times the smallest
WHITE_SHARE = 0.2  # of the noise's standard deviation
NAME = re.compile(r"C_(Easy1|Easy2|Difficult1|Difficult2)_noise0(\d+)")


@dataclass(frozen=True)
class SpikeTrains:
    """The true spikes of one file: onset int64 (from 0), unit int32 (from 0), overlap bool, all [spikes], onsets ascending."""

    name: str
    onset: np.ndarray
    unit: np.ndarray
    overlap: np.ndarray


def read_trains(path: str | Path) -> dict[str, SpikeTrains]:
    """Read the true spike trains of the wave_clus files.

    Parameters
    ----------
    path : str or pathlib.Path
        ``.npz`` with ``<file>__onset_sample_1based``, ``<file>__unit`` (1 to 3) and ``<file>__overlap`` for each file.

    Returns
    -------
    dict of str to SpikeTrains
        By the file's name, in order.

    Raises
    ------
    BitspikeError
        The file is missing, damaged, or its columns do not belong together.
    """
    path = Path(path)
    trains = {}
    try:
        with np.load(path, allow_pickle=False) as stored:
            names = sorted({key.split("__")[0] for key in stored.files if key.endswith("__onset_sample_1based")})
            for name in names:
                onset = stored[f"{name}__onset_sample_1based"].astype(np.int64) - 1
                unit = stored[f"{name}__unit"].astype(np.int32) - 1
                trains[name] = SpikeTrains(name, onset, unit, stored[f"{name}__overlap"] > 0)
    except FileNotFoundError:
        raise BitspikeError(f"{path}: no such file") from None
    except KeyError as error:
        raise BitspikeError(
            f"{path}: no column {error.args[0]}; it needs onset_sample_1based, unit and overlap of each file"
        ) from None
    except Exception as error:  # numpy raises many kinds on damaged archives
        raise BitspikeError(f"{path}: not a readable .npz file ({error})") from error
    if not trains:
        raise BitspikeError(f"{path}: holds no spike trains, no column ends in __onset_sample_1based")
    for one in trains.values():
        fits = len(one.onset) == len(one.unit) == len(one.overlap) > 0
        if not (fits and one.unit.min() >= 0 and one.unit.max() < UNITS and np.all(np.diff(one.onset) >= 0) and one.onset[0] >= 0):
            raise BitspikeError(f"{path}: the columns of {one.name} do not belong together")
        if one.onset[-1] >= FRAMES:
            raise BitspikeError(f"{path}: {one.name} has onsets beyond its {FRAMES} samples")
    return trains


def write_waveclus_benchmark(
    trains: str | Path,
    folder: str | Path,
    names: list[str] | None = None,
    seed: int = 0,
    *,
    overwrite: bool = False,
    progress: Callable[[float], None] | None = None,
) -> list[Recording]:
    """Write re-syntheses as recordings with truth, ``<folder>/resynthesis_<name>``.

    Parameters
    ----------
    trains : str or pathlib.Path
        See `read_trains`.
    folder : str or pathlib.Path
        Where they go.
    names : list of str, optional
        Which files; all by default.
    seed : int
        The same seed gives the same bytes.
    overwrite : bool
        Replace earlier ones.
    progress : callable, optional
        Called with the fraction done, 0 to 1.

    Returns
    -------
    list of Recording
        In the order of `names`.

    Raises
    ------
    BitspikeError
        There is no such file, its name says no difficulty and noise, or the folder cannot be written.
    """
    known = read_trains(trains)
    chosen = list(known) if names is None else names
    recordings = []
    for i, name in enumerate(chosen):
        if name not in known:
            raise BitspikeError(f"{trains}: has no file {name!r}; it has {', '.join(known)}")
        recordings.append(resynthesise(known[name], Path(folder) / f"resynthesis_{name}", seed, overwrite=overwrite))
        if progress is not None:
            progress((i + 1) / len(chosen))
    return recordings


def resynthesise(trains: SpikeTrains, path: str | Path, seed: int = 0, *, overwrite: bool = False) -> Recording:
    """Write one re-synthesis; see `write_waveclus_benchmark`."""
    family, level = difficulty(trains.name)
    number = list(CLOSENESS).index(family)
    shapes, apart = _three_shapes(CLOSENESS[family], np.random.default_rng([seed, number]))
    rng = np.random.default_rng([seed, number, round(level * 1000)])
    phase = rng.integers(0, PHASES, len(trains.onset))
    noise = _noise(FRAMES, level, rng)
    trace = noise.copy()
    _lay(trace, trains.onset, trains.unit * PHASES + phase, np.ones(len(phase)), shapes.reshape(UNITS * PHASES, -1))
    scale = UV_OF_ONE / UV_PER_COUNT
    about = {
        "label": LABEL,
        "trains": trains.name,
        "seed": seed,
        "parameters": {
            "noise": level,
            "white_share": WHITE_SHARE,
            "phases": PHASES,
            "uv_of_one": UV_OF_ONE,
            "distances": [round(d, 4) for d in apart],
        },
    }
    signal = SampleFormat(RATE_HZ, 1, UV_PER_COUNT)
    counts = np.rint(trace * scale)
    if np.abs(counts).max() > 32767:
        raise BitspikeError(f"{trains.name}: spikes pile up beyond 16 bits; choose another seed")
    truth = _tag(trains, shapes, phase, noise)
    write_folder(Path(path), signal, _pieces(counts.astype(np.int16)[:, None]), truth, about, overwrite)
    return read_folder(Path(path), Stated())


def difficulty(name: str) -> tuple[str, float]:
    """Return what a file's name says: "Easy1", "Easy2", "Difficult1" or "Difficult2", and the noise relative to the spikes.

    Raises
    ------
    BitspikeError
        It says neither.
    """
    found = NAME.fullmatch(name)
    if found is None:
        raise BitspikeError(f"{name}: is no name of a wave_clus file, such as C_Easy1_noise005")
    return found[1], float(f"0.{found[2]}")


def _pieces(counts: np.ndarray) -> Iterator[np.ndarray]:
    for first in range(0, len(counts), 1 << 20):
        yield counts[first : first + (1 << 20)]


def _three_shapes(quantile: float, rng: np.random.Generator) -> tuple[np.ndarray, list[float]]:
    """Return three shapes of positive peak [3, phases, samples] and their distances, chosen by these among many threes."""
    drawn = sampled(random_shapes(2 * CANDIDATES, 0.0, rng), RATE_HZ, PHASES)
    candidates = drawn[drawn[:, 0].max(axis=1) > -drawn[:, 0].min(axis=1)][:CANDIDATES]
    apart = np.zeros((CANDIDATES, CANDIDATES))
    for a in range(CANDIDATES):
        for b in range(a):
            apart[a, b] = apart[b, a] = distance(candidates[a, 0], candidates[b, 0])
    threes = np.array([rng.choice(CANDIDATES, UNITS, replace=False) for _ in range(TRIPLETS)])
    pairs = np.stack([apart[threes[:, 0], threes[:, 1]], apart[threes[:, 0], threes[:, 2]], apart[threes[:, 1], threes[:, 2]]], 1)
    even = np.flatnonzero(pairs.max(axis=1) <= EVENNESS * pairs.min(axis=1))
    order = even[np.argsort(pairs[even].min(axis=1), kind="stable")]
    best = order[round(quantile * (len(order) - 1))]
    return candidates[threes[best]], pairs[best].tolist()


def _noise(frames: int, level: float, rng: np.random.Generator) -> np.ndarray:
    """Return noise of standard deviation `level`: many distant spikes, and a share of white noise."""
    library = sampled(random_shapes(LIBRARY, NEGATIVE_SHARE, rng), RATE_HZ, PHASES)
    background = np.zeros(frames)
    count, width = frames // 2, library.shape[2]
    which = rng.integers(0, LIBRARY * PHASES, count)
    _lay(background, rng.integers(-width, frames, count), which, rng.uniform(0, 1, count), library.reshape(LIBRARY * PHASES, -1))
    background -= background.mean()
    background *= level * (1 - WHITE_SHARE**2) ** 0.5 / background.std()
    return background + rng.normal(0, level * WHITE_SHARE, frames)


@kernel
def _lay(trace, onset, which, amplitude, waveforms):  # type: ignore[no-untyped-def]
    """Add ``amplitude * waveforms[which]`` to a trace at every onset; what reaches beyond the ends is left out."""
    frames, width = len(trace), waveforms.shape[1]
    for i in range(len(onset)):
        for k in range(max(0, -onset[i]), min(width, frames - onset[i])):
            trace[onset[i] + k] += amplitude[i] * waveforms[which[i], k]


def _tag(trains: SpikeTrains, shapes: np.ndarray, phase: np.ndarray, noise: np.ndarray) -> Truth:
    """Tag every spike at the sample of its own peak."""
    sample = trains.onset + np.abs(shapes).argmax(axis=2)[trains.unit, phase]
    kept = sample < len(noise)
    order = np.lexsort((trains.unit[kept], sample[kept]))
    level = 1.4826 * np.median(np.abs(noise - np.median(noise)))
    return Truth(
        sample=sample[kept][order],
        unit=trains.unit[kept][order],
        peak_channel=np.zeros(UNITS, np.int32),
        snr=np.abs(shapes.mean(axis=1)).max(axis=1) / level,
        firing_hz=np.bincount(trains.unit[kept], minlength=UNITS) * RATE_HZ / len(noise),
        overlap=trains.overlap[kept][order],
    )
