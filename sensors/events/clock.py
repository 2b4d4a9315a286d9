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
WAIT = -1


@kernel
def begin(words, count, kind_shift, high_shift, mask, unit, started, early, base, time):  # type: ignore[no-untyped-def]
    """Pass over words up to the first TIME_HIGH, which sets `base` and `time`, and count the others as `early`.

    Parameters
    ----------
    words : numpy.ndarray
        Unsigned words [count].
    count : int
        How many there are.
    kind_shift, high_shift, mask : int
        Where type and value are in a word.
    unit : int
        Bits of the time below the value.
    started, early, base, time : numpy.ndarray
        Fields of a decoder's state; nothing is done where it has `started`.

    Returns
    -------
    int
        How many words were passed over, that one included.
    """
    first = 0
    while started[0] == 0 and first < count:
        word = np.int64(words[first])
        if (word >> kind_shift) & 15 == TIME_HIGH:
            started[0] = 1
            base[0] = ((word >> high_shift) & mask) << unit
            time[0] = base[0]
        else:
            early[0] += 1
        first += 1
    return first


@kernel
def raised(words, at, count, final, kind_shift, high_shift, mask, high, refused):  # type: ignore[no-untyped-def]
    """Return by how many units the TIME_HIGH word at `at` raises the time.

    Parameters
    ----------
    words, count, kind_shift, high_shift, mask
        As for `begin`.
    at : int
        The word to judge.
    final : int
        1 where nothing comes after `words`.
    high : int
        The time so far, in units.
    refused : numpy.ndarray
        Counts words that are not believed.

    Returns
    -------
    int
        Units, 0 where the word is not believed, or `WAIT`: it needs more words than there are.
    """
    step = (((np.int64(words[at]) >> high_shift) & mask) - high) & mask
    if step <= 1:
        return step
    stop, after = min(count, at + 1 + LOOK), np.int64(-1)
    if step <= mask - BACK:
        for i in range(at + 1, stop):
            word = np.int64(words[i])
            if (word >> kind_shift) & 15 == TIME_HIGH:
                after = (((word >> high_shift) & mask) - high) & mask
                break
        if after < 0 and final == 0 and stop < at + 1 + LOOK:
            return np.int64(WAIT)
        if not 0 <= after <= min(NEAR, step - 1):
            return step
    refused[0] += 1
    return np.int64(0)
