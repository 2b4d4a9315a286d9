"""Common reference: the mean or the median of each channel group is subtracted from its channels, frame by frame.

    mean     (2 sum + N) / (2 N), rounded down: to nearest, halves up
    median   the lower one: the value number (N - 1) / 2, rounded down, of the N in ascending order

What all channels of a group share, such as hum, movement and chewing, is removed; the median is not moved by the spikes of a few
channels (Ludwig et al. 2009, J. Neurophysiology 101, 1679; Rolston, Gross and Potter 2009, Frontiers in Neuroengineering 2, 3). A
group of one channel is left as it is. Each frame stands for itself: there is no state. The difference is held within int16.
`firmware/src/reference.c` is the same text in C for one frame at a time; here, the medians of 32 frames are looked for at once, and
at first near those of the frames before, as int8 instead of int16.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline import lanes, turning
from pipeline.blocks import SampleFormat, Samples
from pipeline.capacity import Capacity
from pipeline.errors import BitspikeError
from pipeline.fixed import inlined, kernel
from pipeline.lanes import WIDTH, WIDTH16
from pipeline.lanes8 import WIDTH8, half, load8, narrowed, splat8
from pipeline.layout import blank, layout
from pipeline.stage import INT16, Design, Parameters, Stage

KINDS = ("mean", "median")
SEVERAL = 8  # channels of a group, from which on it is worth while to look for the medians near those before
NOWHERE = 1 << 20  # outside int16
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
def _turn_in(x, first, frames, tile, at, channels):  # type: ignore[no-untyped-def]
    """Turn up to 16 frames into the part of a tile from `at` on: a line for each channel, a column for each frame."""
    if frames == WIDTH16 and channels >= WIDTH:
        for c in range(0, channels, WIDTH):
            c = min(c, channels - WIDTH)  # the last eight channels overlap those before
            turning.turn_in(x, first, c, tile, c, at)
    else:
        for c in range(channels):
            for k in range(frames):
                tile[c, at + k] = x[first + k, c]


@inlined
def _turn_out(tile, at, y, first, frames, channels):  # type: ignore[no-untyped-def]
    """Turn a part of a tile back into frames."""
    if frames == WIDTH16 and channels >= WIDTH:
        for c in range(0, channels, WIDTH):
            c = min(c, channels - WIDTH)
            turning.turn_out(tile, c, at, y, first, c)
    else:
        for c in range(channels):
            for k in range(frames):
                y[first + k, c] = tile[c, at + k]


@inlined
def _range(tile, at, first, last):  # type: ignore[no-untyped-def]
    """Return the lowest and the highest value of the lines `first` to `last` - 1."""
    low = top = lanes.load16(tile, first, at)
    for c in range(first + 1, last):
        line = lanes.load16(tile, c, at)
        low, top = lanes.smaller(low, line), lanes.larger(top, line)
    return np.int32(lanes.least(low)), np.int32(lanes.most(top))


@inlined
def _median(tile, at, first, last):  # type: ignore[no-untyped-def]
    """Return the lower median of the lines `first` to `last` - 1, found bit by bit.

    The median is the largest value that at most (N - 1) / 2 others are below. Only the bits in which the lines' values can differ
    are tried; `base` starts low enough that no trial leaves int16.
    """
    least, most = _range(tile, at, first, last)
    step = np.int32(1)
    while step <= most - least:
        step = np.int32(step << 1)
    base, most_below = lanes.splat16(min(least, np.int32(32768) - step)), lanes.splat16((last - first - 1) // 2)
    step = np.int32(step >> 1)
    while step > 0:
        trial = base + step
        even = odd = lanes.splat16(0)  # two counts, since one would wait for itself
        for i in range(first, last - 1, 2):
            even = even - lanes.less(lanes.load16(tile, i, at), trial)
            odd = odd - lanes.less(lanes.load16(tile, i + 1, at), trial)
        if (last - first) & 1:
            even = even - lanes.less(lanes.load16(tile, last - 1, at), trial)
        base = lanes.chosen(lanes.less(most_below, even + odd), base, trial)
        step = np.int32(step >> 1)
    return base


@inlined
def _near_median(tile, first, last, middle, bytes_of):  # type: ignore[no-untyped-def]
    """Return the lower median of both halves of the lines, less `middle`, held within int8.

    What is held at an end of int8 keeps its place in the order, so a median that is not at an end is what it would be in int16.
    """
    centre = lanes.splat16(middle)
    for i in range(first, last):
        low = lanes.difference16(lanes.load16(tile, i, 0), centre)
        high = lanes.difference16(lanes.load16(tile, i, WIDTH16), centre)
        lanes.store(bytes_of, i, 0, narrowed(low, high))
    base, most_below = splat8(-128), splat8((last - first - 1) // 2)
    for bit in range(8):
        trial = base + np.int32(128 >> bit)
        even = odd = splat8(0)
        for i in range(first, last - 1, 2):
            even = even - lanes.less(load8(bytes_of, i, 0), trial)
            odd = odd - lanes.less(load8(bytes_of, i + 1, 0), trial)
        if (last - first) & 1:
            even = even - lanes.less(load8(bytes_of, last - 1, 0), trial)
        base = lanes.chosen(lanes.less(most_below, even + odd), base, trial)
    return base


@inlined
def _mean(tile, at, first, last, reciprocal, shift, total, centre):  # type: ignore[no-untyped-def]
    """Return the mean of the lines `first` to `last` - 1: division by multiplication, exact as `design` proves."""
    count = last - first
    low = high = lanes.splat(0)
    for i in range(first, last):
        low, high = low + lanes.load(tile, i, at), high + lanes.load(tile, i, at + WIDTH)
    lanes.store(total, 0, 0, low)
    lanes.store(total, 0, WIDTH, high)
    for k in range(WIDTH16):
        positive = np.uint64(2 * (np.int64(total[0, k]) + 32768 * count) + count)
        centre[0, k] = np.int16(np.int64(positive * np.uint64(reciprocal) >> np.uint64(shift)) - 32768)
    return lanes.load16(centre, 0, 0)


@kernel
def process(mean, groups, in_order, begin, members, reciprocal, shift, _reserved, x, y, frames, channels):  # type: ignore[no-untyped-def]
    """Refer x: int16 [frames, channels] -> y: int16 [frames, channels]."""
    wide = WIDTH8 if frames >= WIDTH8 else WIDTH16  # frames of a tile
    lines = np.zeros((channels, WIDTH8), np.int16)
    tile = lines if in_order != 0 else np.empty((channels, WIDTH8), np.int16)
    total, centre = np.empty((1, WIDTH16), np.int32), np.empty((1, WIDTH8), np.int16)
    apart = in_order == 0  # whether the members of a group fill no register side by side; else the tile is not turned back
    for g in range(groups):
        apart = apart or begin[g + 1] - begin[g] < WIDTH16
    near = np.full(groups, NOWHERE, np.int32)  # of a group, the middle of the medians of the tile before, if they are near it
    bytes_of = np.empty((channels if mean == 0 else 0, WIDTH8), np.int8)
    for start in range(0, frames, wide):
        first, count = min(start, max(frames - wide, 0)), min(frames, WIDTH16)  # the last frames overlap those before
        for at in range(0, wide, WIDTH16):
            _turn_in(x, first + at, count, lines, at, channels)
        if in_order == 0:
            for i in range(channels):
                for at in range(0, wide, WIDTH16):
                    lanes.store(tile, i, at, lanes.load16(lines, members[i], at))
        for g in range(groups):
            a, b = np.int64(begin[g]), np.int64(begin[g + 1])
            if b - a < 2:
                continue
            low = high = lanes.splat16(0)
            found = False
            if near[g] != NOWHERE:
                above = _near_median(tile, a, b, near[g], bytes_of)
                low, high = half(above, 0), half(above, WIDTH16)
                least, most = lanes.least(lanes.smaller(low, high)), lanes.most(lanes.larger(low, high))
                found = least > -128 and most < 127
                low, high = low + near[g], high + near[g]
                near[g] += (np.int32(least) + np.int32(most)) >> 1
            if not found:
                if mean != 0:
                    low = high = _mean(tile, 0, a, b, reciprocal[g], shift[g], total, centre)
                    if wide == WIDTH8:
                        high = _mean(tile, WIDTH16, a, b, reciprocal[g], shift[g], total, centre)
                else:
                    low = high = _median(tile, 0, a, b)
                    if wide == WIDTH8:
                        high = _median(tile, WIDTH16, a, b)
                        least, most = lanes.least(lanes.smaller(low, high)), lanes.most(lanes.larger(low, high))
                        spread = np.int32(most) - np.int32(least)
                        is_near = SEVERAL <= b - a <= 127 and spread < 192  # that many still count in an int8
                        near[g] = (np.int32(least) + np.int32(most)) >> 1 if is_near else NOWHERE
            if apart:
                for i in range(a, b):
                    lanes.store(tile, i, 0, lanes.difference16(lanes.load16(tile, i, 0), low))
                    lanes.store(tile, i, WIDTH16, lanes.difference16(lanes.load16(tile, i, WIDTH16), high))
            else:
                lanes.store(centre, 0, 0, low)
                lanes.store(centre, 0, WIDTH16, high)
                for k in range(min(wide, frames)):
                    common = lanes.splat16(centre[0, k])
                    for begun in range(a, b, WIDTH16):
                        c = min(np.int64(begun), b - WIDTH16)  # the last channels overlap those before
                        lanes.store(y, first + k, c, lanes.difference16(lanes.load16(x, first + k, c), common))
        if apart:
            for i in range(channels if in_order == 0 else 0):
                for at in range(0, wide, WIDTH16):
                    lanes.store(lines, members[i], at, lanes.load16(tile, i, at))
            for at in range(0, wide, WIDTH16):
                _turn_out(lines, at, y, first + at, count, channels)
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
