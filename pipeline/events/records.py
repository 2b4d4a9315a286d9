"""Records: what is told of a passage when it is over, and what the typical passage is by which doublets are flagged.

The typical passage is one that two fifths undercut: where particles crowd, many a doublet is not seen to be one. It begins as the
fourth smallest of the first eight. Then it is moved toward each passage, by 2/512 of it up or 3/512 down at most, so that no
outlier pulls it, and it rests where two fifths lie below.
`firmware/src/records.c` is the same text in C.
"""

from __future__ import annotations

import numpy as np

from pipeline.blocks import DOUBLET
from pipeline.events import clusters as c
from pipeline.events.gate import decides
from pipeline.fixed import divide, linked

TYPICAL = 4  # fractional bits of the typical passage
EARLY, BELOW = 8, 3  # passages that are kept to begin with, and how many of them are shorter than the typical one
STEP = 9
# columns of a record; times are those of the clock of 32 bits
(
    NUMBER, FIRST, LAST, CLOSED, X0, Y0, X1, Y1, OFF, ON, VX, VY, SIZE_X, SIZE_Y, LEFT, TOP,
    RIGHT, BOTTOM, FLAGS, GATE,
) = range(20)  # fmt: skip
RECORD = 20
PER_SECOND = 1_000_000


@linked
def learn(seen, early, typical, value):  # type: ignore[no-untyped-def]
    """Return the typical value (Q4), now that another was seen; early: int32 [`EARLY`], where the first are kept."""
    if seen >= EARLY:
        part = max(typical >> STEP, 1)
        return typical + min(max((value << TYPICAL) - typical, -3 * part), 2 * part)
    early[seen] = value
    for k in range(EARLY):
        below = 0
        for j in range(EARLY):
            below += early[j] < early[k] or (early[j] == early[k] and j < k)
        if below == BELOW:
            typical = np.int64(early[k]) << TYPICAL
    return typical


@linked
def finish(limits, bin_us, size, learned, early, typical, track, tensor, closed, record, record_tensor):  # type: ignore[no-untyped-def]
    """Write a track's record, learn from it and free the track; return 1, or 0 if it was no particle.

    limits: int32 [8], `least_events`, `longer_percent`, `larger_percent`, and what `decides` takes.  early: int32 [3, `EARLY`],
    typical: int32 [3]: duration and sizes.
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
    flags = np.int64(track[c.FLAGS])
    seen = np.int64(learned[0])
    if seen >= EARLY:
        if limits[1] != 0 and (100 * lasted) << TYPICAL > (100 + np.int64(limits[1])) * typical[0]:
            flags |= DOUBLET
        if limits[2] != 0 and (100 * size_x) << TYPICAL > (100 + np.int64(limits[2])) * typical[1]:
            flags |= DOUBLET
        if limits[2] != 0 and (100 * size_y) << TYPICAL > (100 + np.int64(limits[2])) * typical[2]:
            flags |= DOUBLET
    typical[0] = learn(seen, early[0], np.int64(typical[0]), lasted)
    typical[1] = learn(seen, early[1], np.int64(typical[1]), size_x)
    typical[2] = learn(seen, early[2], np.int64(typical[2]), size_y)
    if seen < EARLY:
        learned[0] += np.uint32(1)
    record[NUMBER], record[FIRST], record[LAST] = track[c.NUMBER], track[c.FIRST], track[c.LAST]
    record[CLOSED] = np.int32(closed)
    record[X0], record[Y0], record[X1], record[Y1] = track[c.BEGIN_X], track[c.BEGIN_Y], track[c.END_X], track[c.END_Y]
    record[OFF], record[ON], record[SIZE_X], record[SIZE_Y] = track[c.OFF], track[c.ON], size_x, size_y
    record[LEFT], record[TOP], record[RIGHT], record[BOTTOM] = track[c.LEFT], track[c.TOP], track[c.RIGHT], track[c.BOTTOM]
    record[FLAGS] = flags
    record[GATE] = decides(limits[3], limits[4], limits[5], limits[6], limits[7], events, size_x, size_y, flags)
    for k in range(size):
        record_tensor[k] = tensor[k]
    return 1
