"""Spike detection by the non-linear energy operator.

psi[n] = x[n-k]^2 - x[n] x[n-2k]  (Kaiser 1990, on a delay of k samples; Mukhopadhyay and Ray 1998, equation 2, for k = 1) is large
where a signal is both large and fast. A candidate is a local maximum of psi, psi[n-1] > psi[n-2] and psi[n-1] >= psi[n], above
`threshold` times the median of |psi|, which runs along (see `noise`). It is reported at the sample of the largest |x| among the
2k + 1 that made psi[n-1], if its sign is the one asked for; no sample of a channel is reported twice.

psi needs no more than 32 bits: |x| is at most 2**15, and -2**15 and 2**15 - 1 are the ends, so that x^2 <= 2**30, the product lies
between 2**15 - 2**30 and 2**30, and psi between -2**30 and 2**31 - 2**15.

Nothing is reported from the learning window at the start (about 43 ms), nor where one of the 2k + 1 samples is flagged. Spikes come
in the order in which they become known, by frame and then by channel: their own samples may be up to 2k frames out of order.
`firmware/src/energy.c` is the same text in C.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.blocks import SampleFormat
from pipeline.capacity import Capacity
from pipeline.fixed import inlined, kernel, quantise
from pipeline.layout import blank, layout
from pipeline.neural import noise
from pipeline.neural.detection import GROUP, POLARITIES, Detector, pass_time, report
from pipeline.neural.noise import LOOKS, close_window, noise_exceeds, noise_level, noise_offset
from pipeline.stage import Design, Parameters

MAX_SPACING = 8
HELD = 2 * MAX_SPACING + 2  # frames held: those of three values of psi in a row, without the newest
FRACTION = 4  # fractional bits of the median
LARGEST = (1 << 26) - 1  # of the |psi| that the median is taken of: noise of a quarter of full scale
MEAN_TO_MEDIAN = 41386  # Q16: median over mean of |psi|, 0.6315 for white and for band-passed noise
SLOPE = 0.318  # of the distribution of |psi| at its median, for the noise estimate


@dataclass(frozen=True)
class EnergyParameters(Parameters):
    """Parameters in physical units.

    Attributes
    ----------
    threshold : float
        Multiple of the median of |psi|, 1 to 1000; on normal noise, 26 is exceeded as rarely as 4.5 sigma are by one side of x.
    spacing : int
        k, 1 to 8 frames; 0 chooses the one nearest to 0.12 ms, a third of a spike's main phase.
    polarity : str
        Of the peaks: "negative", "positive" or "both".
    noise_s : float
        Time constant of the median.
    refractory_ms : float
        Dead time of a channel after a candidate, 0 to 100; 0 reports every one.
    """

    threshold: float = 30.0
    spacing: int = 0
    polarity: str = "negative"
    noise_s: float = 1.0
    refractory_ms: float = 0.0

    def __post_init__(self) -> None:
        self.require("threshold", 1 <= self.threshold <= 1000, "choose 1 to 1000 times the median energy")
        self.require("spacing", 0 <= self.spacing <= MAX_SPACING, f"choose 1 to {MAX_SPACING} frames, or 0 for automatic")
        self.require("polarity", self.polarity in POLARITIES, f"choose one of {', '.join(POLARITIES)}")
        self.require("noise_s", 0 < self.noise_s <= 60, "choose up to 60 s")
        self.require("refractory_ms", 0 <= self.refractory_ms <= 100, "choose 0 to 100 ms")


@inlined
def _psi(now, middle, old):  # type: ignore[no-untyped-def]
    """Return the energy of three samples, int32."""
    return np.int32(np.int32(middle) * np.int32(middle) - np.int32(now) * np.int32(old))


@kernel
def _any_above(flat, i, back, step, level, c):  # type: ignore[no-untyped-def]
    """Say whether psi, one frame before the group at `i`, is above its level anywhere; `back` is k frames, `step` is one."""
    hit = np.int32(0)
    for j in range(i - step, i - step + GROUP):
        psi = _psi(flat[np.uint64(j)], flat[np.uint64(j - back)], flat[np.uint64(j - 2 * back)])
        hit |= np.int32(psi > level[np.uint64(c + j - i + step)])
    return hit != 0


@kernel
def _mark(flat, i, width, back, step, level, c, mask):  # type: ignore[no-untyped-def]
    """Mark with 1 the samples of the group at `i` at which a local maximum of psi becomes known, with 0 all others."""
    for j in range(GROUP):
        mask[j] = 0
    for j in range(width):
        n = i + j
        after = _psi(flat[np.uint64(n)], flat[np.uint64(n - back)], flat[np.uint64(n - 2 * back)])
        n -= step
        now = _psi(flat[np.uint64(n)], flat[np.uint64(n - back)], flat[np.uint64(n - 2 * back)])
        n -= step
        before = _psi(flat[np.uint64(n)], flat[np.uint64(n - back)], flat[np.uint64(n - 2 * back)])
        mask[j] = (now > level[np.uint64(c + j)]) & (now > before) & (now >= after)


@kernel
def _rows(  # type: ignore[no-untyped-def]
    x, shift, first, last, k, level, negative, positive, flags, refractory, ready, at, channel, amplitude, count, channels,
):  # fmt: skip
    """Report what becomes known in frames `first` to `last` - 1 of the block; frame n is row n + `shift` of x.

    Groups of samples are tested for an energy above its level, and only where there is one, for a maximum. `level` holds the levels
    of all channels and of the first ones again.
    """
    flat, mask = x.reshape(-1), np.zeros(GROUP, np.uint8)
    words = mask.view(np.uint64)
    i, end, c, turn, back = (first + shift) * channels, (last + shift) * channels, 0, GROUP % channels, k * channels
    while i < end:
        width = min(GROUP, end - i)
        if width < GROUP or _any_above(flat, i, back, channels, level, c):
            _mark(flat, i, width, back, channels, level, c, mask)
            for w in range(GROUP // 8):
                if words[w] != 0:
                    for j in range(i + 8 * w, i + 8 * w + 8):
                        if mask[j - i] != 0:
                            row = j // channels
                            count = _largest(
                                x, row, row - shift, j - row * channels, k, negative, positive,
                                flags, refractory, ready, at, channel, amplitude, count,
                            )  # fmt: skip
        i += GROUP
        c += turn
        c -= channels if c >= channels else 0
    return count


@kernel
def _largest(x, row, n, c, k, negative, positive, flags, refractory, ready, at, channel, amplitude, count):  # type: ignore[no-untyped-def]
    """Report the largest sample of those that made psi in the row before, unless one of them is flagged."""
    best = row - 1 - 2 * k
    for r in range(row - 1 - 2 * k, row):
        frame = n + r - row
        if frame >= 0 and flags[frame] != 0:
            return count
        if abs(np.int32(x[r, c])) > abs(np.int32(x[best, c])):
            best = r
    value = x[best, c]
    if (value < 0 and negative != 0) or (value > 0 and positive != 0):
        count = report(n + best - row, c, value, refractory, ready, at, channel, amplitude, count)
    return count


@kernel
def _look(  # type: ignore[no-untyped-def]
    k, noise_stride, noise_learn, held, recent, windows, seen, wait, counts, median, x, flags, first, frames, channels,
):  # fmt: skip
    """Count from frame `first` to the end of the block or of the noise window, whichever is nearer; return the frame after."""
    learning, span = windows[0] == 0, 2 * k + 2
    n, stride = (first, np.int64(1)) if learning else (first + np.int64(wait[0]), np.int64(noise_stride))
    full = np.uint32(np.uint32(1) << noise_learn) if learning else np.uint32(LOOKS)
    while n < frames:
        if flags[n] == 0 and np.int64(held[0]) + n >= 2 * k:
            now = x[n]
            middle = x[n - k] if n >= k else recent[span + n - k]
            old = x[n - 2 * k] if n >= 2 * k else recent[span + n - 2 * k]
            offset = noise_offset(seen[0], FRACTION)
            for c in range(channels):
                size = np.int32(min(abs(np.int64(_psi(now[c], middle[c], old[c]))), np.int64(LARGEST)))
                if learning:
                    counts[c] += np.uint64(size)
                else:
                    counts[c] += np.uint64(noise_exceeds(size, FRACTION, median[c], offset))
            seen[0] += np.uint32(1)
            if seen[0] == full:
                wait[0] = np.uint32(0) if learning else noise_stride - np.uint32(1)
                return n + 1
        n += stride
    wait[0] = np.uint32(n - frames)
    return frames


@kernel
def _lay_out(level, tile, channels):  # type: ignore[no-untyped-def]
    """Copy the levels of all channels and of the first ones again."""
    for c in range(channels):
        tile[c] = level[c]
    for i in range(channels, channels + GROUP):
        tile[i] = tile[i - channels]


@kernel
def _update(factor, level, median, tile, channels):  # type: ignore[no-untyped-def]
    """Set the levels that follow from the estimates, held at the largest int32, and lay them out."""
    for c in range(channels):
        level[c] = np.int32(noise_level(median[c], factor, FRACTION, 0x7FFFFFFF))
    _lay_out(level, tile, channels)


@kernel
def process(  # type: ignore[no-untyped-def]
    factor, spacing, negative, positive, refractory, noise_stride, noise_learn, noise_gain,
    held, blocked, recent, ready, level, windows, seen, wait, counts, excess, median,
    x, flags, at, channel, amplitude, frames, channels,
):  # fmt: skip
    """Detect in x: int16 [frames, channels], flags: uint8 [frames]; return how many peaks were written.

    at: int32, frame of the peak in the block, from -2k - 1 on; channel, amplitude: int32. There are at most ``frames * channels``,
    since each frame can make one maximum of psi known.
    """
    if frames == 0:
        return 0
    k = np.int64(spacing)
    span = 2 * k + 2  # frames that a decision looks back
    tile = np.empty(channels + GROUP, np.int32)
    _lay_out(level, tile, channels)
    edge = min(span, frames)
    joined = np.empty((span + edge, channels), np.int16)  # the frames before the block and its first ones
    for r in range(span):
        for c in range(channels):
            joined[r, c] = recent[r, c]
    for r in range(edge):
        for c in range(channels):
            joined[span + r, c] = x[r, c]
    count, first, quiet = 0, 0, np.int64(blocked[0])
    while first < frames:
        learning = windows[0] == 0
        end = _look(
            k, noise_stride, noise_learn, held, recent, windows, seen, wait, counts, median, x, flags, first, frames, channels
        )
        if not learning:
            start = max(first, quiet, span - np.int64(held[0]))
            if start < min(end, span):
                count = _rows(
                    joined, span, start, min(end, span), k, tile, negative, positive,
                    flags, refractory, ready, at, channel, amplitude, count, channels,
                )  # fmt: skip
                start = span
            if start < end:
                count = _rows(
                    x, 0, start, end, k, tile, negative, positive,
                    flags, refractory, ready, at, channel, amplitude, count, channels,
                )  # fmt: skip
        if seen[0] == (np.uint32(np.uint32(1) << noise_learn) if learning else np.uint32(LOOKS)):
            close_window(noise_learn, noise_gain, FRACTION, MEAN_TO_MEDIAN, windows, seen, counts, excess, median, channels)
            _update(factor, level, median, tile, channels)
            if learning:
                quiet = max(quiet, end + 2 * k + 1)
        first = end
    for n in range(max(frames - span, 0), frames):
        if flags[n] != 0:
            quiet = max(quiet, n + span)
    blocked[0] = np.uint32(max(quiet - frames, 0))
    for r in range(span):
        for c in range(channels):
            recent[r, c] = joined[frames + r, c] if frames <= span else x[frames - span + r, c]
    pass_time(ready, frames, channels)
    held[0] = np.uint32(min(np.int64(held[0]) + frames, span))
    return count


class Energy(Detector):
    """Detection by the non-linear energy operator; see the module."""

    name = "energy"
    Parameters = EnergyParameters
    kernel = staticmethod(process)
    keeps_on_gap = ("level", *noise.KEPT)

    def __init__(self, parameters: EnergyParameters, signal: SampleFormat, *others: Any, **named: Any) -> None:
        super().__init__(parameters, signal, *others, **named)
        self.latency = 2 * int(self.tables["spacing"]) + 1

    @classmethod
    def tables_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_energy_tables``."""
        scalars = dict.fromkeys(("factor", "spacing", "negative", "positive", "refractory"), "u4")
        return layout(**scalars, **noise.tables_fields())

    @classmethod
    def state_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_energy_state``."""
        return layout(
            held="u4",
            blocked="u4",
            recent=("i2", (HELD, capacity.channels)),
            ready=("i4", capacity.channels),
            level=("i4", capacity.channels),
            **noise.state_fields(capacity.channels, "u8"),
        )

    @classmethod
    def design(cls, parameters: EnergyParameters, signal: SampleFormat, capacity: Capacity) -> Design:
        """Turn multiples and times into integers."""
        p, tables = parameters, blank(cls.tables_layout(capacity))
        noise.design_noise(tables, p.noise_s, signal.rate_hz, SLOPE)
        tables["factor"] = quantise(p.threshold, 8)
        tables["spacing"] = p.spacing or min(MAX_SPACING, max(1, round(0.00012 * signal.rate_hz)))
        tables["negative"], tables["positive"] = p.polarity != "positive", p.polarity != "negative"
        tables["refractory"] = max(1, round(p.refractory_ms * signal.rate_hz / 1000))  # 1: no sample twice
        proofs = {"spacing k, frames": int(tables["spacing"]), "largest energy": f"{2**31 - 2**15} of {2**31}"}
        return Design(tables, signal, proofs)

    @classmethod
    def examples(cls) -> Iterator[EnergyParameters]:
        """Yield examples of all polarities and of the least and largest spacing."""
        yield EnergyParameters()
        yield EnergyParameters(spacing=1, polarity="positive", refractory_ms=1.0, noise_s=0.2)
        yield EnergyParameters(spacing=8, polarity="both", threshold=2.0)
