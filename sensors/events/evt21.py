"""EVT2.1, Prophesee's vectorised format of 64-bit words: its decoder.

Little-endian words; the type is in bits 63..60. Where the header says ``endianness=legacy``, as the IMX636 sends it, the two halves
of each word are exchanged.

=====  ===========  ========================================================================================================
type   name         meaning of bits 59..0
=====  ===========  ========================================================================================================
0x0    EVT_NEG      darker events: 59..54 bits 5..0 of their time, 53..43 first column, 42..32 row; 31..0: bit k set is an
                    event at the first column + k
0x1    EVT_POS      brighter events, in the same way
0x8    TIME_HIGH    59..32 bits 33..6 of the time of what follows, in microseconds; it wraps every 4.8 h
0xA    EXT_TRIGGER  59..54 bits 5..0 of the time, 44..40 channel, 32 edge of an external trigger
0xE    OTHERS       a vendor's word
0xF    CONTINUED    more of it
=====  ===========  ========================================================================================================

Other types are not defined: they are passed over and counted. What comes before the first TIME_HIGH has no known time and is passed
over. Events before the ones before them are given those's time.

Source: docs.prophesee.ai, Data Encoding Formats, EVT 2.1.
"""

from __future__ import annotations

import numpy as np

from pipeline.fixed import kernel
from sensors.events import evt2
from sensors.events.clock import WAIT, begin, raised

WORD = "<u8"
MOST = 32  # events of one word
STATE = evt2.STATE


@kernel
def decode_evt21(  # type: ignore[no-untyped-def]
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
        uint64 [count].
    final : int
        1 where nothing comes after them.
    t_out, x_out, y_out, p_out : numpy.ndarray
        int64, uint16, uint16, uint8 [room]: the events; `room` is 32 at least.
    taken : numpy.ndarray
        int64 [1]: how many words were decoded; the others are to be given again, with those that follow them.
    """
    n, most = np.uint64(0), np.uint64(room - MOST)
    first = begin(words, count, 60, 32, 0xFFFFFFF, 6, started, early, base, time)
    now, high = time[0], base[0]
    taken[0] = count
    for i in range(first, count):
        if n > most:
            taken[0] = i
            break
        upper, bits = np.int64(words[i] >> np.uint64(32)), np.int64(words[i] & np.uint64(0xFFFFFFFF))
        kind = upper >> 28
        if kind <= 1:
            when = high + ((upper >> 22) & 0x3F)
            held[0] += when < now
            now = max(now, when)
            column, line = (upper >> 11) & 0x7FF, upper & 0x7FF
            inside = line < height
            while bits:
                if bits & 1:
                    t_out[n] = now
                    x_out[n] = column
                    y_out[n] = line
                    p_out[n] = kind
                    n += np.uint64(inside and column < width)
                    outside[0] += not (inside and column < width)
                bits >>= 1
                column += 1
        elif kind == 8:
            step = raised(words, i, count, final, 60, 32, 0xFFFFFFF, high >> 6, refused)
            if step == WAIT:
                taken[0] = i
                break
            high += step << 6
        elif kind == 10:
            triggers[0] += 1
        elif kind >= 14:
            others[0] += 1
        else:
            unknown[0] += 1
    time[0], base[0] = now, high
    return np.int64(n)
