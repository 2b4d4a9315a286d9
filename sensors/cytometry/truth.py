"""The truth of a simulated event recording: every particle that passed, of which class, when, where and how fast."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import BitspikeError


@dataclass(frozen=True)
class ParticleTruth:
    """True particles, by the time at which they pass the beam's axis. One entry per particle in each column.

    A passage lasts while the beam, where the particle is on its way, is brighter than 1/e^2 of what it is at the brightest point of
    that way; it may begin before the recording or end after it. On the sensor, the middle of the particle's rings moves in a
    straight line, at `x_px` + `speed_px_us` (t - `centre_us`) and at `y_px`.

    Attributes
    ----------
    kind : numpy.ndarray
        int32: index of the class.
    diameter_um, index : numpy.ndarray
        float64: the sphere's diameter and refractive index.
    enter_us, exit_us : numpy.ndarray
        int64: first and last microsecond of the passage.
    centre_us : numpy.ndarray
        float64: when it passes the beam's axis, ascending.
    speed_m_s : numpy.ndarray
        float64: speed in the channel.
    y_um, z_um : numpy.ndarray
        float64: place across the channel's width and depth, from its middle.
    x_px, y_px : numpy.ndarray
        float64: middle of the rings on the sensor at `centre_us`.
    speed_px_us : numpy.ndarray
        float64: speed of the rings on the sensor, along x.
    overlap : numpy.ndarray
        bool: another particle's passage overlaps this one's in time.
    on, off : numpy.ndarray
        int64: brighter and darker events of the recording that this particle made (where several lit a pixel, the strongest).
    """

    kind: np.ndarray
    diameter_um: np.ndarray
    index: np.ndarray
    enter_us: np.ndarray
    exit_us: np.ndarray
    centre_us: np.ndarray
    speed_m_s: np.ndarray
    y_um: np.ndarray
    z_um: np.ndarray
    x_px: np.ndarray
    y_px: np.ndarray
    speed_px_us: np.ndarray
    overlap: np.ndarray
    on: np.ndarray
    off: np.ndarray

    def __len__(self) -> int:
        return len(self.kind)

    def place(self, particle: int, t_us: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return x and y of the middle of a particle's rings at some times, float64 in pixels."""
        x = self.x_px[particle] + self.speed_px_us[particle] * (np.asarray(t_us, np.float64) - self.centre_us[particle])
        return x, np.full_like(x, self.y_px[particle])

    def write(self, path: Path) -> None:
        """Write an ``.npz`` whose bytes depend on nothing but the values."""
        with path.open("wb") as file:
            np.savez(file, **{name: getattr(self, name) for name in COLUMNS})


COLUMNS = {
    "kind": np.int32,
    "diameter_um": np.float64,
    "index": np.float64,
    "enter_us": np.int64,
    "exit_us": np.int64,
    "centre_us": np.float64,
    "speed_m_s": np.float64,
    "y_um": np.float64,
    "z_um": np.float64,
    "x_px": np.float64,
    "y_px": np.float64,
    "speed_px_us": np.float64,
    "overlap": np.bool_,
    "on": np.int64,
    "off": np.int64,
}


def overlapping(enter_us: np.ndarray, exit_us: np.ndarray) -> np.ndarray:
    """Return which of the passages ``[enter, exit]`` overlap another: bool [passages]. They need not be in order."""
    order = np.argsort(enter_us, kind="stable")
    first, last = enter_us[order], exit_us[order]
    found = np.zeros(len(first), bool)
    if len(first) > 1:
        latest = np.maximum.accumulate(last)[:-1]
        found[1:] = first[1:] <= latest
        found[:-1] |= first[1:] <= last[:-1]  # sorted by entry: whoever overlaps a later one overlaps the next
    out = np.empty_like(found)
    out[order] = found
    return out


def read_particle_truth(path: str | Path) -> ParticleTruth:
    """Read what `ParticleTruth.write` wrote.

    Raises
    ------
    BitspikeError
        The file is missing, damaged, or its columns do not belong together.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            missing = [name for name in COLUMNS if name not in stored]
            columns = {} if missing else {name: stored[name].astype(dtype, casting="same_kind") for name, dtype in COLUMNS.items()}
    except FileNotFoundError:
        raise BitspikeError(f"{path}: no such file") from None
    except Exception as error:  # numpy raises many kinds on damaged archives
        raise BitspikeError(f"{path}: not a readable particle truth ({error}); simulate it again") from error
    if missing:
        raise BitspikeError(f"{path}: no column {missing[0]}; a particle truth holds {', '.join(COLUMNS)}")
    truth = ParticleTruth(**columns)
    for name in COLUMNS:
        if getattr(truth, name).shape != (len(truth),):
            raise BitspikeError(f"{path}: {name} has shape {getattr(truth, name).shape} for {len(truth)} particles")
    if np.any(truth.exit_us < truth.enter_us):
        raise BitspikeError(f"{path}: exit_us is before enter_us")
    if np.any(np.diff(truth.centre_us) < 0):
        raise BitspikeError(f"{path}: centre_us is not ascending")
    return truth
