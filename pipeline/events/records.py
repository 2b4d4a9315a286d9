"""Records: what is told of a passage when it is over, and how it compares with those before it.

A passage is a doublet by its duration, its size along either axis, or its weight, if that exceeds those of more than a third of the
last `RECENT` passages by the percentage that is given for it. A third, as where particles crowd, many a passage before was a
doublet too; and as all passages count, flagged or not, no bad beginning can last.

The weight is the duration times the root of how many events there were of the polarity that does not mark passages to one of that
which does: two particles leave a longer trail than one (where both polarities mark, it is the duration).
`firmware/src/records.c` is the same text in C.
"""

from __future__ import annotations

import numpy as np

from pipeline.blocks import DOUBLET
from pipeline.events import clusters as c
from pipeline.events.gate import decides
from pipeline.fixed import divide, isqrt64, linked

RECENT, LEAST = 64, 8  # passages that one is compared with, and how many there must be
# columns of a record; times are those of the clock of 32 bits
(
    NUMBER, FIRST, LAST, CLOSED, X0, Y0, X1, Y1, OFF, ON, VX, VY, SIZE_X, SIZE_Y, LEFT, TOP,
    RIGHT, BOTTOM, FLAGS, GATE,
) = range(20)  # fmt: skip
RECORD = 20
PER_SECOND = 1_000_000


@linked
def exceeds(count, recent, value, percent):  # type: ignore[no-untyped-def]
    """Return whether a value is larger, by `percent`, than more than a third of the first `count` of int32 [`RECENT`]."""
    smaller = 0
    for k in range(count):
        smaller += 100 * value > (100 + np.int64(percent)) * recent[k]
    return smaller > count // 3


@linked
def finish(limits, bin_us, size, marks, learned, recent, track, tensor, closed, record, record_tensor):  # type: ignore[no-untyped-def]
    """Write a track's record, learn from it and free the track; return 1, or 0 if it was no particle.

    limits: int32 [9], `least_events`, `longer_percent`, `larger_percent`, `heavier_percent`, and what `decides` takes.
    recent: int32 [4, `RECENT`], the last passages' durations, sizes and weights.
    learned: how many there were; from `RECENT` on it says only which one is the oldest.
    """
    track[c.ACTIVE] = 0
    events = np.int64(track[c.OFF]) + np.int64(track[c.ON])
    if events < limits[0] or track[c.BUSY] < 2:
        return 0
    n, st, stt = np.int64(track[c.BUSY]), np.int64(track[c.S_T]), np.int64(track[c.S_TT])
    below = (n * stt - st * st) * 16 * np.int64(bin_us)
    record[VX] = divide((n * track[c.S_TX] - st * track[c.S_X]) * PER_SECOND, below)
    record[VY] = divide((n * track[c.S_TY] - st * track[c.S_Y]) * PER_SECOND, below)
    lasted = np.int64(np.uint32(np.uint32(track[c.LAST]) - np.uint32(track[c.FIRST])))
    size_x, size_y = np.int64(track[c.SPREAD_X]) * 32 // events, np.int64(track[c.SPREAD_Y]) * 32 // events
    trailing, marking = np.int64(track[c.OFF]), np.int64(track[c.ON])
    if marks == np.uint32(1):
        trailing, marking = marking, trailing
    if marks == np.uint32(3):
        marking = trailing = events
    squared = np.uint64(lasted) * np.uint64(lasted) * np.uint64(trailing)  # of a passage of hours it wraps, as it does in C
    weight = np.int64(isqrt64(squared // np.uint64(marking if marking > 1 else 1)))
    flags = np.int64(track[c.FLAGS])
    seen = np.int64(learned[0])
    count = seen if seen < RECENT else RECENT
    if count >= LEAST:
        if limits[1] != 0 and exceeds(count, recent[0], lasted, limits[1]):
            flags |= DOUBLET
        if limits[2] != 0 and (exceeds(count, recent[1], size_x, limits[2]) or exceeds(count, recent[2], size_y, limits[2])):
            flags |= DOUBLET
        if limits[3] != 0 and exceeds(count, recent[3], weight, limits[3]):
            flags |= DOUBLET
    oldest = seen & (RECENT - 1)
    recent[0, oldest], recent[1, oldest], recent[2, oldest], recent[3, oldest] = lasted, size_x, size_y, weight
    learned[0] = np.uint32(seen + 1 if seen < 2 * RECENT - 1 else RECENT)
    record[NUMBER], record[FIRST], record[LAST] = track[c.NUMBER], track[c.FIRST], track[c.LAST]
    record[CLOSED] = np.int32(closed)
    record[X0], record[Y0], record[X1], record[Y1] = track[c.BEGIN_X], track[c.BEGIN_Y], track[c.END_X], track[c.END_Y]
    record[OFF], record[ON], record[SIZE_X], record[SIZE_Y] = track[c.OFF], track[c.ON], size_x, size_y
    record[LEFT], record[TOP], record[RIGHT], record[BOTTOM] = track[c.LEFT], track[c.TOP], track[c.RIGHT], track[c.BOTTOM]
    record[FLAGS] = flags
    record[GATE] = decides(limits[4], limits[5], limits[6], limits[7], limits[8], events, size_x, size_y, flags)
    for k in range(size):
        record_tensor[k] = tensor[k]
    return 1
