"""Spike detection by amplitude: local extrema beyond a multiple of a running robust noise estimate.

A candidate is a local extremum in time, x[n-1] < x[n-2] and x[n-1] <= x[n] for a negative one (mirrored for a positive one), with
|x[n-1]| beyond the threshold: `threshold` sigma, sigma from the median of |x| (Quiroga, Nadasdy and Ben-Shaul 2004, section 2.1;
see `noise`), or a fixed voltage. It is known one frame after the peak. Every extremum is reported, also those on the flank of a
larger one: the stage `exclusion` keeps the largest of each spike. A chain without it may set `refractory_ms`, a plain dead time:
after a candidate, the channel is silent for so long, even if a larger peak follows.

Nothing is reported from the learning window of the noise estimate (about 43 ms at the start), nor from flagged frames.
`firmware/src/threshold.c` is the same text in C.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline import lanes
from pipeline.blocks import SampleFormat
from pipeline.capacity import Capacity
from pipeline.errors import BitspikeError
from pipeline.fixed import inlined, kernel, merged, quantise
from pipeline.lanes import WIDTH16
from pipeline.layout import blank, layout
from pipeline.neural import noise
from pipeline.neural.detection import POLARITIES, Detector, pass_time, report
from pipeline.neural.noise import LOOKS, close_window, noise_exceeds, noise_level, noise_offset
from pipeline.stage import Design, Parameters

FRACTION = 12  # fractional bits of the median
AT_ONCE = 8  # frames in which nothing is beyond its level, mostly
MEAN_TO_MEDIAN = 55401  # Q16: median over mean of |x| of a normal distribution, 0.84535


@dataclass(frozen=True)
class ThresholdParameters(Parameters):
    """Parameters in physical units.

    Attributes
    ----------
    threshold : float
        Multiple of the noise's standard deviation, 1 to 50.
    threshold_uv : float
        Fixed threshold in microvolts, used instead where it is above 0; needs a recording that knows its microvolts.
    polarity : str
        Of the peaks: "negative", "positive" or "both".
    noise_s : float
        Time constant of the noise estimate.
    refractory_ms : float
        Dead time of a channel after a candidate, 0 to 100; 0 reports every extremum.
    """

    threshold: float = 4.5
    threshold_uv: float = 0.0
    polarity: str = "negative"
    noise_s: float = 1.0
    refractory_ms: float = 0.0

    def __post_init__(self) -> None:
        self.require("threshold", 1 <= self.threshold <= 50, "choose 1 to 50 times the noise")
        self.require("threshold_uv", 0 <= self.threshold_uv < 1e9, "choose a positive voltage, or 0 for a multiple of the noise")
        self.require("polarity", self.polarity in POLARITIES, f"choose one of {', '.join(POLARITIES)}")
        self.require("noise_s", 0 < self.noise_s <= 60, "choose up to 60 s")
        self.require("refractory_ms", 0 <= self.refractory_ms <= 100, "choose 0 to 100 ms")


@inlined
def _is_peak(before, now, after, low, high):  # type: ignore[no-untyped-def]
    """Say whether `now` is a local extremum beyond the levels."""
    negative = (now < low) & (now < before) & (now <= after)
    return negative | ((now > high) & (now > before) & (now >= after))


@merged
def _row(before, now, after, low, high, frame, refractory, ready, at, channel, amplitude, count, channels):  # type: ignore[no-untyped-def]
    """Report the peaks of one frame, given its neighbours."""
    for c in range(channels):
        if _is_peak(before[c], now[c], after[c], low[c], high[c]):
            count = report(frame, c, now[c], refractory, ready, at, channel, amplitude, count)
    return count


@inlined
def _within(x, first, last, c, low, high):  # type: ignore[no-untyped-def]
    """Say whether `WIDTH16` channels from `c` on stay within their levels in frames `first` to `last` - 1."""
    least = most = lanes.load16(x, first, c)
    for n in range(first + 1, last):
        now = lanes.load16(x, n, c)
        least, most = lanes.smaller(least, now), lanes.larger(most, now)
    beyond = lanes.less(least, lanes.load16(low, 0, c)) + lanes.less(lanes.load16(high, 0, c), most)
    return not lanes.some(beyond)


@inlined
def _peaks(x, n, c, low, high):  # type: ignore[no-untyped-def]
    """Return which of `WIDTH16` channels from `c` on have a peak in frame `n`, a bit for each; see `_is_peak`."""
    before, now, after = lanes.load16(x, n - 1, c), lanes.load16(x, n, c), lanes.load16(x, n + 1, c)
    negative = lanes.less(now, lanes.load16(low, 0, c)) & lanes.less(now, before) & (lanes.less(after, now) ^ -1)
    positive = lanes.less(lanes.load16(high, 0, c), now) & lanes.less(before, now) & (lanes.less(now, after) ^ -1)
    return lanes.bits(negative | positive)


@merged
def _rows(x, first, last, low, high, flags, refractory, ready, at, channel, amplitude, count, channels):  # type: ignore[no-untyped-def]
    """Report the peaks of frames `first` to `last` - 1 of the block, all of whose neighbours are in it.

    Where the channels fill a register, frames are looked at one by one only if one of `AT_ONCE` has a value beyond its level.
    """
    if channels < WIDTH16:
        for n in range(first, last):
            if flags[n] == 0:
                count = _row(x[n - 1], x[n], x[n + 1], low, high, n, refractory, ready, at, channel, amplitude, count, channels)
        return count
    below, above = low.reshape(1, -1), high.reshape(1, -1)
    for begin in range(first, last, AT_ONCE):
        end, calm = min(begin + AT_ONCE, last), True
        for c in range(0, channels, WIDTH16):
            calm &= _within(x, begin, end, min(c, channels - WIDTH16), below, above)
        if calm:
            continue
        for n in range(begin, end):
            if flags[n] != 0:
                continue
            for c in range(0, channels, WIDTH16):
                start = min(c, channels - WIDTH16)  # the last register overlaps the one before, whose peaks are reported
                peaks = _peaks(x, n, start, below, above) >> (c - start) << (c - start)
                while peaks != 0:
                    k = start + lanes.lowest(peaks)
                    peaks &= peaks - 1
                    count = report(n, k, x[n, k], refractory, ready, at, channel, amplitude, count)
    return count


@merged
def _look(noise_stride, noise_learn, windows, seen, wait, counts, median, x, flags, first, frames, channels):  # type: ignore[no-untyped-def]
    """Count from frame `first` to the end of the block or of the noise window, whichever is nearer; return the frame after."""
    if windows[0] == 0:
        for n in range(first, frames):
            if flags[n] == 0:
                row = x[n]
                for c in range(channels):
                    counts[c] += np.uint32(abs(np.int32(row[c])))
                seen[0] += np.uint32(1)
                if seen[0] == np.uint32(np.uint32(1) << noise_learn):
                    return n + 1
        return frames
    n = first + np.int64(wait[0])
    while n < frames:
        if flags[n] == 0:
            offset, row = noise_offset(seen[0], FRACTION), x[n]
            for c in range(channels):
                counts[c] += noise_exceeds(abs(np.int32(row[c])), FRACTION, median[c], offset)
            seen[0] += np.uint32(1)
            if seen[0] == np.uint32(LOOKS):
                wait[0] = noise_stride - np.uint32(1)
                return n + 1
        n += np.int64(noise_stride)
    wait[0] = np.uint32(n - frames)
    return frames


@merged
def _update(factor, level, median, channels):  # type: ignore[no-untyped-def]
    """Set the levels that follow from the estimates, held at full scale."""
    for c in range(channels):
        level[c] = np.int16(noise_level(median[c], factor, FRACTION, 32767))


@merged
def _levels(fixed, negative, positive, level, low, high, channels):  # type: ignore[no-untyped-def]
    """Set the levels that peaks must be below and above."""
    for c in range(channels):
        size = np.int16(fixed) if fixed != 0 else level[c]
        low[c] = -size if negative != 0 else np.int16(-32768)  # nothing is below -32768 nor above 32767
        high[c] = size if positive != 0 else np.int16(32767)


@kernel
def process(  # type: ignore[no-untyped-def]
    factor, fixed, negative, positive, refractory, noise_stride, noise_learn, noise_gain,
    held, muted, recent, ready, level, windows, seen, wait, counts, excess, median,
    x, flags, at, channel, amplitude, frames, channels,
):  # fmt: skip
    """Detect in x: int16 [frames, channels], flags: uint8 [frames]; return how many peaks were written.

    at: int32, frame of the peak in the block, -1 for the last of the block before; channel, amplitude: int32. There are at most
    ``frames * channels``, since a frame can be an extremum of one sign only.
    """
    if frames == 0:
        return 0
    low, high = np.empty(channels, np.int16), np.empty(channels, np.int16)
    if fixed != 0 or windows[0] != 0:
        _levels(fixed, negative, positive, level, low, high, channels)
    count, first, quiet = 0, 0, 0  # frames before `quiet` are in the learning window
    while first < frames:
        learning = fixed == 0 and windows[0] == 0
        end = frames
        if fixed == 0:
            end = _look(noise_stride, noise_learn, windows, seen, wait, counts, median, x, flags, first, frames, channels)
        if learning:
            quiet = end
        else:
            peak = max(first - 1, quiet)
            if first == 0:
                if held[0] == 2 and muted[0] == 0:
                    count = _row(
                        recent[0], recent[1], x[0], low, high, -1, refractory, ready, at, channel, amplitude, count, channels
                    )
                peak = 0
            if peak == 0 and end > 1:
                if held[0] != 0 and flags[0] == 0:
                    count = _row(recent[1], x[0], x[1], low, high, 0, refractory, ready, at, channel, amplitude, count, channels)
                peak = 1
            if peak < end - 1:
                count = _rows(x, peak, end - 1, low, high, flags, refractory, ready, at, channel, amplitude, count, channels)
        if fixed == 0:
            complete = seen[0] == (np.uint32(np.uint32(1) << noise_learn) if learning else np.uint32(LOOKS))
            if complete:
                close_window(noise_learn, noise_gain, FRACTION, MEAN_TO_MEDIAN, windows, seen, counts, excess, median, channels)
                _update(factor, level, median, channels)
                _levels(fixed, negative, positive, level, low, high, channels)
        first = end
    muted[0] = np.uint32(flags[frames - 1] != 0 or quiet == frames)
    for c in range(channels):
        recent[0, c] = x[frames - 2, c] if frames > 1 else recent[1, c]
        recent[1, c] = x[frames - 1, c]
    pass_time(ready, frames, channels)
    held[0] = min(np.int64(held[0]) + frames, 2)
    return count


class Threshold(Detector):
    """Detection by amplitude; see the module."""

    name = "threshold"
    Parameters = ThresholdParameters
    kernel = staticmethod(process)
    latency = 1
    keeps_on_gap = ("level", *noise.KEPT)

    @classmethod
    def tables_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_threshold_tables``."""
        return layout(factor="u4", fixed="u4", negative="u4", positive="u4", refractory="u4", **noise.tables_fields())

    @classmethod
    def state_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_threshold_state``."""
        return layout(
            held="u4",
            muted="u4",
            recent=("i2", (2, capacity.channels)),
            ready=("i4", capacity.channels),
            level=("i2", capacity.channels),
            **noise.state_fields(capacity.channels),
        )

    @classmethod
    def design(cls, parameters: ThresholdParameters, signal: SampleFormat, capacity: Capacity) -> Design:
        """Turn multiples and microvolts into integers."""
        p, tables = parameters, blank(cls.tables_layout(capacity))
        noise.design_noise(tables, p.noise_s, signal.rate_hz)
        tables["factor"] = quantise(p.threshold / noise.SIGMA, 8)
        tables["negative"], tables["positive"] = p.polarity != "positive", p.polarity != "negative"
        tables["refractory"] = round(p.refractory_ms * signal.rate_hz / 1000)
        if p.threshold_uv > 0:
            if signal.uv_per_count <= 0:
                raise BitspikeError(
                    "threshold_uv: the recording does not say its microvolts per count; use threshold, or give its gain"
                )
            counts = round(p.threshold_uv / signal.uv_per_count)
            if not 1 <= counts <= 32767:
                reach = f"{signal.uv_per_count:g} to {32767 * signal.uv_per_count:g} uV"
                raise BitspikeError(f"threshold_uv = {p.threshold_uv:g}: choose {reach}, what the samples can hold")
            tables["fixed"] = counts
        return Design(tables, signal, {"fractional bits of the noise estimate": FRACTION})

    @classmethod
    def examples(cls) -> Iterator[ThresholdParameters]:
        """Yield one example per polarity, with and without dead time and a fixed level."""
        yield ThresholdParameters()
        yield ThresholdParameters(polarity="positive", refractory_ms=1.0, noise_s=0.2)
        yield ThresholdParameters(threshold=1.0, polarity="both")
        yield ThresholdParameters(threshold_uv=60.0, polarity="both", refractory_ms=0.5)
