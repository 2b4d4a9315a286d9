"""The gate: whether a particle is to be sorted, decided when its passage is over, and until when that is of use.

A particle is sorted if its events and its size are within limits and, where that is asked for, it is alone. The decision is there
when the record is; the sorter must have acted `sort_us` after the particle's last event, which is how long it travels from there.
"""

from __future__ import annotations

import numpy as np

from pipeline.blocks import DOUBLET
from pipeline.fixed import inlined


@inlined
def decides(least, most, smallest, largest, alone, events, size_x, size_y, flags):  # type: ignore[no-untyped-def]
    """Return 1 if a particle of so many events and of these sizes (sixteenths of a pixel) is to be sorted, else 0; int32."""
    good = least <= events <= most and smallest <= size_x <= largest and smallest <= size_y <= largest
    return np.int32(good and (alone == 0 or flags & DOUBLET == 0))
