"""EVT3, Prophesee's vectorised format of 16-bit words: its decoder.

Little-endian words; the type is in bits 15..12 and what follows in bits 11..0. What does not change is not sent again: events take
their time, row, and for vectors column and polarity, from earlier words.

=====  ============  =======================================================================================================
type   name          meaning of bits 11..0
=====  ============  =======================================================================================================
0x0    ADDR_Y        10..0 the row of the events that follow; 11 the camera of a stereo pair
0x1    EM_Y          as ADDR_Y, for exposure measurements of early sensors: what follows are no contrast events
0x2    ADDR_X        one event: 10..0 the column, 11 the polarity
0x3    VECT_BASE_X   10..0 column and 11 polarity of the vectors that follow
0x4    VECT_12       12 pixels from the base on: bit k set is an event at base + k; then the base moves on by 12
0x5    VECT_8        7..0 the same for 8 pixels; then the base moves on by 8
0x6    TIME_LOW      bits 11..0 of the time in microseconds
0x7    CONTINUED_4   3..0 more of an OTHERS word before it
0x8    TIME_HIGH     bits 23..12 of the time; it wraps every 16.8 s
0xA    EXT_TRIGGER   11..8 channel, 0 edge of an external trigger
0xE    OTHERS        11..0 kind of a vendor's word
0xF    CONTINUED_12  11..0 more of it
=====  ============  =======================================================================================================

Other types are not defined: they are passed over and counted. What comes before the first TIME_HIGH has no known time and is passed
over. A TIME_LOW below the time so far, which several sources on one chip can bring about, leaves the time where it is. A TIME_HIGH
that changes sets the low bits to 0.

Source: docs.prophesee.ai, Data Encoding Formats, EVT 3.0.
"""

from __future__ import annotations

import numpy as np

from pipeline.fixed import kernel
from pipeline.layout import layout
from sensors.events.clock import WAIT, begin, raised

WORD = "<u2"
MOST = 12  # events of one word
STATE = layout(
    time="i8",  # of the next event, microseconds
    base="i8",  # its part above TIME_LOW
    x="i4",  # column where the next vector begins
    y="i4",  # row of the next event
    p="i4",  # polarity of the next vector
    started="i4",  # 1 once there was a TIME_HIGH
    early="i8",  # words before that
    outside="i8",  # events outside the sensor
    unknown="i8",  # words of no defined type
    refused="i8",  # TIME_HIGH words that were not believed
    held="i8",  # TIME_LOW words that would have set the time back
    triggers="i8",
    others="i8",  # vendors' words and exposure measurements
)

NOWHERE = 4096  # a row or column outside of every sensor
LOWEST = np.array([0, 1, 2, 5, 3, 9, 6, 11, 15, 4, 8, 10, 14, 7, 13, 12], np.uint8)  # place of the lowest bit set, of 16: de Bruijn


@kernel
def clipped(bits, column, line, width, height):  # type: ignore[no-untyped-def]
    """Return the bits of a vector that are within the sensor, and the number of those that are not."""
    fits = min(max(width - column, 0), 12) if line < height else 0
    lost, beyond = 0, bits >> fits
    while beyond:
        beyond &= beyond - 1
        lost += 1
    return bits & ((1 << fits) - 1), lost


@kernel
def decode_evt3(  # type: ignore[no-untyped-def]
    width, height, time, base, x, y, p, started, early, outside, unknown, refused, held, triggers, others,
    words, count, final, t_out, x_out, y_out, p_out, room, taken,
):  # fmt: skip
    """Decode words until they or the room for events end; return the number of events.

    Parameters
    ----------
    width, height : int
        Of the sensor.
    time, base, x, y, p, started, early, outside, unknown, refused, held, triggers, others : numpy.ndarray
        The fields of `STATE`.
    words : numpy.ndarray
        uint16 [count].
    final : int
        1 where nothing comes after them.
    t_out, x_out, y_out, p_out : numpy.ndarray
        int64, uint16, uint16, uint8 [room]: the events; `room` is 12 at least.
    taken : numpy.ndarray
        int64 [1]: how many words were decoded; the others are to be given again, with those that follow them.
    """
    n, most = np.uint64(0), np.uint64(room - MOST)  # unsigned: an index that cannot be negative costs no check
    known = started[0]
    first = begin(words, count, 12, 0, 0xFFF, 12, started, early, base, time)
    if known == 0 and started[0] == 1:
        x[0], y[0] = NOWHERE, NOWHERE
    now, high = time[0], base[0]
    column, line, polarity = np.int64(x[0]), np.int64(y[0]), np.int64(p[0])
    out = np.int64(0)
    taken[0] = count
    for i in range(first, count):
        if n > most:
            taken[0] = i
            break
        word = np.int64(words[i])
        kind = word >> 12
        if kind & 13 == 0:  # an event or its row, which follow each other at random: without a branch
            event, place = kind >> 1, word & 0x7FF
            line = line if event else place
            t_out[n] = now
            x_out[n] = place
            y_out[n] = line
            p_out[n] = (word >> 11) & 1
            inside = np.int64(place < width) & np.int64(line < height)
            n += np.uint64(event & inside)
            out += event & (inside ^ 1)
        elif kind == 6:
            when = high + (word & 0xFFF)
            held[0] += when < now
            now = max(now, when)
        elif kind == 3:
            column, polarity = word & 0x7FF, (word >> 11) & 1
        elif kind & 14 == 4:
            size = 12 - ((kind & 1) << 2)
            bits = word & ((1 << size) - 1)
            if line >= height or column + size > width:
                bits, lost = clipped(bits, column, line, width, height)
                out += lost
            while bits:
                t_out[n] = now
                x_out[n] = column + LOWEST[np.uint64((((bits & -bits) * 0x09AF) & 0xFFFF) >> 12)]
                y_out[n] = line
                p_out[n] = polarity
                n += np.uint64(1)
                bits &= bits - 1
            column = min(column + size, np.int64(NOWHERE))
        elif kind == 8:
            step = raised(words, i, count, final, 12, 0, 0xFFF, high >> 12, refused)
            if step == WAIT:
                taken[0] = i
                break
            high += step << 12
            now = max(now, high)
        elif kind == 10:
            triggers[0] += 1
        elif kind == 1:
            others[0] += 1
            line = np.int64(NOWHERE)
        elif kind == 7 or kind >= 14:
            others[0] += 1
        else:
            unknown[0] += 1
    time[0], base[0] = now, high
    x[0], y[0], p[0] = column, line, polarity
    outside[0] += out
    return np.int64(n)
