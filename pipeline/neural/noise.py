"""Running robust noise estimate in integers: the median of |value|, followed by counting.

Values are looked at in every `stride`-th frame only. Over a window of 64 looks per channel, count how often |value| exceeds the
estimate m; half of the time means that m is the median of |value|, whatever the size of the spikes in between (a spike counts once
per look, however tall). At the window's end

    m += m g (count - 32) / 64,

which is stochastic approximation of a quantile (Robbins and Monro 1951) with a multiplicative step. The gain g falls as in a
running mean while the estimate is young, down to the one that gives the time constant asked for; it is 1 where two windows in a row
agree that the estimate is far off. For a normal distribution sigma = m / 0.6745 (Quiroga, Nadasdy and Ben-Shaul 2004, Neural
Computation 16, section 2.1).

The first estimate comes from the mean of |value| over a learning window in which every frame is looked at. Flagged frames are not
looked at. A dither over one count, the same for all channels, makes the comparison finer than the integers.

The functions here are the steps for one value; the two detectors own the loops. `firmware/include/bitspike/noise.h` is the same
text in C.
"""

from __future__ import annotations

import numpy as np

from pipeline.errors import BitspikeError
from pipeline.fixed import inlined, kernel
from pipeline.layout import Field

LOOKS = 64  # looks of a window; a power of two
SIGMA = 0.6744897501960817  # median of |x| of a standard normal distribution
SLOPE = 0.42868  # -dP(|x| > m)/d ln m at the median of a normal distribution
FIRST_GAIN = 152_875  # Q16, 1 / SLOPE: the gain of the n-th window is this over n + YOUNG, until the table's gain takes over
YOUNG = 8  # windows that the first estimate is worth
FAR = 12  # looks from one half, 3 standard deviations of the count
LARGEST = 1 << 30  # of an estimate


def tables_fields() -> dict[str, Field]:
    """Return the fields that a detector's tables hold for its noise estimate.

    ``noise_stride``: frames from look to look; ``noise_learn``: log2 of the frames of the learning window; ``noise_gain``: Q16.
    """
    return {"noise_stride": "u4", "noise_learn": "u4", "noise_gain": "i4"}


def state_fields(capacity: int, sums: str = "u4") -> dict[str, Field]:
    """Return the fields that a detector's state holds for its noise estimate; `sums` must hold a learning window's sum of values.

    ``noise_windows``: windows completed, 0 while learning; ``noise_seen``: looks of this window; ``noise_wait``: frames until the
    next look; ``noise_count``: looks above the estimate, while learning the sum of |value|; ``noise_excess``: the last window's
    count - 32; ``noise_median``: the estimate.
    """
    scalars: dict[str, Field] = {"noise_windows": "u4", "noise_seen": "u4", "noise_wait": "u4"}
    return scalars | {"noise_count": (sums, capacity), "noise_excess": ("i4", capacity), "noise_median": ("i4", capacity)}


KEPT = ("noise_windows", "noise_median")  # what survives a gap


def design_noise(tables: np.ndarray, time_constant_s: float, rate_hz: float, slope: float = SLOPE) -> None:
    """Fill the noise fields of `tables`: 3,000 to 6,000 looks a second, a learning window of 30 to 60 ms.

    `slope` is that of the values' distribution at the median of their sizes, -dP(|value| > m) / d ln m.

    Raises
    ------
    BitspikeError
        The time constant is shorter than four windows, or so long that the gain vanishes.
    """
    stride = 1 << max(0, int(np.floor(np.log2(rate_hz / 3000))))
    window_s = LOOKS * stride / rate_hz
    gain = round(65536 * window_s / (time_constant_s * slope))
    if not 1 <= gain <= 65536:
        shortest, longest = 1.01 * window_s / slope, window_s / slope * 65536
        raise BitspikeError(f"noise_s = {time_constant_s:g}: choose {shortest:.2g} to {longest:.2g} s at {rate_hz:g} Hz")
    tables["noise_stride"] = stride
    tables["noise_learn"] = min(16, max(6, round(np.log2(0.043 * rate_hz))))
    tables["noise_gain"] = gain


@inlined
def noise_offset(seen, fraction):  # type: ignore[no-untyped-def]
    """Return what is added to the estimate before the look number `seen`: a dither of one count in Q`fraction`, of mean zero."""
    dither = ((np.int32(seen) * np.int32(39)) & np.int32(LOOKS - 1)) << np.int32(fraction)
    return (np.int32(1) << np.int32(fraction - 1)) - np.int32(np.int32(dither) >> np.int32(6))


@inlined
def noise_exceeds(value, fraction, median, offset):  # type: ignore[no-untyped-def]
    """Return 1 where `value` (0 to 2**(30 - fraction)) is above the estimate, else 0."""
    return np.uint32(np.int32(np.int32(value) << np.int32(fraction)) > np.int32(median + offset))


@inlined
def _held(estimate, fraction):  # type: ignore[no-untyped-def]
    """Return `estimate` within a quarter of a count (so that it can grow again) and the largest."""
    lowest = max(np.int64(np.int64(1) << np.int64(fraction)) >> np.int64(2), np.int64(1))
    return np.int32(min(max(np.int64(estimate), lowest), np.int64(LARGEST)))


@inlined
def noise_first(total, learn, fraction, ratio):  # type: ignore[no-untyped-def]
    """Return the first estimate: the mean of |value| over 2**learn looks, times `ratio` in Q16, rounded down."""
    mean = (np.uint64(total) * np.uint64(ratio)) >> np.uint64(np.uint64(16 + learn) - np.uint64(fraction))
    return _held(np.int64(mean), fraction)


@inlined
def noise_gain_now(windows, gain):  # type: ignore[no-untyped-def]
    """Return the gain of the window that ends, Q16: a running mean's while young, then `gain`."""
    young = np.uint32(FIRST_GAIN) // np.uint32(min(np.uint32(windows), np.uint32(FIRST_GAIN)) + np.uint32(YOUNG))
    return max(np.int32(gain), np.int32(young))


@inlined
def noise_next(median, excess, before, gain, windows, fraction):  # type: ignore[no-untyped-def]
    """Return the estimate after a window whose count was 32 + `excess`, the one before it having been 32 + `before`.

    The step is rounded with a dither that changes from window to window, so that small estimates move as truly as large ones.
    """
    far = (excess > FAR and before > FAR) or (excess < -FAR and before < -FAR)
    factor = np.int32(65536) if far else np.int32(gain)
    dither = np.int64(np.uint32(np.uint32(windows) * np.uint32(0x9E3779B1)) >> np.uint32(10))
    step = (np.int64(median) * np.int64(factor * np.int32(excess)) + dither) >> np.int64(22)
    return _held(np.int64(median) + step, fraction)


@kernel
def close_window(learn, gain, fraction, ratio, windows, seen, counts, excess, median, channels):  # type: ignore[no-untyped-def]
    """End the learning window or a window of looks: a new estimate for each channel, and counts from zero on."""
    now = noise_gain_now(windows[0], gain)
    for c in range(channels):
        if windows[0] == 0:
            median[c] = noise_first(counts[c], learn, fraction, ratio)
        else:
            more = np.int32(np.int32(counts[c]) - np.int32(LOOKS // 2))
            median[c] = noise_next(median[c], more, excess[c], now, windows[0], fraction)
            excess[c] = more
        counts[c] = 0
    seen[0] = 0
    if windows[0] != np.uint32(0xFFFFFFFF):
        windows[0] += np.uint32(1)


@inlined
def noise_level(median, factor, fraction, largest):  # type: ignore[no-untyped-def]
    """Return `factor` (Q8) times the estimate, in counts, rounded to nearest, at least 1 and at most `largest`."""
    half = np.int64(1) << np.int64(fraction + 7)
    return min(max((np.int64(median) * np.int64(factor) + half) >> np.int64(fraction + 8), np.int64(1)), np.int64(largest))
