"""Time surfaces: for each pixel the time of its last event, on a clock of 32 bits that wraps every 71.6 minutes.

The age of an entry is the clock minus the entry, modulo 2**32, which is right for as long as no entry grows older than that. So
one row is looked through at every tick of 2**19 us, and what is older than `LONG` is moved up to `LONG`: with at most `ROWS`
rows, each is seen every 17.9 minutes, and no age passes 2**31 us. After a longer silence, and before the first event, the whole
surface is set to `LONG` ago. Ages up to `LONG` are exact; times that a stage compares them with are at most `LONGEST_US`.

A surface has a margin around the sensor, so that neighbours need no test for the border.
`firmware/include/bitspike/surface.h` is the same text in C.
"""

from __future__ import annotations

import numpy as np

from pipeline.fixed import linked

TICK_BITS = 19
ROWS = 2048  # a power of two
LONG = 1 << 30  # microseconds
LONGEST_US = 1_000_000


@linked
def refresh(tick, surface, rows, now_tick, now):  # type: ignore[no-untyped-def]
    """Keep the ages in `surface` exact now that the tick is another one.

    tick: uint32 [1], the last tick seen and 1, 0 before the first event.  surface: uint32 [rows or more, columns].  now_tick:
    uint32, the present tick and 1; now: uint32, the clock.
    """
    past = np.uint32(now_tick - tick[0])
    old = np.uint32(now - np.uint32(LONG))
    if tick[0] == np.uint32(0) or past >= np.uint32(ROWS):
        for r in range(rows):
            for c in range(surface.shape[1]):
                surface[r, c] = old
    else:
        for k in range(past):
            row = np.int64(np.uint32(tick[0] + np.uint32(k)) & np.uint32(ROWS - 1))
            if row < rows:
                for c in range(surface.shape[1]):
                    if np.uint32(now - surface[row, c]) > np.uint32(LONG):
                        surface[row, c] = old
    tick[0] = now_tick
