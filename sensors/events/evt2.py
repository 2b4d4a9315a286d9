"""EVT2, Prophesee's format of 32-bit words, an event in each: its decoder.

Little-endian words; the type is in bits 31..28.

=====  ===========  ========================================================================================================
type   name         meaning of bits 27..0
=====  ===========  ========================================================================================================
0x0    CD_OFF       a darker event: 27..22 bits 5..0 of its time, 21..11 column, 10..0 row
0x1    CD_ON        a brighter event, in the same way
0x8    TIME_HIGH    bits 33..6 of the time of what follows, in microseconds; it wraps every 4.8 h
0xA    EXT_TRIGGER  27..22 bits 5..0 of the time, 12..8 channel, 0 edge of an external trigger
0xE    OTHERS       a vendor's word
0xF    CONTINUED    more of it
=====  ===========  ========================================================================================================

Other types are not defined: they are passed over and counted. What comes before the first TIME_HIGH has no known time and is passed
over. An event before the one before it is given that one's time.

Source: docs.prophesee.ai, Data Encoding Formats, EVT 2.0.
"""

from __future__ import annotations

import numpy as np

from pipeline.fixed import kernel, merged
from pipeline.layout import layout
from sensors.events.clock import WAIT, begin, raised

WORD = "<u4"
MOST = 1  # event of one word
BLOCK = 32  # words that are tried at a time; a sensor puts a TIME_HIGH every 170 or so
MOST_AT_ONCE = 1024  # words that are decoded while they are still in the cache
STATE = layout(
    time="i8",  # of the last event, microseconds
    base="i8",  # TIME_HIGH, with its wraps
    started="i4",  # 1 once there was a TIME_HIGH
    early="i8",  # words before that
    outside="i8",  # events outside the sensor
    unknown="i8",  # words of no defined type
    refused="i8",  # TIME_HIGH words that were not believed
    held="i8",  # events that were before the one before them
    triggers="i8",
    others="i8",  # vendors' words
)


@merged
def _sound(right, bottom, high, now, words, first, last):  # type: ignore[no-untyped-def]
    """Return the end of the blocks from word `first` on that are nothing but events within the sensor, in order of time.

    right, bottom: uint32, the last column and row. Each loop goes through a block for one purpose and without a branch, so that
    compilers make it work on many words at a time.
    """
    i = first
    while i + BLOCK <= last and high + np.int64((words[np.uint64(i)] >> 22) & 0x3F) >= now:
        apart, out, back, begun = np.uint32(0), np.uint32(0), np.uint32(0), np.uint64(i)
        for k in range(BLOCK):
            word = words[begun + np.uint64(k)]
            apart |= word >> 29
            out |= np.uint32(right - ((word >> 11) & 0x7FF)) | np.uint32(bottom - (word & 0x7FF))  # bit 31: below 0
        for k in range(1, BLOCK):
            back |= np.uint32(((words[begun + np.uint64(k)] >> 22) & 0x3F) < ((words[begun + np.uint64(k - 1)] >> 22) & 0x3F))
        if apart | back | (out >> 31):
            break
        i += BLOCK
        now = high + np.int64((words[np.uint64(i - 1)] >> 22) & 0x3F)
    return i


@merged
def _copy(high, words, first, length, count, t_out, x_out, y_out, p_out):  # type: ignore[no-untyped-def]
    """Decode words that are nothing but events, a column at a time, to where `count` events are before them."""
    i, n = np.uint64(first), np.uint64(count)
    for k in range(length):
        t_out[n + np.uint64(k)] = high + np.int64((words[i + np.uint64(k)] >> 22) & 0x3F)
    for k in range(length):
        x_out[n + np.uint64(k)] = (words[i + np.uint64(k)] >> 11) & 0x7FF
    for k in range(length):
        y_out[n + np.uint64(k)] = words[i + np.uint64(k)] & 0x7FF
    for k in range(length):
        p_out[n + np.uint64(k)] = words[i + np.uint64(k)] >> 28


@kernel
def decode_evt2(  # type: ignore[no-untyped-def]
    width, height, time, base, started, early, outside, unknown, refused, held, triggers, others,
    words, count, final, t_out, x_out, y_out, p_out, room, taken,
):  # fmt: skip
    """Decode words until they or the room for events end; return the number of events.

    Parameters
    ----------
    width, height : int
        Of the sensor.
    time, base, started, early, outside, unknown, refused, held, triggers, others : numpy.ndarray
        The fields of `STATE`.
    words : numpy.ndarray
        uint32 [count].
    final : int
        1 where nothing comes after them.
    t_out, x_out, y_out, p_out : numpy.ndarray
        int64, uint16, uint16, uint8 [room]: the events.
    taken : numpy.ndarray
        int64 [1]: how many words were decoded; the others are to be given again, with those that follow them.
    """
    count = min(count, room)
    n = np.uint64(0)  # unsigned: an index that cannot be negative costs no check
    first = begin(words, count, 28, 0, 0xFFFFFFF, 6, started, early, base, time)
    now, high = time[0], base[0]
    right, bottom = np.uint32(width - 1), np.uint32(height - 1)
    back, apart = np.int64(0), np.int64(0)  # `apart`: words that are no events
    i, stop = first, count
    while i < stop:
        sound = _sound(right, bottom, high, now, words, i, min(i + MOST_AT_ONCE, count))
        if sound > i:
            _copy(high, words, i, sound - i, n, t_out, x_out, y_out, p_out)
            n += np.uint64(sound - i)
            now, i = t_out[n - np.uint64(1)], sound
            continue
        end = min(i + BLOCK, count)
        while i < end:
            word = np.int64(words[np.uint64(i)])
            kind = word >> 28
            i += 1
            if kind <= 1:
                when = high + ((word >> 22) & 0x3F)
                back += when < now
                now = max(now, when)
                column, line = (word >> 11) & 0x7FF, word & 0x7FF
                t_out[n] = now
                x_out[n] = column
                y_out[n] = line
                p_out[n] = kind
                n += np.uint64(column < width) & np.uint64(line < height)
                continue
            apart += 1
            end = i  # a block may begin right after it
            if kind == 8:
                step = raised(words, i - 1, count, final, 28, 0, 0xFFFFFFF, high >> 6, refused)
                if step == WAIT:
                    apart -= 1
                    i -= 1
                    stop = i
                    break
                high += step << 6
            elif kind == 10:
                triggers[0] += 1
            elif kind >= 14:
                others[0] += 1
            else:
                unknown[0] += 1
    time[0], base[0] = now, high
    outside[0] += stop - first - apart - np.int64(n)
    held[0] += back
    taken[0] = stop
    return np.int64(n)
