"""Writers of Prophesee RAW files: EVT2, EVT2.1 and EVT3, by kernels that are the counterparts of the decoders.

Every gap in time is written as steps of TIME_HIGH short enough that no decoder can take one for a wrap or for damage. Whatever the
blocks that are written, the file is the same: what may still become part of a vector is kept for the next block.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.blocks import EventFormat, Events
from pipeline.errors import BitspikeError
from pipeline.fixed import kernel
from pipeline.layout import blank, layout, variables
from sensors.events.prophesee import raw_header

CLOCK = {"high": "i8", "started": "i4"}  # TIME_HIGH with its wraps, as written last
STATE = layout(**CLOCK)
STATE_3 = layout(
    **CLOCK,
    time="i8",  # as written last
    y="i4",  # row as written last
    x="i4",  # column where the next vector would begin by itself
    p="i4",  # and its polarity
)
ROOM = 1 << 16  # words
STEP_2, STEP_3 = 1 << 26, 1 << 10  # the most that TIME_HIGH rises by in one word
MASK_2, MASK_3 = (1 << 28) - 1, (1 << 12) - 1  # of TIME_HIGH in a word
LEAST = 4  # events in 32 pixels from which on EVT3 has a vector
NOWHERE = 4096
LONGEST_GAP = 1 << 45  # microseconds, 407 days: every TIME_HIGH on the way is a word


@kernel
def _raised(high, target, step, mask):  # type: ignore[no-untyped-def]
    """Return the next TIME_HIGH on the way to `target`: some decoders know a wrap only by the largest value and then 0."""
    return high + 1 if high & mask == mask else min(target, high + step, high | mask)


@kernel
def encode_evt2(high, started, t_in, x_in, y_in, p_in, count, _final, words, room, taken):  # type: ignore[no-untyped-def]
    """Encode events until they or the room for words end; return the number of words; `taken` as of the decoders."""
    n = 0
    taken[0] = count
    for i in range(count):
        target = t_in[i] >> 6
        while (started[0] == 0 or high[0] < target) and n + 2 <= room:
            high[0] = target if started[0] == 0 else _raised(high[0], target, STEP_2, MASK_2)
            started[0] = 1
            words[n] = np.uint32((8 << 28) | (high[0] & 0xFFFFFFF))
            n += 1
        if high[0] < target or n + 2 > room:
            taken[0] = i
            break
        words[n] = np.uint32((np.int64(p_in[i]) << 28) | ((t_in[i] & 63) << 22) | (np.int64(x_in[i]) << 11) | np.int64(y_in[i]))
        n += 1
    return n


@kernel
def encode_evt21(high, started, t_in, x_in, y_in, p_in, count, final, words, room, taken):  # type: ignore[no-untyped-def]
    """Encode events in the way of `encode_evt2`: those of one time, row and polarity in 32 aligned pixels in one word."""
    n, i = 0, 0
    while i < count:
        j = _run(t_in, x_in, y_in, p_in, i, count, np.int64(x_in[i]) & ~31)
        if j == count and final == 0:
            break
        target = t_in[i] >> 6
        while (started[0] == 0 or high[0] < target) and n + 2 <= room:
            high[0] = target if started[0] == 0 else _raised(high[0], target, STEP_2, MASK_2)
            started[0] = 1
            words[n] = np.uint64(8 << 28 | (high[0] & 0xFFFFFFF)) << np.uint64(32)
            n += 1
        if high[0] < target or n + 2 > room:
            break
        column = np.int64(x_in[i]) & ~31
        bits = np.int64(0)
        for k in range(i, j):
            bits |= np.int64(1) << (np.int64(x_in[k]) - column)
        upper = (np.int64(p_in[i]) << 28) | ((t_in[i] & 63) << 22) | (column << 11) | np.int64(y_in[i])
        words[n] = (np.uint64(upper) << np.uint64(32)) | np.uint64(bits)
        n += 1
        i = j
    taken[0] = i
    return n


@kernel
def encode_evt3(  # type: ignore[no-untyped-def]
    high, started, time, y, x, p, t_in, x_in, y_in, p_in, count, final, words, room, taken
):  # fmt: skip
    """Encode events in the way of `encode_evt2`: from four of a time, row and polarity in 32 pixels on as vectors of 12, 12, 8."""
    n, i = 0, 0
    while i < count:
        j = _run(t_in, x_in, y_in, p_in, i, count, np.int64(x_in[i]))
        if j == count and final == 0:
            break
        target = t_in[i] >> 12
        while (started[0] == 0 or high[0] < target) and n + 8 <= room:
            high[0] = target if started[0] == 0 else _raised(high[0], target, STEP_3, MASK_3)
            if started[0] == 0:
                y[0], x[0] = NOWHERE, NOWHERE
            started[0], time[0] = 1, -1
            words[n] = np.uint16((8 << 12) | (high[0] & 0xFFF))
            n += 1
        if high[0] < target or n + 8 > room:
            break
        if t_in[i] != time[0]:
            time[0] = t_in[i]
            words[n] = np.uint16((6 << 12) | (time[0] & 0xFFF))
            n += 1
        if y_in[i] != y[0]:
            y[0] = y_in[i]
            words[n] = np.uint16(y_in[i])
            n += 1
        place = np.int64(x_in[i]) | (np.int64(p_in[i]) << 11)
        if j - i >= LEAST:
            if x_in[i] != x[0] or p_in[i] != p[0]:
                words[n] = np.uint16((3 << 12) | place)
                n += 1
            bits = np.int64(0)
            for k in range(i, j):
                bits |= np.int64(1) << (np.int64(x_in[k]) - np.int64(x_in[i]))
            words[n] = np.uint16((4 << 12) | (bits & 0xFFF))
            words[n + 1] = np.uint16((4 << 12) | ((bits >> 12) & 0xFFF))
            words[n + 2] = np.uint16((5 << 12) | (bits >> 24))
            n += 3
            x[0], p[0] = np.int64(x_in[i]) + 32, p_in[i]
            i = j
        else:
            words[n] = np.uint16((2 << 12) | place)
            n += 1
            x[0] = NOWHERE
            i += 1
    taken[0] = i
    return n


@kernel
def _run(t, x, y, p, first, count, column):  # type: ignore[no-untyped-def]
    """Return the end of the events from `first` on that fit one vector: of one time, row, polarity, x rising, within 32 pixels."""
    j = first + 1
    while j < count and t[j] == t[first] and y[j] == y[first] and p[j] == p[first] and x[j] > x[j - 1] and x[j] < column + 32:
        j += 1
    return j


class _RawWriter:
    """Writes a RAW file.

    Raises
    ------
    BitspikeError
        The sensor has more than 2048 x 2048 pixels.
    """

    version: str
    word: str
    layout = STATE
    clock_bits: int
    encode: Callable[..., int]

    def __init__(self, path: Path, sensor: EventFormat, first_us: int) -> None:
        if max(sensor.width, sensor.height) > 2048:
            raise BitspikeError(f"{path}: EVT{self.version} addresses 2048 x 2048 pixels: {sensor.width} x {sensor.height} is more")
        self._path, self._last = path, first_us
        self._origin = first_us >> self.clock_bits << self.clock_bits
        self._state, self._kept = blank(self.layout), [np.empty(0, k) for k in (np.int64, np.uint16, np.uint16, np.uint8)]
        self._file = path.open("wb")
        self._file.write(raw_header(self.version, sensor, self._origin))

    def write(self, events: Events) -> None:
        """Write events, but for those that may be part of a vector that goes on.

        Raises
        ------
        BitspikeError
            An event is more than `LONGEST_GAP` after the one before it.
        """
        gaps = np.diff(events.t_us, prepend=self._last)
        if len(gaps) and int(gaps.max()) > LONGEST_GAP:
            t = int(events.t_us[int(gaps.argmax())])
            raise BitspikeError(
                f"{self._path}: t leaps to {t} us, more than a year ahead, which EVT{self.version} cannot hold; mend it"
            )
        self._last = int(events.t_us[-1]) if len(gaps) else self._last
        self._encode([events.t_us - self._origin, events.x, events.y, events.p], 0)

    def close(self) -> None:
        """Write what was kept and finish the file."""
        self._encode([column[:0] for column in self._kept], 1)
        self._file.close()

    def _encode(self, given: list[Any], final: int) -> None:
        columns = [np.concatenate(pair) for pair in zip(self._kept, given, strict=True)]
        words, taken, at = np.empty(ROOM, self.word), np.zeros(1, np.int64), 0
        while at < len(columns[0]):
            rest = [column[at:] for column in columns]
            n = type(self).encode(*variables(self._state), *rest, len(rest[0]), final, words, ROOM, taken)
            self._file.write(words[:n].tobytes())
            at += int(taken[0])
            if n == 0:
                break
        self._kept = [column[at:] for column in columns]


class Evt2Writer(_RawWriter):
    """Writes an EVT2 file."""

    version, word, clock_bits, encode = "2", "<u4", 34, encode_evt2


class Evt21Writer(_RawWriter):
    """Writes an EVT2.1 file."""

    version, word, clock_bits, encode = "2.1", "<u8", 34, encode_evt21


class Evt3Writer(_RawWriter):
    """Writes an EVT3 file."""

    version, word, clock_bits, encode = "3", "<u2", 24, encode_evt3
    layout = STATE_3
