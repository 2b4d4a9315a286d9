"""Whether to believe a TIME_HIGH word: one damaged word must not move the time of everything after it.

The three EVT formats send the high bits of the time again and again, in words of type 8, and the low bits with or before the
events. A camera raises TIME_HIGH by one unit at a time, so a raise by one is believed at once. Any other change is held against the
next TIME_HIGH in the stream, at most `LOOK` words ahead: if that one is where the clock would have been without the change, the
word is damaged and is passed over; if not, there was a real gap, and the clock follows. All steps are taken forward, modulo the
width of the field, so that a wrap is an ordinary step; a step back by less than `BACK` units is passed over too, since time is
never set back.
"""

from __future__ import annotations

import numpy as np

from pipeline.fixed import kernel

TIME_HIGH = 8  # the type of such a word, in the highest four bits of all three formats
LOOK = 4096  # words to look ahead
NEAR = 16  # units: where the next TIME_HIGH may be if the one before it was damaged
BACK = 16  # units
BELIEVE, REFUSE, WAIT = 1, 0, -1


@kernel
def believe(words, at, count, final, kind_shift, high_shift, mask, high):  # type: ignore[no-untyped-def]
    """Judge the TIME_HIGH word at `at`, whose value is not `high` nor the one after it.

    Parameters
    ----------
    words : numpy.ndarray
        Unsigned words [count].
    at, count : int
        The word to judge, and how many there are.
    final : int
        1 where nothing comes after `words`.
    kind_shift, high_shift, mask : int
        Where type and value are in a word.
    high : int
        Value of the clock now, within `mask`.

    Returns
    -------
    int
        `BELIEVE`, `REFUSE`, or `WAIT`: it needs more words than there are.
    """
    step = (((np.int64(words[at]) >> high_shift) & mask) - high) & mask
    if step > mask - BACK:
        return REFUSE
    stop = min(count, at + 1 + LOOK)
    for i in range(at + 1, stop):
        word = np.int64(words[i])
        if (word >> kind_shift) & 15 == TIME_HIGH:
            after = (((word >> high_shift) & mask) - high) & mask
            return REFUSE if after <= NEAR and after < step else BELIEVE
    return BELIEVE if final or stop == at + 1 + LOOK else WAIT
