"""The simulated cytometer beside a real one: the same figures of both.

The real figures were taken from public excerpts of the recordings of Abreu et al. (2023, doi 10.5281/zenodo.7804830): spheres of 16
and 20 um before a Prophesee Gen3 sensor of 640 x 480 pixels. Their events were first reduced as the authors of the recordings do:
the sensor is divided into 32 x 24 cells; each cell counts the events of either polarity in an accumulator that loses a tenth in
each microsecond, and puts out one event and starts anew when it has come to 3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import njit

from pipeline.blocks import EventFormat, Events
from sensors.cytometry.truth import ParticleTruth

COLUMNS, ROWS = 32, 24
KEPT, NEEDED = 0.9, 3.0
FEWEST = 50  # reduced events of a passage that is measured
MIDDLE = (2.0, 98.0)  # percentiles between which the events of a passage lie for its duration
LONGEST_S = 4.0  # of a recording that is measured
BURST_US = 1000


@dataclass(frozen=True)
class Figure:
    """One measured figure: its name, what it says, and the lowest and highest value that was found."""

    name: str
    title: str
    low: float
    high: float


MEASURED = (
    Figure("events", "reduced events", 1000, 4000),
    Figure("on_off", "ON:OFF", 1.7, 6.4),
    Figure("duration_us", "duration, us", 300, 550),
    Figure("ring_cells", "ring's radius, cells", 8, 12),
    Figure("active_cells", "active cells of 768", 217, 333),
    Figure("rate_mev_s", "mean rate, Mev/s", 3.6, 3.6),
    Figure("burst_mev_s", "fullest ms, Mev/s", 39, 39),
)


@dataclass
class Meter:
    """Takes a recording's blocks, and measures its passages once the truth is known.

    Parameters
    ----------
    sensor : EventFormat
        Of the recording.
    """

    sensor: EventFormat
    _reduced: list[tuple[np.ndarray, ...]] = field(default_factory=list)
    _bursts: dict[int, int] = field(default_factory=dict)
    _events: int = 0
    _stop: int = 0

    def __post_init__(self) -> None:
        self._level = np.zeros((2, ROWS * COLUMNS))
        self._last = np.zeros((2, ROWS * COLUMNS), np.int64)

    def add(self, block: Events) -> None:
        """Take the next block; what is later than `LONGEST_S` is left aside."""
        if block.stop > 1e6 * LONGEST_S:
            return
        self._events += len(block)
        self._stop = block.stop
        row = block.y.astype(np.int32) * ROWS // self.sensor.height
        cell = row * COLUMNS + block.x.astype(np.int32) * COLUMNS // self.sensor.width
        out = reduce_events(block.t_us, cell, block.p, self._level, self._last)
        self._reduced.append((block.t_us[out], cell[out], block.p[out]))
        for slot, count in zip(*np.unique(block.t_us // BURST_US, return_counts=True), strict=True):
            self._bursts[int(slot)] = self._bursts.get(int(slot), 0) + int(count)

    def figures(self, truth: ParticleTruth) -> dict[str, Any]:
        """Return the figures of `MEASURED` for the passages that no other overlaps.

        Returns
        -------
        dict
            ``"passages"``, ``"rate_mev_s"``, ``"burst_mev_s"``, ``"dark_centre"`` (reduced events in a cell within half the ring's
            radius over those in a cell of the ring), and for each class, by its index, each other figure's 10th, 50th and 90th
            percentile over its passages.
        """
        t, cell, p = (np.concatenate(c) for c in zip(*self._reduced, strict=True)) if self._reduced else (np.empty(0, int),) * 3
        found: dict[int, list[dict[str, float]]] = {}
        for i in np.flatnonzero(~truth.overlap):
            beside = (truth.exit_us[i] - truth.enter_us[i]) // 2
            begin, end = truth.enter_us[i] - beside, truth.exit_us[i] + beside
            crowded = np.any((np.delete(truth.enter_us, i) < end) & (np.delete(truth.exit_us, i) > begin))
            if begin < 0 or end > self._stop or crowded:
                continue
            first, last = np.searchsorted(t, (begin, end))
            if last - first >= FEWEST:
                at = (truth.x_px[i] * COLUMNS / self.sensor.width, truth.y_px[i] * ROWS / self.sensor.height)
                found.setdefault(int(truth.kind[i]), []).append(_passage(t[first:last], cell[first:last], p[first:last], at))
        every = [one for passages in found.values() for one in passages]
        seconds = max(self._stop, 1) / 1e6
        return {
            "passages": len(every),
            "rate_mev_s": self._events / seconds / 1e6,
            "burst_mev_s": max(self._bursts.values(), default=0) / BURST_US,
            "dark_centre": float(np.median([one["dark_centre"] for one in every])) if every else None,
            "classes": {
                kind: {
                    figure.name: np.percentile([one[figure.name] for one in passages], (10, 50, 90)).tolist()
                    for figure in MEASURED
                    if figure.name in passages[0]
                }
                for kind, passages in sorted(found.items())
            },
        }


@njit(cache=True)
def reduce_events(t_us: np.ndarray, cell: np.ndarray, p: np.ndarray, level: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Reduce events to those at which their cell's accumulator is full.

    Parameters
    ----------
    t_us, cell, p : numpy.ndarray
        Time, cell and polarity of each event, time ascending.
    level, last : numpy.ndarray
        float64 and int64 [2, cells]: the accumulators, and the time of each one's last event; both are kept up to date.

    Returns
    -------
    numpy.ndarray
        bool [events].
    """
    out = np.zeros(len(t_us), np.bool_)
    for i in range(len(t_us)):
        polarity, c = p[i], cell[i]
        value = level[polarity, c] * KEPT ** (t_us[i] - last[polarity, c]) + 1.0
        last[polarity, c] = t_us[i]
        out[i] = value >= NEEDED
        level[polarity, c] = 0.0 if value >= NEEDED else value
    return out


def _passage(t: np.ndarray, cell: np.ndarray, p: np.ndarray, at: tuple[float, float]) -> dict[str, float]:
    """Return the figures of one passage whose rings' middle is at a place, in cells; the duration is that of the middle 96 %."""
    on = int(p.sum())
    y, x = np.divmod(np.arange(ROWS * COLUMNS), COLUMNS)
    radius = np.hypot(x + 0.5 - at[0], y + 0.5 - at[1])
    counts = np.bincount(cell, minlength=ROWS * COLUMNS)
    ring = int(radius.max()) + 1
    lit = np.bincount(radius.astype(int), counts, ring)
    cells = np.bincount(radius.astype(int), minlength=ring)
    whole = cells >= 8  # the corners hold only a few cells of each ring
    density = np.where(whole, lit / np.maximum(cells, 1), 0)
    best = int(density.argmax())
    inner = radius < best / 2
    first, last = np.percentile(t, MIDDLE)
    return {
        "events": float(len(t)),
        "on_off": on / max(len(t) - on, 1),
        "duration_us": float(last - first),
        "ring_cells": best + 0.5,
        "active_cells": float((counts > 0).sum()),
        "dark_centre": float(counts[inner].mean() / density[best]) if inner.any() else 0.0,
    }
