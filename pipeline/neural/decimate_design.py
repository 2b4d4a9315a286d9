"""Design of a decimation: how its factor is split, the order that fits, and the FIR that completes the integrator-comb.

See `decimate`, whose tables come from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from pipeline.errors import BitspikeError
from pipeline.fixed import quantise

MAX_ORDER = 4
MAX_TAPS = 63
MAX_FACTOR = 1 << 24
RIPPLE_DB, REJECTION_DB = 0.05, 66.0  # what the FIR is made long enough for, if `MAX_TAPS` allow


def split(rate_hz: float, target_hz: float) -> tuple[int, int]:
    """Return the factor nearest to ``rate_hz / target_hz`` that 2, 3 or 5 divides, and how much of it the FIR takes."""
    ideal = rate_hz / target_hz
    if ideal < 1.5:
        raise BitspikeError(f"rate_hz = {target_hz:g} leaves nothing to decimate at {rate_hz:g} Hz; choose {rate_hz / 2:g} or less")
    if ideal > MAX_FACTOR:
        raise BitspikeError(f"rate_hz = {target_hz:g} is too low at {rate_hz:g} Hz; decimate in two stages, one after the other")
    near = range(max(2, int(ideal) - 2), int(ideal) + 4)
    factor = min((f for f in near if any(f % d == 0 for d in (2, 3, 5))), key=lambda f: (abs(f - ideal), f))
    return factor, next(d for d in (4, 3, 2, 5) if factor % d == 0)


def highest_order(ratio: int, bits: int) -> int:
    """Return the highest order of an integrator-comb of `ratio` that 32 bits hold, for input of `bits`."""
    if ratio == 1:
        return 1  # nothing to do, in one step
    fitting = [n for n in range(2, MAX_ORDER + 1) if 2.0 ** (bits - 1) * ratio**n * (1 + 2.0**-15) < 2**31]
    if not fitting:
        raise BitspikeError(
            f"rate_hz: a ratio of {ratio} in one step does not fit 32 bits; decimate in two stages, one after the other"
        )
    return fitting[-1]


@dataclass(frozen=True)
class Response:
    """The frequency response of the integrator-comb, and of a FIR that completes it.

    Attributes
    ----------
    order, ratio, keep : int
        Of the integrator-comb, and the FIR's own decimation.
    rate_hz : float
        Input rate.
    passband_hz : float
        Upper end of the pass-band.
    """

    order: int
    ratio: int
    keep: int
    rate_hz: float
    passband_hz: float

    def comb(self, hz: np.ndarray) -> np.ndarray:
        """Return the integrator-comb's response, 1 at 0 Hz: (sin(pi f R) / (R sin(pi f)))**N, f in cycles per input frame."""
        f = np.asarray(hz, np.float64) / self.rate_hz
        below, above = self.ratio * np.sin(np.pi * f), np.sin(np.pi * f * self.ratio)
        return np.divide(above, below, out=np.ones_like(f), where=np.abs(below) > 1e-12) ** self.order

    def fir(self, taps: np.ndarray, hz: np.ndarray) -> np.ndarray:
        """Return the FIR's zero-phase response."""
        k = np.arange(len(taps)) - len(taps) // 2
        return np.cos(2 * np.pi * np.outer(np.asarray(hz) * self.ratio / self.rate_hz, k)) @ taps

    def measure(self, taps: np.ndarray) -> tuple[float, float]:
        """Return ripple in the pass-band and rejection of what folds into it, in dB; `taps` have a gain of 1.

        Of the images, the first ``2 keep`` are looked at: the integrator-comb's lobes only fall beyond.
        """
        rate = self.rate_hz / (self.ratio * self.keep)
        inside = np.linspace(0, self.passband_hz, 400)
        ripple = np.abs(20 * np.log10(np.abs(self.comb(inside) * self.fir(taps, inside)))).max()
        images = (
            np.arange(1, min(self.ratio // 2 + 1, 2) * self.keep + 1)[:, None] * rate + np.linspace(-1, 1, 401) * self.passband_hz
        )
        images = images[images <= self.rate_hz / 2]
        folded = np.abs(self.comb(images) * self.fir(taps, images)).max()
        return float(ripple), float(-20 * np.log10(max(folded, 1e-12)))

    def least_squares(self, length: int) -> np.ndarray:
        """Return the symmetric FIR nearest to the inverse droop in the pass-band and to 0 from where folding into it begins."""
        top, rate = self.rate_hz / self.ratio / 2, self.rate_hz / (self.ratio * self.keep)
        inside = np.linspace(0, self.passband_hz, 200)
        outside = np.linspace(rate - self.passband_hz, top, 400)
        k = np.arange(length // 2 + 1)
        basis = np.cos(2 * np.pi * np.outer(np.concatenate([inside, outside]) * self.ratio / self.rate_hz, k))
        basis[:, 1:] *= 2
        weight = np.concatenate([self.comb(inside) ** 2, np.full(len(outside), 10.0)])
        wanted = np.concatenate([1 / self.comb(inside), np.zeros(len(outside))])
        half: Any = np.linalg.lstsq(basis * weight[:, None], wanted * weight, rcond=None)[0]
        return np.concatenate([half[:0:-1], half])


@lru_cache(maxsize=64)
def fit(response: Response, gain: float) -> tuple[np.ndarray, int]:
    """Return the shortest FIR that reaches `RIPPLE_DB` and `REJECTION_DB`, else the longest: int16 [taps], and its scale.

    Its response is ``taps / 2**scale``, at 0 Hz exactly `gain` but for the rounding of the sum.
    """
    for length in range(7, MAX_TAPS + 1, 4):
        with threadpool_limits(1, "blas"):  # for so few equations, threads wait for each other longer than they work
            ideal = response.least_squares(length)
        ideal *= gain / ideal.sum()
        scale = int(np.floor(min(np.log2(32767 / np.abs(ideal).max()), np.log2(65535 / np.abs(ideal).sum()))))
        taps = quantise(ideal, scale, np.int16)
        taps[length // 2] += round(gain * 2.0**scale) - int(taps.sum())
        ripple, rejection = response.measure(taps / (2.0**scale * gain))
        if ripple <= RIPPLE_DB and rejection >= REJECTION_DB:
            break
    taps.flags.writeable = False
    return taps, scale
