"""Clusters: what the tracker knows of each particle that is passing, and how that changes in time.

A track is a row of int32; the constants below name its columns. Its time is cut into bins of `bin_us` from its seed on. Within a
bin events are summed; at its end the track's middle is moved to where they were (an alpha-beta filter with 1/2 and 1/8, in 1/256
pixel and 1/256 pixel a bin), so that an event costs a few additions; it is held on the sensor. The events of a bin that mark a
passage (of one polarity, or both) are its height: one lower than `busy` is idle, and a track that has been idle for `idle_bins` is
closed. Where two tracks come together, the older takes in the younger. Where the heights rise again after a valley, two particles
follow each other: the passage is flagged, or, where the valley is deep, it ended there and a new one begins.
`firmware/src/clusters.c` is the same text in C.
"""

from __future__ import annotations

import numpy as np

from pipeline.blocks import DOUBLET, MERGED
from pipeline.fixed import inlined, linked

# columns of a track
(
    ACTIVE, NUMBER, FIRST, LAST, X, Y, VX, VY, OFF, ON, LEFT, TOP, RIGHT, BOTTOM, SPREAD_X, SPREAD_Y, DUE, BIN_N, BIN_X, BIN_Y,
    BIN_LAST, BINS, IDLE, PEAK, VALLEY, FLAGS, BUSY, BEGIN_X, BEGIN_Y, END_X, END_Y, S_T, S_X, S_Y, S_TT, S_TX, S_TY, MARKED,
) = range(38)  # fmt: skip
FIELDS = 38
FINE = 8  # fractional bits of a track's middle and velocity
MOST_BINS = 200
MOST_EVENTS = 1 << 20  # of a track before it is cut
MOST_BIN = 1 << 19  # events of a bin that are summed: with those before, sums of distances stay below 2**31
MOST_REACH = 1280


@linked
def begin(track, number, now, x, y, speed, bin_us):  # type: ignore[no-untyped-def]
    """Make a row of `track` (int32 [FIELDS]) a track that begins at time `now` (uint32) with its middle at (x, y)."""
    track[:] = 0
    track[ACTIVE], track[NUMBER] = 1, number
    track[FIRST] = track[LAST] = track[BIN_LAST] = np.int32(now)
    track[X], track[Y], track[VX] = x << FINE, y << FINE, speed
    track[LEFT] = track[TOP] = np.int32(32767)
    track[RIGHT] = track[BOTTOM] = np.int32(-1)
    track[DUE] = np.int32(np.uint32(now + bin_us))


@inlined
def take(track, now, x, y, polarity):  # type: ignore[no-untyped-def]
    """Add an event to a track."""
    if track[BIN_N] >= MOST_BIN:
        return
    track[OFF + polarity] += 1
    track[LEFT], track[RIGHT] = min(track[LEFT], x), max(track[RIGHT], x)
    track[TOP], track[BOTTOM] = min(track[TOP], y), max(track[BOTTOM], y)
    track[SPREAD_X] += abs(x - (track[X] >> FINE))
    track[SPREAD_Y] += abs(y - (track[Y] >> FINE))
    track[BIN_N] += 1
    track[BIN_X] += x
    track[BIN_Y] += y
    track[BIN_LAST] = np.int32(now)


@linked
def end_bin(track, bin_us, busy, hump_ratio, split_ratio, marks, width, height):  # type: ignore[no-untyped-def]
    """End a track's bin; return True if a new particle begins with it, whose track this one must make room for.

    marks: uint32, 1 if `off` events mark a passage, 2 if `on` ones do, 3 if both.  width, height: of the sensor.
    """
    events = track[BIN_N]
    marked = (track[OFF] if marks & np.uint32(1) != 0 else 0) + (track[ON] if marks & np.uint32(2) != 0 else 0)
    n = marked - track[MARKED]
    if n >= track[PEAK]:
        track[PEAK] = track[VALLEY] = n
    elif n < track[VALLEY]:
        track[VALLEY] = n
    elif n - track[VALLEY] >= busy and n >= 2 * track[VALLEY]:
        if split_ratio * track[VALLEY] <= track[PEAK]:
            return True
        if hump_ratio * track[VALLEY] <= track[PEAK]:
            track[FLAGS] |= DOUBLET
            track[PEAK] = track[VALLEY] = n
    x, y = track[X], track[Y]
    if n >= busy:
        mean_x, mean_y = (track[BIN_X] << 4) // events, (track[BIN_Y] << 4) // events  # sixteenths of a pixel
        if track[BUSY] == 0:
            track[BEGIN_X], track[BEGIN_Y] = mean_x, mean_y
            x, y = mean_x << (FINE - 4), mean_y << (FINE - 4)
        else:
            miss_x, miss_y = (mean_x << (FINE - 4)) - x, (mean_y << (FINE - 4)) - y
            x, y = x + (miss_x >> 1), y + (miss_y >> 1)
            track[VX] += miss_x >> 3
            track[VY] += miss_y >> 3
        track[END_X], track[END_Y] = mean_x, mean_y
        bin_ = track[BINS]
        track[BUSY] += 1
        track[S_T] += bin_
        track[S_X] += mean_x
        track[S_Y] += mean_y
        track[S_TT] += bin_ * bin_
        track[S_TX] += bin_ * mean_x
        track[S_TY] += bin_ * mean_y
        track[LAST] = track[BIN_LAST]
        track[IDLE] = 0
    else:
        track[IDLE] += 1
    track[X] = min(max(x + track[VX], 0), np.int32(width) << FINE)  # where it will be in the middle of the next bin
    track[Y] = min(max(y + track[VY], 0), np.int32(height) << FINE)
    track[MARKED] = marked
    track[BINS] += 1
    track[DUE] = np.int32(np.uint32(np.uint32(track[DUE]) + bin_us))
    track[BIN_N] = track[BIN_X] = track[BIN_Y] = 0
    return False


@linked
def merge(one, other, least, tensor, other_tensor):  # type: ignore[no-untyped-def]
    """Let a track take in a younger one, which was a particle if it had `least` events, and else a piece of the same."""
    if other[OFF] + other[ON] >= least:
        one[FLAGS] |= MERGED | DOUBLET
    one[OFF] += other[OFF]
    one[ON] += other[ON]
    one[LEFT], one[RIGHT] = min(one[LEFT], other[LEFT]), max(one[RIGHT], other[RIGHT])
    one[TOP], one[BOTTOM] = min(one[TOP], other[TOP]), max(one[BOTTOM], other[BOTTOM])
    one[SPREAD_X] += other[SPREAD_X]
    one[SPREAD_Y] += other[SPREAD_Y]
    one[MARKED] += other[MARKED]
    one[BIN_N] += other[BIN_N]
    one[BIN_X] += other[BIN_X]
    one[BIN_Y] += other[BIN_Y]
    if np.int32(np.uint32(np.uint32(other[BIN_LAST]) - np.uint32(one[BIN_LAST]))) > 0:
        one[BIN_LAST] = other[BIN_LAST]
    if np.int32(np.uint32(np.uint32(other[LAST]) - np.uint32(one[LAST]))) > 0:
        one[LAST] = other[LAST]
    one[FLAGS] |= other[FLAGS]
    other[ACTIVE] = 0
    for k in range(len(tensor)):
        tensor[k] |= other_tensor[k]
