"""Common reference: the mean or the median of each channel group is subtracted from its channels, frame by frame.

    mean     (2 sum + N) / (2 N), rounded down: to nearest, halves up
    median   the lower one: the value number (N - 1) / 2, rounded down, of the N in ascending order

What all channels of a group share, such as hum, movement and chewing, is removed; the median is not moved by the spikes of a few
channels (Ludwig et al. 2009, J. Neurophysiology 101, 1679; Rolston, Gross and Potter 2009, Frontiers in Neuroengineering 2, 3). A
group of one channel is left as it is. Each frame stands for itself: there is no state. The difference is held within int16.
`firmware/src/reference.c` is the same text in C, with one frame in place of sixteen; so it has no use for where the sixteen medians
before were, around which those of a large group are looked for here first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline import lanes
from pipeline.blocks import SampleFormat, Samples
from pipeline.capacity import Capacity
from pipeline.errors import BitspikeError
from pipeline.fixed import inlined, kernel
from pipeline.lanes import WIDTH, WIDTH16
from pipeline.layout import blank, layout
from pipeline.stage import INT16, Design, Parameters, Stage

KINDS = ("mean", "median")
LARGE = 16  # channels of a group, from which on its medians change little from frame to frame, compared with its values
MAX_GROUP = 8192  # channels of a group, so that its sum fits the exact division


@dataclass(frozen=True)
class ReferenceParameters(Parameters):
    """Parameters.

    Attributes
    ----------
    kind : str
        "median" or "mean".
    least_channels : int
        Groups of fewer channels are left as they are: of a tetrode's, a spike reaches so many that it would go with the reference.
    """

    kind: str = "median"
    least_channels: int = 2

    def __post_init__(self) -> None:
        self.require("least_channels", 2 <= self.least_channels <= MAX_GROUP, f"choose 2 to {MAX_GROUP}")
        self.require("kind", self.kind in KINDS, f"choose one of {', '.join(KINDS)}")


@inlined
def _turn_in(x, first, frames, tile, channels):  # type: ignore[no-untyped-def]
    """Turn up to 16 frames into a tile: a line for each channel, a column for each frame."""
    if frames == WIDTH16 and channels >= WIDTH:
        for c in range(0, channels, WIDTH):
            c = min(c, channels - WIDTH)  # the last eight channels overlap those before
            lanes.turn_in(x, first, c, tile, c, 0)
    else:
        for c in range(channels):
            for k in range(frames):
                tile[c, k] = x[first + k, c]


@inlined
def _turn_out(tile, y, first, frames, channels):  # type: ignore[no-untyped-def]
    """Turn a tile back into frames."""
    if frames == WIDTH16 and channels >= WIDTH:
        for c in range(0, channels, WIDTH):
            c = min(c, channels - WIDTH)
            lanes.turn_out(tile, c, 0, y, first, c)
    else:
        for c in range(channels):
            for k in range(frames):
                y[first + k, c] = tile[c, k]


@inlined
def _ends(low, top, ends):  # type: ignore[no-untyped-def]
    """Return the least of the lanes of `low`, and the most of those of `top`."""
    lanes.store(ends, 0, 0, low)
    lanes.store(ends, 1, 0, top)
    least, most = np.int32(ends[0, 0]), np.int32(ends[1, 0])
    for k in range(1, WIDTH16):
        least, most = min(least, np.int32(ends[0, k])), max(most, np.int32(ends[1, k]))
    return least, most


@inlined
def _range(tile, channels, ends):  # type: ignore[no-untyped-def]
    """Return the lowest and the highest value of a tile."""
    low = top = lanes.load16(tile, 0, 0)
    for c in range(1, channels):
        line = lanes.load16(tile, c, 0)
        low, top = lanes.smaller(low, line), lanes.larger(top, line)
    return _ends(low, top, ends)


@inlined
def _bracket(least, most, spare):  # type: ignore[no-untyped-def]
    """Return where a bracket around `least` to `most` begins, and its width, a power of two of more than `spare` times theirs.

    It lies within int16, so that no trial leaves that.
    """
    width = np.int32(1)
    while width <= (most - least) * spare:
        width = np.int32(width << 1)
    middle = np.int32((least + most + 1 - width) >> 1)
    return max(min(middle, np.int32(32768) - width), np.int32(-32768)), width


@inlined
def _median(tile, first, last, low, width):  # type: ignore[no-untyped-def]
    """Return the lower median of the lines `first` to `last` - 1, found bit by bit; held within `width` values from `low` on.

    The median is the largest value that at most (N - 1) / 2 others are below.
    """
    base, half = lanes.splat16(low), lanes.splat16((last - first - 1) // 2)
    step = np.int32(width >> 1)
    while step > 0:
        trial = base + step
        even = odd = lanes.splat16(0)  # two counts, since one would wait for itself
        for i in range(first, last - 1, 2):
            even = even - lanes.less(lanes.load16(tile, i, 0), trial)
            odd = odd - lanes.less(lanes.load16(tile, i + 1, 0), trial)
        if (last - first) & 1:
            even = even - lanes.less(lanes.load16(tile, last - 1, 0), trial)
        base = lanes.chosen(lanes.less(half, even + odd), base, trial)
        step = np.int32(step >> 1)
    return base


@inlined
def _mean(tile, first, last, reciprocal, shift, total, centre):  # type: ignore[no-untyped-def]
    """Return the mean of the lines `first` to `last` - 1: division by multiplication, exact as `design` proves."""
    count = last - first
    low = high = lanes.splat(0)
    for i in range(first, last):
        low, high = low + lanes.load(tile, i, 0), high + lanes.load(tile, i, WIDTH)
    lanes.store(total, 0, 0, low)
    lanes.store(total, 0, WIDTH, high)
    for k in range(WIDTH16):
        positive = np.uint64(2 * (np.int64(total[0, k]) + 32768 * count) + count)
        centre[0, k] = np.int16(np.int64(positive * np.uint64(reciprocal) >> np.uint64(shift)) - 32768)
    return lanes.load16(centre, 0, 0)


@kernel
def process(mean, groups, in_order, begin, members, reciprocal, shift, _reserved, x, y, frames, channels):  # type: ignore[no-untyped-def]
    """Refer x: int16 [frames, channels] -> y: int16 [frames, channels]."""
    lines = np.zeros((channels, WIDTH16), np.int16)
    tile = lines if in_order != 0 else np.empty((channels, WIDTH16), np.int16)
    total, centre = np.empty((1, WIDTH16), np.int32), np.empty((2, WIDTH16), np.int16)
    near = np.zeros((groups, 2), np.int32)  # of a large group, the bracket where its medians are expected
    least = most = np.int32(0)
    for start in range(0, frames, WIDTH16):
        first, count = min(start, max(frames - WIDTH16, 0)), min(frames, WIDTH16)  # the last frames overlap those before
        _turn_in(x, first, count, lines, channels)
        if in_order == 0:
            for i in range(channels):
                lanes.store(tile, i, 0, lanes.load16(lines, members[i], 0))
        ranged = False
        for g in range(groups):
            a, b = np.int64(begin[g]), np.int64(begin[g + 1])
            if b - a > 1:
                if mean != 0:
                    common = _mean(tile, a, b, reciprocal[g], shift[g], total, centre)
                else:
                    low, width = near[g, 0], near[g, 1]
                    while True:
                        expected = width != 0
                        if not expected:
                            if not ranged:
                                least, most = _range(tile, channels, centre)
                                ranged = True
                            low, width = _bracket(least, most, 1)
                        common = _median(tile, a, b, low, width)
                        if b - a < LARGE:
                            break
                        lowest, highest = _ends(common, common, centre)
                        if not expected or (low < lowest and highest < low + width - 1):
                            near[g, 0], near[g, 1] = _bracket(lowest - 1, highest + 1, 2)
                            break
                        width = np.int32(0)  # one that is at an end of the bracket may lie outside
                for i in range(a, b):
                    lanes.store(tile, i, 0, lanes.difference16(lanes.load16(tile, i, 0), common))
        if in_order == 0:
            for i in range(channels):
                lanes.store(lines, members[i], 0, lanes.load16(tile, i, 0))
        _turn_out(lines, y, first, count, channels)
    return 0


class Reference(Stage):
    """Common reference by channel group; see the module."""

    name = "reference"
    Parameters = ReferenceParameters
    kernel = staticmethod(process)
    call = ("x", "y", "frames", "channels")

    @classmethod
    def tables_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_reference_tables``."""
        return layout(
            mean="u4",
            groups="u4",
            in_order="u4",
            begin=("u2", capacity.channels + 1),
            members=("u2", capacity.channels),
            reciprocal=("u4", capacity.channels),
            shift=("u4", capacity.channels),
        )

    @classmethod
    def state_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_reference_state``: nothing, but a struct has a field."""
        return layout(reserved="u4")

    @classmethod
    def design(cls, parameters: ReferenceParameters, signal: SampleFormat, capacity: Capacity) -> Design:
        """List the members of each group, and find the multiplier that divides by their number."""
        tables, group_of = blank(cls.tables_layout(capacity)), _referred(signal.group_of, parameters.least_channels)
        members = np.argsort(group_of, kind="stable")
        sizes = np.bincount(group_of)
        if sizes.max() > MAX_GROUP or signal.channels > 65535:
            raise BitspikeError(f"groups: one has {sizes.max()} channels, at most {MAX_GROUP} can share a reference")
        tables["mean"], tables["groups"] = parameters.kind == "mean", len(sizes)
        tables["in_order"] = np.array_equal(members, np.arange(signal.channels))
        tables["begin"][: len(sizes) + 1] = np.concatenate([[0], np.cumsum(sizes)])
        tables["members"][: signal.channels] = members
        for g, size in enumerate(sizes.tolist()):
            tables["reciprocal"][g], tables["shift"][g] = _divider(size)
        output = signal.with_(bits=min(16, signal.bits + 1))
        return Design(tables, output, {"groups": len(sizes), "channels of the largest group": int(sizes.max())})

    @classmethod
    def examples(cls) -> Iterator[ReferenceParameters]:
        """Yield one example per kind."""
        for kind in KINDS:
            yield ReferenceParameters(kind)

    def advance(self, samples: Samples) -> Samples:
        """Refer one block."""
        x = samples.data
        referred = np.empty(x.shape, INT16)
        self.step(x, referred, len(x), self.signal.channels)
        return Samples(samples.start, referred, samples.flags)


def _referred(group_of: np.ndarray, least: int) -> np.ndarray:
    """Return the group of each channel, numbered from 0, with those of fewer than `least` channels broken up into single ones."""
    alone = np.bincount(group_of)[group_of] < least
    apart = np.where(alone, group_of.max() + 1 + np.arange(len(group_of)), group_of)
    return np.unique(apart, return_inverse=True)[1]


def _divider(count: int) -> tuple[int, int]:
    """Return m and s with ``t m >> s == t // (2 count)`` for every t that a sum of `count` int16 can give.

    With m = floor(2**s / d) + 1 and e = m d - 2**s, the quotient is exact for all t with t e < 2**s (Granlund and Montgomery 1994,
    Division by invariant integers using multiplication, theorem 4.2).
    """
    divisor, largest = 2 * count, 2 * 65535 * count + count
    for shift in range(16, 64):
        multiplier = (1 << shift) // divisor + 1
        if multiplier < 1 << 32 and largest * multiplier < 1 << 64 and largest * (multiplier * divisor - (1 << shift)) < 1 << shift:
            return multiplier, shift
    raise BitspikeError(f"groups: no exact division by {count} channels fits 64 bits")
