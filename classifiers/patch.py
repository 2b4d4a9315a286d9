"""The signal around a spike as a patch of its own: a row for every channel, a column for every frame.

The ring holds a frame's channels side by side, so the frames of one channel lie in lines of memory of their own. They are turned
into rows eight channels and sixteen frames at a time (`turning`): a patch begins at a multiple of `FRAMES`, so that it never
goes round the ring's end in between, and it has rows of channels that nobody asked for, which are put back as they were.
The C fetches frame by frame, as its cores have no such registers: `bs_cut` in `firmware/src/fitting.c`.
"""

from __future__ import annotations

import numpy as np

from pipeline import lanes, turning
from pipeline.fixed import inlined, linked
from pipeline.lanes import WIDTH

FRAMES = lanes.WIDTH16


@inlined
def whole_frames(width):  # type: ignore[no-untyped-def]
    """Return how many columns a patch of `width` frames has at most."""
    return (width + 2 * (FRAMES - 1)) // FRAMES * FRAMES


@linked
def place(near, columns, row, begin):  # type: ignore[no-untyped-def]
    """Choose the rows of a patch: `row` becomes those of the channels `near`, -1 where there is none; return how many groups.

    Group g is `WIDTH` rows for the channels from ``begin[g]`` on. They are chosen from the highest channel down, so only the last,
    which cannot go below channel 0, may overlap the one before, and then holds nothing of use where it does.
    """
    groups, rest = 0, np.int64(columns)
    row[:] = -1
    while True:
        top = np.int64(-1)
        for k in range(len(near)):
            if near[k] < rest:
                top = max(top, np.int64(near[k]))
        if top < 0:
            return groups
        first = max(top - (WIDTH - 1), np.int64(0))
        for k in range(len(near)):
            if first <= near[k] < rest:
                row[k] = groups * WIDTH + near[k] - first
        begin[groups] = first
        groups, rest = groups + 1, first


@linked
def cut(ring, frame, width, begin, groups, patch):  # type: ignore[no-untyped-def]
    """Fill the patch with `width` frames from `frame` on; return the column of `frame`."""
    columns, before = ring.shape[1], frame & (FRAMES - 1)
    for m in range(0, before + width, FRAMES):
        line = (frame - before + m) & (len(ring) - 1)
        for g in range(groups):
            if columns >= WIDTH:
                turning.turn_in(ring, line, begin[g], patch, g * WIDTH, m)
            else:
                for c in range(columns):
                    for n in range(FRAMES):
                        patch[c, m + n] = ring[line + n, c]
    return before


@linked
def put_back(ring, frame, width, begin, groups, patch):  # type: ignore[no-untyped-def]
    """Copy a patch to where it was cut from; the last group first, as it may overlap the one before."""
    columns, before = ring.shape[1], frame & (FRAMES - 1)
    for m in range(0, before + width, FRAMES):
        line = (frame - before + m) & (len(ring) - 1)
        for g in range(groups - 1, -1, -1):
            if columns >= WIDTH:
                turning.turn_out(patch, g * WIDTH, m, ring, line, begin[g])
            else:
                for c in range(columns):
                    for n in range(FRAMES):
                        ring[line + n, c] = patch[c, m + n]
