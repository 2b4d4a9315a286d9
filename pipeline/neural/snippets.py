"""Snippets: the waveform around each spike, on its channel and those nearest to it, aligned to the peak between the samples.

The peak lies at the vertex of the parabola through three samples of the peak's channel (Smith, Spectral Audio Signal Processing,
"Quadratic Interpolation of Spectral Peaks"), rounded to a half or a quarter of a sample; all channels are shifted by that much
with an 8-tap Lagrange interpolator (Laakso et al. 1996, "Splitting the unit delay", IEEE Signal Processing Magazine 13, equation
42), its coefficients in Q15, rounded to nearest and saturated. The waveform runs from `before_ms` ahead of the peak, which is at
index ``before`` of the tables, and holds the peak's channel first, then its neighbours, nearest first. What a snippet would take
from before the stream's start or from beyond the edge of the array is zero.

A spike is passed on when the last sample that its snippet needs has come, in the order in which spikes came. The list of those that
wait is of fixed size: a spike that comes when it is full of spikes from the last `wait` frames is dropped, and counted in the state
(`overflow`), as is one that is more than `LAG` frames older than one before it (`late`). `firmware/src/snippets.c` is the same text
in C.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.blocks import UNSORTED, SampleFormat, Samples, Spikes
from pipeline.capacity import Capacity
from pipeline.errors import BitspikeError
from pipeline.express import GIVEN, TAKEN
from pipeline.fixed import inlined, kernel, require_fits, saturate16
from pipeline.layout import blank, layout
from pipeline.neural.detection import LAG, NO_CHANNEL, NO_TIME, NONE, misplaced
from pipeline.neural.neighbours import nearest_channels
from pipeline.stage import Design, Parameters, Stage

HISTORY = 256  # frames held from before a block; a power of two
MAX_WIDTH = 128
MAX_NEIGHBOURS = 16
TAPS = 8
PHASES = 4  # of a sample; the first is the sample itself
RADIUS_UM = 100.0  # of the neighbours that are chosen automatically
AUTOMATIC = 8  # neighbours at most that are chosen automatically


@dataclass(frozen=True)
class SnippetsParameters(Parameters):
    """Parameters in physical units.

    Attributes
    ----------
    before_ms, after_ms : float
        Time of the waveform before the peak, and from the peak on; together at most 128 frames.
    neighbours : int
        Channels of a snippet, that of the peak included, 1 to 16. 0 chooses as many as there are within 100 um, at most 8; without
        positions, as many as the largest group has, at most 8; without groups, 1.
    upsample : int
        Positions to which a sample is divided for the alignment: 1 (none), 2 or 4.
    """

    before_ms: float = 0.75
    after_ms: float = 1.25
    neighbours: int = 0
    upsample: int = 4

    def __post_init__(self) -> None:
        self.require("before_ms", 0 <= self.before_ms <= 100, "choose 0 to 100 ms")
        self.require("after_ms", 0 < self.after_ms <= 100, "choose up to 100 ms")
        self.require("neighbours", 0 <= self.neighbours <= MAX_NEIGHBOURS, f"choose 1 to {MAX_NEIGHBOURS}, or 0 for automatic")
        self.require("upsample", self.upsample in (1, 2, 4), "choose 1, 2 or 4")


@inlined
def _vertex(before, now, after, upsample):  # type: ignore[no-untyped-def]
    """Return where the parabola through three samples turns, relative to the middle one, in 1/`upsample`, at most half a sample."""
    slope, bend = np.int32(before) - np.int32(after), np.int32(before) - 2 * np.int32(now) + np.int32(after)
    turn, size = abs(np.int64(slope)) * np.int64(upsample), abs(np.int64(bend))
    steps = np.int64(turn >= size) + np.int64(turn >= 3 * size)
    steps = min(steps, np.int64(upsample) >> 1)
    if size == 0:
        return np.int64(0)
    return -steps if (slope < 0) != (bend < 0) else steps


@kernel
def _fetch(x, history, next_row, first, length, near, neighbours, rows):  # type: ignore[no-untyped-def]
    """Gather ``rows[i * neighbours + j]``, frame `first` + i of channel ``near[j]``; negative frames are in the history."""
    for i in range(length):
        n = first + i
        from_block = n >= 0
        row = (next_row + n) & (HISTORY - 1)
        for j in range(neighbours):
            c = np.int64(near[j])
            value = np.int16(0)
            if c >= 0:
                value = x[n, c] if from_block else history[row, c]
            rows[i * neighbours + j] = value


@kernel
def _shifted(rows, taps, neighbours, snippet):  # type: ignore[no-untyped-def]
    """Interpolate: snippet[i] from the eight values rows[i], rows[i + neighbours] ..."""
    t0, t1, t2, t3, t4, t5, t6, t7 = taps[0], taps[1], taps[2], taps[3], taps[4], taps[5], taps[6], taps[7]
    for i in range(np.uint64(len(snippet))):
        n = np.uint64(neighbours)
        total = np.int32(1 << 14)
        total = np.int32(total + np.int32(t0) * np.int32(rows[i]) + np.int32(t1) * np.int32(rows[i + n]))
        total = np.int32(total + np.int32(t2) * np.int32(rows[i + 2 * n]) + np.int32(t3) * np.int32(rows[i + 3 * n]))
        total = np.int32(total + np.int32(t4) * np.int32(rows[i + 4 * n]) + np.int32(t5) * np.int32(rows[i + 5 * n]))
        total = np.int32(total + np.int32(t6) * np.int32(rows[i + 6 * n]) + np.int32(t7) * np.int32(rows[i + 7 * n]))
        snippet[i] = saturate16(np.int32(total >> np.int32(15)))


@kernel
def _cut(before, width, neighbours, upsample, near, taps, next_row, history, x, at, waveform, rows):  # type: ignore[no-untyped-def]
    """Cut one snippet: int16 [width, neighbours], of the channels `near`, around frame `at`."""
    _fetch(x, history, next_row, at - 1, 3, near, 1, rows)
    shift = _vertex(rows[0], rows[1], rows[2], upsample) * (PHASES // np.int64(upsample))
    first, phase = at - before + (shift >> 2), shift & (PHASES - 1)
    snippet = waveform.reshape(-1)
    if phase == 0:
        _fetch(x, history, next_row, first, width, near, neighbours, snippet)
    else:
        _fetch(x, history, next_row, first - TAPS // 2 + 1, width + TAPS - 1, near, neighbours, rows)
        _shifted(rows, taps[phase], neighbours, snippet)


@kernel
def process(  # type: ignore[no-untyped-def]
    before, width, neighbours, upsample, tail, wait, near, taps,
    next_row, pending, done, newest, overflow, late, when, channel, amplitude, unit, history,
    x, in_at, in_channel, in_amplitude, in_unit, out_at, out_channel, out_amplitude, out_unit, waveform, frames, channels, spikes,
):  # fmt: skip
    """Take in `spikes` that became known in a block x: int16 [frames, channels]; return how many snippets are complete.

    in_*: int32 [spikes], frames in the block; out_*: the same of the complete ones, with waveform: int16 [most, width, neighbours];
    room for as many as are taken in and were pending. A spike of no channel, or whose snippet would begin before the history, is
    not taken in: the result is `NO_TIME` or `NO_CHANNEL`, and nothing has changed.
    """
    for k in range(spikes):
        if in_channel[k] < 0 or in_channel[k] >= channels:
            return NO_CHANNEL
        if in_at[k] < np.int64(before) + TAPS // 2 - HISTORY or in_at[k] >= frames:
            return NO_TIME
    b, w, row = np.int64(before), np.int64(width), np.int64(next_row[0])
    rows = np.empty((MAX_WIDTH + TAPS) * MAX_NEIGHBOURS, np.int16)
    found, first = 0, np.int64(done[0])
    for k in range(spikes + 1):
        # the spikes that leave the list, and after the last arrival all others that are complete, are passed on
        limit = np.int64(in_at[k]) - np.int64(wait) if k < spikes else frames - np.int64(tail)
        while first < pending[0] and when[first] < limit:
            out_at[found], out_channel[found], out_amplitude[found] = when[first], channel[first], amplitude[first]
            out_unit[found] = unit[first]
            _cut(
                b, w, np.int64(neighbours), upsample, near[channel[first]], taps, row, history, x,
                np.int64(when[first]), waveform[found], rows,
            )  # fmt: skip
            found += 1
            first += 1
        if k < spikes:
            if in_at[k] < newest[0] - LAG:
                late[0] += np.uint32(1)
                continue
            newest[0] = max(newest[0], in_at[k])
            gone = np.int64(0)
            while gone < first and when[gone] < limit:
                gone += 1
            if gone != 0:
                for i in range(gone, np.int64(pending[0])):
                    when[i - gone], channel[i - gone], amplitude[i - gone] = when[i], channel[i], amplitude[i]
                    unit[i - gone] = unit[i]
                pending[0] -= np.uint32(gone)
                first -= gone
            end = np.int64(pending[0])
            if end == len(when):
                overflow[0] += np.uint32(1)
                continue
            when[end], channel[end], amplitude[end], unit[end] = in_at[k], in_channel[k], in_amplitude[k], in_unit[k]
            pending[0] += np.uint32(1)
    done[0] = np.uint32(first)
    newest[0] = np.int32(max(np.int64(newest[0]) - frames, np.int64(-0x40000000)))
    for i in range(np.int64(pending[0])):
        when[i] = np.int32(max(np.int64(when[i]) - frames, np.int64(-0x40000000)))
    for n in range(max(frames - HISTORY, 0), frames):
        to = (row + n) & (HISTORY - 1)
        for c in range(channels):
            history[to, c] = x[n, c]
    next_row[0] = np.uint32((row + frames) & (HISTORY - 1))
    return found


class Snippets(Stage):
    """Snippet extraction; see the module."""

    name = "snippets"
    Parameters = SnippetsParameters
    takes = (Samples, Spikes)
    gives = Spikes
    kernel = staticmethod(process)
    call = ("x", *TAKEN, "unit", *GIVEN, "out_waveform", "frames", "channels", "spikes")

    def __init__(self, parameters: SnippetsParameters, signal: SampleFormat, *others: Any, **named: Any) -> None:
        super().__init__(parameters, signal, *others, **named)
        tables = self.tables
        self.latency = int(tables["tail"])
        self.shape = self.output.snippet
        self.reach = HISTORY - int(tables["before"]) - TAPS // 2

    @classmethod
    def tables_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_snippets_tables``."""
        scalars = dict.fromkeys(("before", "width", "neighbours", "upsample", "tail", "wait"), "u4")
        return layout(**scalars, near=("i2", (capacity.channels, MAX_NEIGHBOURS)), taps=("i2", (PHASES, TAPS)))

    @classmethod
    def state_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_snippets_state``: two spikes a channel may wait, and 32."""
        room = 2 * capacity.channels + 32
        scalars = {"next_row": "u4", "pending": "u4", "done": "u4", "newest": "i4", "overflow": "u4", "late": "u4"}
        columns = dict.fromkeys(("when", "channel", "amplitude", "unit"), ("i4", room))
        return layout(**scalars, **columns, history=("i2", (HISTORY, capacity.channels)))

    @classmethod
    def design(cls, parameters: SnippetsParameters, signal: SampleFormat, capacity: Capacity) -> Design:
        """Turn times into frames, choose the neighbours, and derive the interpolator."""
        p, tables = parameters, blank(cls.tables_layout(capacity))
        before, after = (round(t * signal.rate_hz / 1000) for t in (p.before_ms, p.after_ms))
        if after < 1 or before + after > MAX_WIDTH:
            raise BitspikeError(
                f"before_ms = {p.before_ms:g} and after_ms = {p.after_ms:g} are {before} and {after} frames at "
                f"{signal.rate_hz:g} Hz; choose at least one after the peak, and no more than {MAX_WIDTH} together"
            )
        near = nearest_channels(signal, MAX_NEIGHBOURS, RADIUS_UM if p.neighbours == 0 else np.inf)
        most = int((near >= 0).sum(axis=1).max())
        tables["before"], tables["width"] = before, before + after
        tables["neighbours"] = p.neighbours or min(most, AUTOMATIC)
        tables["upsample"] = p.upsample
        tables["tail"] = max(1, after - 1 + (TAPS // 2 if p.upsample > 1 else 0))
        tables["wait"] = tables["tail"] + LAG
        tables["near"], tables["near"][: signal.channels] = -1, near
        taps = lagrange_taps()
        require_fits("the interpolator's sum", float(np.abs(taps.astype(np.int64)).sum(axis=1).max()) * 2**15 + 2**14, 32)
        tables["taps"] = taps
        proofs = {
            "width, frames": int(tables["width"]),
            "channels of a snippet": int(tables["neighbours"]),
            "frames by which a spike may come late": HISTORY - before - TAPS // 2,
        }
        return Design(tables, signal.with_(snippet=(int(tables["width"]), int(tables["neighbours"]))), proofs)

    @classmethod
    def examples(cls) -> Iterator[SnippetsParameters]:
        """Yield examples of each alignment, of few and of all neighbours."""
        yield SnippetsParameters()
        yield SnippetsParameters(before_ms=0.5, after_ms=0.5, neighbours=1, upsample=1)
        yield SnippetsParameters(before_ms=0.0, after_ms=5.0, neighbours=16, upsample=2)

    def room(self, frames: int, spikes: int) -> int:
        """Return the spikes taken in with those that can be pending."""
        return spikes + len(self.state["when"])

    def advance(self, samples: Samples, spikes: Spikes) -> Spikes:
        """Take in one block, and cut the snippets that are complete."""
        count = len(spikes)
        at, unit = NONE, spikes.unit
        if count:
            at = (spikes.sample - samples.start).astype(np.int32)
            unit = unit if len(unit) == count else np.full(count, UNSORTED, np.int32)
        most = count + int(self.state["pending"]) - int(self.state["done"])
        found, waveform = np.empty((4, most), np.int32), np.empty((most, *self.shape), np.int16)
        inputs = (samples.data, at, spikes.channel, spikes.amplitude, unit)
        complete = self.step(*inputs, found[0], found[1], found[2], found[3], waveform, *samples.data.shape, count)
        if complete == 0:
            return Spikes(samples.start, samples.stop)
        if complete < 0:
            raise BitspikeError(f"stage {self.name}: {misplaced(complete, self.signal.channels, self.reach)}")
        sample = found[0, :complete].astype(np.int64)
        sample += samples.start
        channel, amplitude, unit = (found[i, :complete].copy() for i in (1, 2, 3))
        return Spikes(samples.start, samples.stop, sample, channel, amplitude, unit, waveform[:complete].copy())


def lagrange_taps() -> np.ndarray:
    """Return the interpolator for each quarter of a sample: int16 [phases, taps] in Q15, each row of sum one.

    Tap t weighs the sample at t - 3, for a value at phase / 4: the product of (d - m) / (t - m) over all other taps m. The largest
    tap takes up what rounding leaves; that of phase 0 is no more than 32767, and is not used.
    """
    taps = np.zeros((PHASES, TAPS), np.int16)
    for phase in range(PHASES):
        d = TAPS // 2 - 1 + phase / PHASES
        weights = [np.prod([(d - m) / (t - m) for m in range(TAPS) if m != t]) for t in range(TAPS)]
        row = np.rint(np.array(weights) * 2**15).astype(np.int64)
        row[np.argmax(row)] += 2**15 - row.sum()
        taps[phase] = np.minimum(row, 2**15 - 1)
    return taps
