"""Local exclusion: of the candidates that one spike leaves on neighbouring channels and samples, keep the largest.

Two candidates are rivals when they lie within `sweep_ms` of each other on neighbouring channels, or within `refractory_ms` on one
channel. The larger is the one of larger |amplitude|; of equals the earlier, then that of the lower channel. The rule is greedy
suppression, largest first (as in non-maximum suppression), cut off after `rounds` rounds so that it can be decided on a stream:

    in each round, every candidate left that has no larger rival left is kept, and then all rivals of those kept are dropped;
    what is left after the last round is dropped.

Of those kept, one is dropped after all if a kept one on a neighbouring channel, up to `rebound_ms` before it, was more than
`rebound_ratio` times as large: the band-pass answers the slow end of a large spike with an undershoot of about an eighth of it.

One round is the plain local maximum. It loses the third of three overlapping spikes A > B > C, where B, itself suppressed by A,
hides C; the second round finds it. A round more costs two sweeps of delay.

A candidate's fate is decided exactly once the stream is ``(2 rounds - 1)`` sweeps past it, and `LAG` frames more, by which the
candidates themselves may come late. Those pending are held in a list of fixed size; one that arrives while the list is full of
candidates that still count is dropped, and counted in the state (`overflow`): hundreds of candidates within a few milliseconds are
an artefact. `firmware/src/exclusion.c` is the same text in C.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.blocks import SampleFormat, Spikes
from pipeline.capacity import Capacity
from pipeline.errors import BitspikeError
from pipeline.fixed import inlined, kernel, merged
from pipeline.layout import Field, blank, layout
from pipeline.neural.detection import LAG, NO_CHANNEL, NO_TIME, NONE, misplaced
from pipeline.neural.neighbours import nearest_channels
from pipeline.stage import Design, Parameters, Stage

MAX_ROUNDS = 4


@dataclass(frozen=True)
class ExclusionParameters(Parameters):
    """Parameters in physical units.

    Attributes
    ----------
    sweep_ms : float
        Candidates on neighbouring channels exclude each other within this time, before and after; 0 to 5.
    radius_um : float
        Channels are neighbours within this distance, if of one group. Without positions, all channels of a group are neighbours;
        without groups, those of at most four channels (a tetrode), else none.
    refractory_ms : float
        Candidates on one channel exclude each other within this time, if it is longer than `sweep_ms`; 0 to 5.
    rounds : int
        Rounds of exclusion, 1 to 4. One is enough before a sorter that takes overlapping spikes apart, and admits fewer echoes of
        a large spike on distant channels.
    rebound_ms : float
        For so long after a large spike, much smaller ones nearby are taken for its undershoot; 0 to 10, 0 for none.
    rebound_ratio : int
        How many times as large, 2 to 64.
    """

    sweep_ms: float = 0.35
    radius_um: float = 75.0
    refractory_ms: float = 0.5
    rounds: int = 1
    rebound_ms: float = 2.0
    rebound_ratio: int = 3

    def __post_init__(self) -> None:
        self.require("sweep_ms", 0 <= self.sweep_ms <= 5, "choose 0 to 5 ms")
        self.require("radius_um", 0 <= self.radius_um < 1e6, "choose a distance from 0 on")
        self.require("refractory_ms", 0 <= self.refractory_ms <= 5, "choose 0 to 5 ms")
        self.require("rounds", 1 <= self.rounds <= MAX_ROUNDS, f"choose 1 to {MAX_ROUNDS}")
        self.require("rebound_ms", 0 <= self.rebound_ms <= 10, "choose 0 to 10 ms")
        self.require("rebound_ratio", 2 <= self.rebound_ratio <= 64, "choose 2 to 64")


@inlined
def _rivals(near, sweep, refractory, apart, one, other):  # type: ignore[no-untyped-def]
    """Say whether candidates on channels `one` and `other` exclude each other, `apart` frames apart."""
    if apart <= sweep and (near[one, other >> 5] >> np.uint32(other & 31)) & np.uint32(1) != 0:
        return True
    return one == other and apart <= refractory


@inlined
def _size(amplitude):  # type: ignore[no-untyped-def]
    """Return |amplitude| as uint32, right for -2**31 too."""
    return np.uint32(abs(np.int64(amplitude)))


@merged
def _beaten(near, sweep, refractory, reach, when, channel, amplitude, mark, count, i, number):  # type: ignore[no-untyped-def]
    """Say whether candidate `i` has a larger rival that was left before round `number`."""
    size = _size(amplitude[i])
    j = i - 1
    while j >= 0 and when[i] - when[j] <= reach:
        left = mark[j] == 0 or (mark[j] >> 1) >= number
        if left and _size(amplitude[j]) >= size and _rivals(near, sweep, refractory, when[i] - when[j], channel[i], channel[j]):
            return True
        j -= 1
    j = i + 1
    while j < count and when[j] - when[i] <= reach:
        left = mark[j] == 0 or (mark[j] >> 1) >= number
        if left and _size(amplitude[j]) > size and _rivals(near, sweep, refractory, when[j] - when[i], channel[i], channel[j]):
            return True
        j += 1
    return False


@merged
def _excluded(near, sweep, refractory, reach, when, channel, mark, count, i, number):  # type: ignore[no-untyped-def]
    """Say whether candidate `i` has a rival that was kept in round `number`."""
    kept = np.uint8(2 * number + 1)
    j = i - 1
    while j >= 0 and when[i] - when[j] <= reach:
        if mark[j] == kept and _rivals(near, sweep, refractory, when[i] - when[j], channel[i], channel[j]):
            return True
        j -= 1
    j = i + 1
    while j < count and when[j] - when[i] <= reach:
        if mark[j] == kept and _rivals(near, sweep, refractory, when[j] - when[i], channel[i], channel[j]):
            return True
        j += 1
    return False


@merged
def _rebounds(near, rebound, ratio, when, channel, amplitude, mark, i):  # type: ignore[no-untyped-def]
    """Say whether candidate `i` is the undershoot of a kept one before it."""
    limit = np.uint64(_size(amplitude[i])) * np.uint64(ratio)
    j = i - 1
    while j >= 0 and when[i] - when[j] <= rebound:
        one, other = channel[i], channel[j]
        beside = one == other or (near[one, other >> 5] >> np.uint32(other & 31)) & np.uint32(1) != 0
        if beside and mark[j] & 1 != 0 and np.uint64(_size(amplitude[j])) > limit:
            return True
        j -= 1
    return False


@merged
def _decide(  # type: ignore[no-untyped-def]
    sweep, refractory, rounds, rebound, ratio, near, pending, decided, when, channel, amplitude, mark,
    complete, out_at, out_channel, out_amplitude, found,
):  # fmt: skip
    """Decide, and report if kept, all pending candidates that none can change any more.

    All candidates before frame `complete` have arrived. A mark is 0 for a candidate that is left, 2 r for one dropped in round r,
    2 r + 1 for one kept. Those of decided candidates are final; all others are worked out anew.
    """
    reach, rounds = np.int64(max(sweep, refractory)), np.int64(rounds)
    horizon = complete - (2 * rounds - 1) * reach
    first, count = np.int64(decided[0]), np.int64(pending[0])
    if first == count or when[first] >= horizon:
        return found
    for i in range(first, count):
        mark[i] = 0
    for number in range(1, rounds + 1):
        for i in range(first, count):
            if mark[i] == 0 and not _beaten(near, sweep, refractory, reach, when, channel, amplitude, mark, count, i, number):
                mark[i] = np.uint8(2 * number + 1)
        for i in range(first, count):
            if mark[i] == 0 and _excluded(near, sweep, refractory, reach, when, channel, mark, count, i, number):
                mark[i] = np.uint8(2 * number)
    while first < count and when[first] < horizon:
        if mark[first] & 1 != 0 and not _rebounds(near, np.int64(rebound), ratio, when, channel, amplitude, mark, first):
            out_at[found], out_channel[found], out_amplitude[found] = when[first], channel[first], amplitude[first]
            found += 1
        first += 1
    decided[0] = np.uint32(first)
    return found


@merged
def _forget(pending, decided, when, channel, amplitude, mark, oldest):  # type: ignore[no-untyped-def]
    """Take the candidates before frame `oldest` off the list."""
    count, gone = np.int64(pending[0]), 0
    while gone < count and when[gone] < oldest:
        gone += 1
    if gone != 0:
        for i in range(gone, count):
            when[i - gone], channel[i - gone], amplitude[i - gone], mark[i - gone] = when[i], channel[i], amplitude[i], mark[i]
        pending[0] -= np.uint32(gone)
        decided[0] -= np.uint32(gone)


@kernel
def process(  # type: ignore[no-untyped-def]
    sweep, refractory, rounds, rebound, ratio, near, pending, decided, overflow, late, when, channel, amplitude, mark,
    at, in_channel, in_amplitude, out_at, out_channel, out_amplitude, spikes, frames, channels,
):  # fmt: skip
    """Take in `spikes` candidates that became known in a block of `frames`; return how many are reported as kept.

    at, in_channel, in_amplitude: int32 [spikes], frames in the block, from -`LAG` on; out_*: int32, the same of those kept, with
    frames from a little earlier: room for as many as are taken in and were pending. A spike of another time or channel is not
    taken in: the result is `NO_TIME` or `NO_CHANNEL`, and nothing has changed.
    """
    for k in range(spikes):
        if in_channel[k] < 0 or in_channel[k] >= channels:
            return NO_CHANNEL
        if at[k] < -LAG or at[k] >= frames:
            return NO_TIME
    reach = np.int64(max(sweep, refractory))
    # a candidate this far behind a new one is taken off the list: a reach more than what is open can feel, so that candidates need
    # to be decided once per reach only, however crowded the list
    span = (2 * np.int64(rounds) + 1) * reach + LAG + np.int64(rebound)
    found = 0
    for k in range(spikes):
        if pending[0] == len(when) and when[0] < at[k] - span:
            if decided[0] < pending[0] and when[decided[0]] - reach - np.int64(rebound) < at[k] - span:
                found = _decide(
                    sweep, refractory, rounds, rebound, ratio, near, pending, decided, when, channel, amplitude, mark,
                    at[k] - LAG, out_at, out_channel, out_amplitude, found,
                )  # fmt: skip
            _forget(pending, decided, when, channel, amplitude, mark, at[k] - span)
        if pending[0] == len(when):
            overflow[0] += np.uint32(1)
            continue
        i = np.int64(pending[0])
        while i > 0 and (when[i - 1] > at[k] or (when[i - 1] == at[k] and channel[i - 1] > in_channel[k])):
            i -= 1
        if i < decided[0]:  # its time is over
            late[0] += np.uint32(1)
            continue
        for j in range(np.int64(pending[0]), i, -1):
            when[j], channel[j], amplitude[j] = when[j - 1], channel[j - 1], amplitude[j - 1]
        when[i], channel[i], amplitude[i] = at[k], in_channel[k], in_amplitude[k]
        pending[0] += np.uint32(1)
    found = _decide(
        sweep, refractory, rounds, rebound, ratio, near, pending, decided, when, channel, amplitude, mark,
        frames - LAG, out_at, out_channel, out_amplitude, found,
    )  # fmt: skip
    _forget(pending, decided, when, channel, amplitude, mark, frames - LAG - span)
    for j in range(np.int64(pending[0])):
        when[j] = np.int32(when[j] - frames)
    return found


class Exclusion(Stage):
    """Local exclusion; see the module."""

    name = "exclusion"
    Parameters = ExclusionParameters
    takes = (Spikes,)
    gives = Spikes
    kernel = staticmethod(process)
    call = ("at", "channel", "amplitude", "out_at", "out_channel", "out_amplitude", "spikes", "frames", "channels")

    def __init__(self, parameters: Any, signal: SampleFormat, *others: Any, **named: Any) -> None:
        super().__init__(parameters, signal, *others, **named)
        reach = max(int(self.tables["sweep"]), int(self.tables["refractory"]))
        self.latency = (2 * int(self.tables["rounds"]) - 1) * reach + LAG

    @classmethod
    def tables_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_exclusion_tables``; `near` is a bit for each pair of channels."""
        words = (capacity.channels + 31) // 32
        scalars: dict[str, Field] = dict.fromkeys(("sweep", "refractory", "rounds", "rebound", "ratio"), "u4")
        return layout(**scalars, near=("u4", (capacity.channels, words)))

    @classmethod
    def state_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_exclusion_state``: four pending candidates a channel, and 64."""
        length = 4 * capacity.channels + 64
        counts = dict.fromkeys(("pending", "decided", "overflow", "late"), "u4")
        return layout(**counts, when=("i4", length), channel=("i4", length), amplitude=("i4", length), mark=("u1", length))

    @classmethod
    def design(cls, parameters: ExclusionParameters, signal: SampleFormat, capacity: Capacity) -> Design:
        """Turn times into frames and distances into neighbours."""
        p, tables = parameters, blank(cls.tables_layout(capacity))
        tables["sweep"], tables["refractory"] = (round(t * signal.rate_hz / 1000) for t in (p.sweep_ms, p.refractory_ms))
        tables["rounds"] = p.rounds
        tables["rebound"], tables["ratio"] = round(p.rebound_ms * signal.rate_hz / 1000), p.rebound_ratio
        near = nearest_channels(signal, signal.channels, p.radius_um)
        for channel, others in enumerate(near):
            for other in others[others >= 0].tolist():
                tables["near"][channel, other >> 5] |= np.uint32(1 << (other & 31))
        proofs = {
            "neighbours of a channel, mean": float((near >= 0).sum(1).mean() - 1),
            "pending candidates, most": 4 * capacity.channels + 64,
        }
        return Design(tables, signal, proofs)

    @classmethod
    def examples(cls) -> Iterator[ExclusionParameters]:
        """Yield examples of one and more rounds, with and without neighbours."""
        yield ExclusionParameters()
        yield ExclusionParameters(rounds=2, sweep_ms=1.0, rebound_ms=0.0)
        yield ExclusionParameters(rounds=3, radius_um=30.0, refractory_ms=1.0, rebound_ratio=2)
        yield ExclusionParameters(radius_um=0.0, sweep_ms=0.0, refractory_ms=0.0)

    def room(self, frames: int, spikes: int) -> int:
        """Return the spikes taken in with those that can be pending."""
        return spikes + len(self.state["when"])

    def refused(self, code: int) -> BitspikeError:
        """Return which spike is out of place."""
        return BitspikeError(f"stage {self.name}: {misplaced(code, self.signal.channels, LAG)}")

    def advance(self, spikes: Spikes) -> Spikes:
        """Take in the candidates of one block and report what is decided."""
        count, frames = len(spikes), spikes.stop - spikes.start
        at = (spikes.sample - spikes.start).astype(np.int32) if count else NONE
        found = np.empty((3, count + int(self.state["pending"])), np.int32)
        inputs = (at, spikes.channel, spikes.amplitude, found[0], found[1], found[2])
        kept = self.step(*inputs, count, frames, self.signal.channels)
        if kept == 0:
            return Spikes(spikes.start, spikes.stop)
        if kept < 0:
            raise self.refused(kept)
        sample = found[0, :kept].astype(np.int64)
        sample += spikes.start
        return Spikes(spikes.start, spikes.stop, sample, found[1, :kept].copy(), found[2, :kept].copy())
