"""Detection against the truth of a simulated recording."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.blocks import SampleFormat
from sensors.truth import Truth

TOLERANCE_MS, RADIUS_UM, GOOD_SNR = 0.5, 100.0, 5.0


@dataclass(frozen=True)
class Counts:
    """True spikes of the units of SNR 5 and above, those of them that were found, and detections that are no spike of any unit."""

    true: int
    found: int
    false: int

    @property
    def f1(self) -> float:
        """2 found / (2 found + missed + false)."""
        return 2 * self.found / max(self.found + self.true + self.false, 1)

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.true + other.true, self.found + other.found, self.false + other.false)


def count(truth: Truth, signal: SampleFormat, sample: np.ndarray, channel: np.ndarray, after: int = 0) -> Counts:
    """Count from frame `after` on.

    A true spike is found if there is a detection within 0.5 ms of it on a channel within 100 um of its unit's best channel, of the
    same group; a detection is false if no true spike of any unit is that near to it.
    """
    near = neighbours(signal)
    tolerance = int(TOLERANCE_MS / 1000 * signal.rate_hz)
    order = np.argsort(sample, kind="stable")
    sample, channel = sample[order], channel[order]
    home = truth.peak_channel[truth.unit]
    found = matched(truth.sample, home, sample, channel, near, tolerance)
    real = matched(sample, channel, truth.sample, home, near, tolerance)
    wanted = (truth.snr[truth.unit] >= GOOD_SNR) & (truth.sample >= after)
    return Counts(int(wanted.sum()), int((found & wanted).sum()), int((~real & (sample >= after)).sum()))


def neighbours(signal: SampleFormat) -> np.ndarray:
    """Return which channels are within reach of each other: bool [channels, channels]."""
    group = signal.group_of
    near = group[:, None] == group[None, :]
    if signal.positions_um:
        sites = np.array(signal.positions_um)
        near &= np.hypot(*(sites[:, None] - sites[None, :]).transpose(2, 0, 1)) <= RADIUS_UM
    return near


def matched(
    sample: np.ndarray, channel: np.ndarray, other: np.ndarray, other_channel: np.ndarray, near: np.ndarray, tolerance: int
) -> np.ndarray:
    """Return which of the spikes have any of the others within `tolerance` frames on a near channel: bool [n]; both ascending."""
    first = np.searchsorted(other, sample - tolerance)
    last = np.searchsorted(other, sample + tolerance, side="right")
    found = np.zeros(len(sample), bool)
    for reach in range(int((last - first).max(initial=0))):
        at = first + reach
        inside = at < last
        found[inside] |= near[channel[inside], other_channel[at[inside]]]
    return found
