"""Flags for frames not to be trusted: inputs at the rails, and steps on many channels at once. The samples pass unchanged.

SATURATED: at least `rail_fraction` of the channels have been at an end of the format's range for `rail_samples` samples in a row.
ARTEFACT: |x[n] - x[n-1]| is beyond its level on at least `step_fraction` of the channels in one frame: movement, stimulation or a
switched input reach them all, a spike reaches few. The level is `step` standard deviations of each channel's steps, from the
running median of their sizes (see `noise`), or a fixed voltage.

Either flag is held for `hold_ms`. Flags that come with the input stay; flagged frames do not enter the noise estimate, and there
are no artefacts while it is being learned, the first 43 ms. `firmware/src/artefact.c` is the same text in C.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np

from pipeline import lanes, pairs
from pipeline.across import copy
from pipeline.blocks import ARTEFACT, SATURATED, SampleFormat, Samples
from pipeline.capacity import Capacity
from pipeline.errors import BitspikeError
from pipeline.fixed import inlined, kernel, quantise
from pipeline.lanes import WIDTH, WIDTH16
from pipeline.layout import blank, layout
from pipeline.neural import noise
from pipeline.neural.noise import LOOKS, noise_exceeds, noise_first, noise_gain_now, noise_next, noise_offset
from pipeline.neural.threshold import FRACTION, MEAN_TO_MEDIAN
from pipeline.stage import Design, Parameters, Stage

LARGEST_STEP = 2**16 - 1
AT_ONCE = 32  # frames that the host looks over at once


@dataclass(frozen=True)
class ArtefactParameters(Parameters):
    """Parameters in physical units.

    Attributes
    ----------
    rail_samples : int
        Samples in a row at the rails that make a channel saturated, 1 to 255.
    rail_fraction : float
        Part of the channels that must be saturated, above 0 to 1; it is at least one channel.
    step : float
        Multiple of the standard deviation of a channel's steps from sample to sample, 3 to 1000.
    step_uv : float
        Fixed level in microvolts, used instead where it is above 0; needs a recording that knows its microvolts.
    step_fraction : float
        Part of the channels that must step at once, above 0 to 1; it is at least one channel.
    hold_ms : float
        Time for which a flag stays on after its last cause, 0 to 10000.
    noise_s : float
        Time constant of the estimate of the steps' standard deviation.
    """

    rail_samples: int = 3
    rail_fraction: float = 0.25
    step: float = 25.0
    step_uv: float = 0.0
    step_fraction: float = 0.5
    hold_ms: float = 2.0
    noise_s: float = 1.0

    def __post_init__(self) -> None:
        self.require("rail_samples", 1 <= self.rail_samples <= 255, "choose 1 to 255")
        self.require("rail_fraction", 0 < self.rail_fraction <= 1, "choose a part of the channels, above 0 and up to 1")
        self.require("step", 3 <= self.step <= 1000, "choose 3 to 1000 standard deviations")
        self.require("step_uv", 0 <= self.step_uv < 1e9, "choose a positive voltage, or 0 for a multiple of the noise")
        self.require("step_fraction", 0 < self.step_fraction <= 1, "choose a part of the channels, above 0 and up to 1")
        self.require("hold_ms", 0 <= self.hold_ms <= 10_000, "choose 0 to 10000 ms")
        self.require("noise_s", 0 < self.noise_s <= 60, "choose up to 60 s")


@inlined
def _calm(before, row, x, first, last, level, low, top, channels):  # type: ignore[no-untyped-def]
    """Say whether frames `first` to `last` are off the rails, and their steps from `before`, its row `row`, on within their levels.

    No step is larger than the range of all the values; so the steps are looked at only where the range is beyond the level.
    """
    for column in range(0, channels, WIDTH16):
        c = min(column, channels - WIDTH16)  # the last channels overlap those before
        least = most = start = lanes.load16(before, row, c)
        for n in range(first, last):
            now = lanes.load16(x, n, c)
            least, most = lanes.smaller(least, now), lanes.larger(most, now)
        off_rails = lanes.less(lanes.splat16(low), least) + lanes.less(most, lanes.splat16(top)) + 2
        if lanes.some(off_rails):
            return False
        limit = lanes.load16(level, 0, c)
        if lanes.some(lanes.excess16(most - least, limit)):
            beyond = lanes.splat16(0)
            for n in range(first, last):
                now = lanes.load16(x, n, c)
                excess = lanes.excess16(lanes.larger(now, start) - lanes.smaller(now, start), limit)
                beyond, start = lanes.chosen(excess, excess, beyond), now
            if lanes.some(beyond):
                return False
    return True


@inlined
def _count_steps(before, now, level, channels):  # type: ignore[no-untyped-def]
    """Return on how many channels the step is beyond its level."""
    stepped = np.uint32(0)
    for c in range(channels):
        stepped = np.uint32(stepped + np.uint32(abs(np.int32(now[c]) - np.int32(before[c])) > np.int32(level[c])))
    return stepped


@inlined
def _count_rails(now, run, low, top, rail_samples, channels):  # type: ignore[no-untyped-def]
    """Continue or end each channel's run at the rails; return how many are long enough, and whether any goes on."""
    saturated, pending = np.uint32(0), np.uint32(0)
    for c in range(channels):
        longer = min(np.uint32(run[c]) + np.uint32(1), rail_samples)
        run[c] = longer if now[c] <= low or now[c] >= top else np.uint32(0)
        saturated += np.uint32(run[c] == rail_samples)
        pending |= np.uint32(run[c])
    return saturated, pending


@inlined
def _counts_after(before, row, x, k, offset, counts, median, c):  # type: ignore[no-untyped-def]
    """Return the counts of `WIDTH` channels after a look: what `noise_exceeds` says is added."""
    step = lanes.load(x, k, c) - lanes.load(before, row, c)
    size = lanes.larger(step, lanes.splat(0) - step)
    return lanes.load(counts, 0, c) - lanes.less(lanes.load(median, 0, c) + offset, size << FRACTION)


@inlined
def _look(before, row, x, k, learning, offset, counts, median, channels):  # type: ignore[no-untyped-def]
    """Take the steps of frame k from `before`, its row `row`, into the noise window."""
    if learning or channels < WIDTH:
        for c in range(channels):
            size = abs(np.int32(x[k, c]) - np.int32(before[row, c]))
            counts[0, c] += np.uint32(size) if learning else noise_exceeds(size, FRACTION, median[0, c], offset)
    else:
        last = channels - WIDTH  # these channels overlap those before: counted first, and stored last
        kept = _counts_after(before, row, x, k, offset, counts, median, last)
        for c in range(0, last, WIDTH):
            lanes.store(counts, 0, c, _counts_after(before, row, x, k, offset, counts, median, c))
        lanes.store(counts, 0, last, kept)


@inlined
def _update(factor, noise_learn, noise_gain, windows, seen, counts, excess, median, level, channels):  # type: ignore[no-untyped-def]
    """End a noise window: new estimates, and the levels that follow from them, rounded to nearest."""
    gain = noise_gain_now(windows[0], noise_gain)
    for c in range(channels):
        if windows[0] == 0:
            median[c] = noise_first(counts[c], noise_learn, FRACTION, MEAN_TO_MEDIAN)
        else:
            now = np.int32(np.int32(counts[c]) - np.int32(LOOKS // 2))
            median[c] = noise_next(median[c], now, excess[c], gain, windows[0], FRACTION)
            excess[c] = now
        counts[c] = 0
        scaled = (np.int64(median[c]) * np.int64(factor) + (np.int64(1) << np.int64(FRACTION + 7))) >> np.int64(FRACTION + 8)
        level[c] = np.uint16(min(max(scaled, np.int64(1)), np.int64(LARGEST_STEP)))
    seen[0] = 0
    if windows[0] != np.uint32(0xFFFFFFFF):
        windows[0] += np.uint32(1)


@kernel
def process(  # type: ignore[no-untyped-def]
    low, top, rail_samples, rail_channels, step_channels, hold, factor, fixed, noise_stride, noise_learn, noise_gain,
    primed, pending, hold_rail, hold_step, last, run, level, windows, seen, wait, counts, excess, median,
    x, given, flags, frames, channels,
):  # fmt: skip
    """Look at x: int16 [frames, channels], given: uint8 [frames] -> flags: uint8 [frames]; return 0 where none is flagged."""
    if frames == 0:
        return 0
    if primed[0] == 0:  # the first frame is no step
        primed[0] = 1
        for c in range(channels):
            last[c] = x[0, c]
            if fixed != 0 or windows[0] == 0:
                level[c] = fixed if fixed != 0 else LARGEST_STEP
    flagged = np.uint8(0)
    for n in range(frames):
        flags[n] = given[n]
        flagged |= given[n]
    count_row, median_row = counts.reshape(1, -1), median.reshape(1, -1)
    level_row, last_row = level.reshape(1, -1), last.reshape(1, -1)
    narrow, width, wide, levels, ends = channels < WIDTH16, channels, x, level_row, last_row
    if narrow:  # channels that fill no register are looked over in arrays that do
        width, wide = WIDTH16, np.zeros((frames, WIDTH16), np.int16)
        levels, ends = np.full((1, WIDTH16), np.uint16(LARGEST_STEP)), np.zeros((1, WIDTH16), np.int16)
        pairs.spread(x, wide, frames, channels)
        copy(level_row, 0, 0, levels, 0, 0, 1, channels)
        copy(last_row, 0, 0, ends, 0, 0, 1, channels)
    n, seen_to, calm = 0, 0, False  # the frames up to `seen_to` are calm, or not known to be
    while n < frames:
        learning = fixed == 0 and windows[0] == 0
        end, look = frames, False
        if fixed == 0:
            following = n + 1 + (0 if learning else np.int64(wait[0]))
            end, look = min(frames, following), following <= frames
        k = n
        while k < end:
            idle = hold_rail[0] == 0 and hold_step[0] == 0 and pending[0] == 0
            if idle and k >= seen_to:
                seen_to = min(k + AT_ONCE, frames)
                calm = _calm(ends if k == 0 else wide, max(k - 1, 0), wide, k, seen_to, levels, low, top, width)
            if idle and calm:
                k = min(seen_to, end)
                continue
            before = last if k == 0 else x[k - 1]
            saturated, pending[0] = _count_rails(x[k], run, low, top, rail_samples, channels)
            hold_rail[0] = hold if saturated >= rail_channels else hold_rail[0] - np.uint32(hold_rail[0] != 0)
            stepped = _count_steps(before, x[k], level, channels)
            hold_step[0] = hold if stepped >= step_channels else hold_step[0] - np.uint32(hold_step[0] != 0)
            flags[k] |= np.uint8((SATURATED if hold_rail[0] != 0 else 0) | (ARTEFACT if hold_step[0] != 0 else 0))
            flagged |= flags[k]
            k += 1
        if look:
            wait[0] = np.uint32(0) if learning else noise_stride - np.uint32(1)
            k = end - 1
            if flags[k] == 0:
                offset, before = noise_offset(seen[0], FRACTION), last_row if k == 0 else x
                _look(before, max(k - 1, 0), x, k, learning, offset, count_row, median_row, channels)
                seen[0] += np.uint32(1)
            if seen[0] == (np.uint32(1) << noise_learn if learning else np.uint32(LOOKS)):
                _update(factor, noise_learn, noise_gain, windows, seen, counts, excess, median, level, channels)
                seen_to = end  # what follows is seen with other levels
                if narrow:
                    copy(level_row, 0, 0, levels, 0, 0, 1, channels)
        elif fixed == 0:
            wait[0] -= np.uint32(end - n)
        n = end
    for c in range(channels):
        last[c] = x[frames - 1, c]
    return flagged


class Artefact(Stage):
    """Flags of saturation and artefacts; see the module."""

    name = "artefact"
    Parameters = ArtefactParameters
    kernel = staticmethod(process)
    call = ("x", "flags", "y_flags", "frames", "channels")
    keeps_on_gap = ("level", *noise.KEPT)

    @classmethod
    def tables_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_artefact_tables``."""
        counts = dict.fromkeys(("rail_samples", "rail_channels", "step_channels", "hold", "factor"), "u4")
        return layout(low="i2", top="i2", **counts, fixed="u4", **noise.tables_fields())

    @classmethod
    def state_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_artefact_state``."""
        return layout(
            primed="u4",
            pending="u4",
            hold_rail="u4",
            hold_step="u4",
            last=("i2", capacity.channels),
            run=("u1", capacity.channels),
            level=("u2", capacity.channels),
            **noise.state_fields(capacity.channels),
        )

    @classmethod
    def design(cls, parameters: ArtefactParameters, signal: SampleFormat, capacity: Capacity) -> Design:
        """Turn fractions, times and levels into integers."""
        p, tables = parameters, blank(cls.tables_layout(capacity))
        noise.design_noise(tables, p.noise_s, signal.rate_hz)
        tables["low"], tables["top"] = -(2 ** (signal.bits - 1)), 2 ** (signal.bits - 1) - 1
        tables["rail_samples"] = p.rail_samples
        tables["rail_channels"] = ceil(p.rail_fraction * signal.channels)
        tables["step_channels"] = ceil(p.step_fraction * signal.channels)
        tables["hold"] = 1 + round(p.hold_ms * signal.rate_hz / 1000)
        tables["factor"] = quantise(p.step / noise.SIGMA, 8)
        if p.step_uv > 0:
            if signal.uv_per_count <= 0:
                raise BitspikeError("step_uv: the recording does not say its microvolts per count; use step, or give its gain")
            tables["fixed"] = min(max(1, round(p.step_uv / signal.uv_per_count)), LARGEST_STEP)
        proofs = {
            "channels at the rails": int(tables["rail_channels"]),
            "channels that step": int(tables["step_channels"]),
        }
        return Design(tables, signal, proofs)

    @classmethod
    def examples(cls) -> Iterator[ArtefactParameters]:
        """Yield one example per kind of level, and one that flags much."""
        yield ArtefactParameters()
        yield ArtefactParameters(step_uv=100.0, hold_ms=0.0, rail_samples=1, rail_fraction=0.01)
        yield ArtefactParameters(step=3.0, step_fraction=0.2, hold_ms=0.3, noise_s=0.1)

    def advance(self, samples: Samples) -> Samples:
        """Flag one block."""
        flags = np.empty(len(samples.data), np.uint8)
        flagged = self.step(samples.data, samples.frame_flags, flags, *samples.data.shape)
        return Samples(samples.start, samples.data, flags if flagged else None)
