"""DAT, Prophesee's format of decoded events: 8 bytes each.

After the text header (`sensors.events.prophesee`) two bytes give the type of the events (0x00 "2d" and 0x0C "CD" are contrast
events, 0x0E external triggers) and their size, 8. Then little-endian records follow: a 32-bit time in microseconds, which wraps
every 71.6 minutes, and a 32-bit address:

=========  ===============  ===============  ============
version    column           row              polarity
=========  ===============  ===============  ============
1          bits 8..0        bits 16..9       bit 17
2          bits 13..0       bits 27..14      bits 31..28
=========  ===============  ===============  ============

A time that falls by more than half its range has wrapped. One that falls by less is held at the one before it. One that leaps ahead
by more than a second while the next record does not is damage, and its event is dropped.

Source: docs.prophesee.ai, File Formats, DAT; version 1: the same records, as faery and expelliarmus read them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.blocks import EventFormat, Events
from pipeline.errors import BitspikeError
from pipeline.fixed import kernel, merged
from pipeline.layout import layout
from sensors.events.prophesee import dat_header, read_header
from sensors.events.sizing import recording_of_size
from sensors.events.source import EventRecording
from sensors.events.stated import EventFacts
from sensors.events.words import WordReader

NO_EVENT = 15  # in the place of the polarity: something else
LEAP = 1_000_000  # microseconds
BLOCK = 64  # records that are tried at a time
MOST_AT_ONCE = 1024  # records that are decoded while they are still in the cache
EVENTS, TRIGGERS = (0x00, 0x0C), 0x0E
STATE = layout(
    time="i8",  # of the last event, microseconds
    base="i8",  # the part of it that has wrapped
    started="i4",
    outside="i8",  # events outside the sensor
    refused="i8",  # events whose time leapt ahead alone
    held="i8",  # events that were before the one before them
    others="i8",  # records that are no events
)


@merged
def _sound(width, height, now, base, words, first, last):  # type: ignore[no-untyped-def]
    """Return the end of the blocks from record `first` on that are sound and in order of time, as in `sensors.events.evt2`."""
    i, columns, lines, of_time = first, np.uint64(width), np.uint64(height), np.uint64(0xFFFFFFFF)
    now -= base
    while i + BLOCK <= last:
        begun = np.uint64(i)
        start, end = np.int64(words[begun] & of_time), np.int64(words[begun + np.uint64(BLOCK - 1)] & of_time)
        if start < now or end - now > LEAP:
            break
        out, back = np.uint64(0), np.uint64(0)
        for k in range(BLOCK):
            word = words[begun + np.uint64(k)]
            x, y = (word >> np.uint64(32)) & np.uint64(0x3FFF), (word >> np.uint64(46)) & np.uint64(0x3FFF)
            out |= np.uint64(x >= columns) | np.uint64(y >= lines) | np.uint64(word >> np.uint64(60) == NO_EVENT)
        for k in range(1, BLOCK):
            back |= np.uint64(np.uint32(words[begun + np.uint64(k)]) < np.uint32(words[begun + np.uint64(k - 1)]))
        if out | back:
            break
        i += BLOCK
        now = end
    return i


@merged
def _copy(base, words, first, length, count, t_out, x_out, y_out, p_out):  # type: ignore[no-untyped-def]
    """Decode records that are sound, a column at a time, to where `count` events are before them."""
    i, n = np.uint64(first), np.uint64(count)
    for k in range(length):
        t_out[n + np.uint64(k)] = base + np.int64(words[i + np.uint64(k)] & np.uint64(0xFFFFFFFF))
    for k in range(length):
        x_out[n + np.uint64(k)] = (words[i + np.uint64(k)] >> np.uint64(32)) & np.uint64(0x3FFF)
    for k in range(length):
        y_out[n + np.uint64(k)] = (words[i + np.uint64(k)] >> np.uint64(46)) & np.uint64(0x3FFF)
    for k in range(length):
        p_out[n + np.uint64(k)] = words[i + np.uint64(k)] >> np.uint64(60) != np.uint64(0)


@kernel
def decode_records(  # type: ignore[no-untyped-def]
    width, height, time_bits, time, base, started, outside, refused, held, others,
    words, count, final, t_out, x_out, y_out, p_out, room, taken,
):  # fmt: skip
    """Decode records of version 2, whose times have `time_bits` bits, in the way of `sensors.events.evt2.decode_evt2`."""
    n = np.uint64(0)
    now, wrapped = time[0], base[0]
    count = min(count, room)
    whole, half = np.int64(1) << time_bits, np.int64(1) << (time_bits - 1)
    i, stop, tried = 0, count, 0
    while i < stop:
        if i >= tried and i + BLOCK <= count and started[0] == 1:
            tried = i + BLOCK
            sound = _sound(width, height, now, wrapped, words, i, min(i + MOST_AT_ONCE, count))
            if sound > i:
                _copy(wrapped, words, i, sound - i, n, t_out, x_out, y_out, p_out)
                n += np.uint64(sound - i)
                now, i = t_out[n - np.uint64(1)], sound
                continue
        word = words[np.uint64(i)]
        i += 1
        address = np.int64(word >> np.uint64(32))
        if address >> 28 == NO_EVENT:
            others[0] += 1
            continue
        origin = wrapped
        when = np.int64(word & np.uint64(0xFFFFFFFF)) + wrapped
        if started[0] == 0:  # the first time may be damaged too: then the second is below it
            if i == count and final == 0:
                i, stop = i - 1, i - 1
                break
            started[0] = 1
            after = when if i == count else np.int64(words[i] & np.uint64(0xFFFFFFFF))
            now = after if after < when <= after + half else when
        if now - when > half:
            origin += whole
            when += whole
        elif when < now:
            held[0] += 1
            when = now
        if when - now > LEAP:
            if i == count and final == 0:
                i, stop = i - 1, i - 1
                break
            if i < count and words[i] >> np.uint64(60) != np.uint64(NO_EVENT):
                after = np.int64(words[i] & np.uint64(0xFFFFFFFF)) + wrapped
                if now - after > half:
                    after += whole
                if now <= after < when:
                    refused[0] += 1
                    continue
        wrapped = origin
        now = when
        column, line = address & 0x3FFF, (address >> 14) & 0x3FFF
        t_out[n] = now
        x_out[n] = column
        y_out[n] = line
        p_out[n] = address >> 28 != 0
        inside = np.uint64(column < width) & np.uint64(line < height)
        n += inside
        outside[0] += np.int64(1) - np.int64(inside)
    time[0], base[0] = now, wrapped
    taken[0] = i
    return np.int64(n)


def record(t: np.ndarray, x: np.ndarray, y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return events as records of version 2: uint64 [n]; t is taken modulo 2**32, p as it is."""
    address = x.astype(np.uint64) | (y.astype(np.uint64) << np.uint64(14)) | (p.astype(np.uint64) << np.uint64(28))
    return (t.astype(np.uint64) & np.uint64(0xFFFFFFFF)) | (address << np.uint64(32))


def from_version_1(words: np.ndarray) -> np.ndarray:
    """Return records of version 1 as records of version 2."""
    address = words >> np.uint64(32)
    x, y, p = address & np.uint64(0x1FF), (address >> np.uint64(9)) & np.uint64(0xFF), (address >> np.uint64(17)) & np.uint64(1)
    return record(words, x, y, p)


def read_dat(path: Path, facts: EventFacts) -> EventRecording:
    """Open a DAT file; the size of the sensor is that of its header, or stated, or the smallest known that its events fit on.

    Raises
    ------
    BitspikeError
        It holds triggers, records of another size or version, or nothing.
    """
    header = read_header(path)
    if header.length == 0:
        raise BitspikeError(f"{path}: has no header of a DAT file, lines of text after %, and cannot be read; copy the file anew")
    with path.open("rb") as file:
        file.seek(header.length)
        kind = file.read(2)
    if len(kind) < 2:
        raise BitspikeError(f"{path}: is truncated: its header has no type and size of events")
    if kind[0] == TRIGGERS:
        raise BitspikeError(f"{path}: holds external triggers, and no events")
    if kind[0] not in EVENTS or kind[1] != 8:
        raise BitspikeError(f"{path}: events of type {kind[0]:#04x} and {kind[1]} bytes are not read; 0x00 and 0x0c of 8 bytes are")
    if header.version not in ("1", "2"):
        raise BitspikeError(f"{path}: Version: {header.version or 'missing'}; DAT of version 1 and 2 is read")
    prepare, name = (from_version_1, "dat1") if header.version == "1" else (None, "dat")
    if facts.format == "dat1" != name:
        raise BitspikeError(f"{path}: format is {name} by the header, and dat1 was given; leave it out")

    def reader(sensor: EventFormat) -> WordReader:
        size = sensor.width, sensor.height, 32
        word = np.dtype("<u8")
        return WordReader(path, header.length + 2, word, decode_records, STATE, size, 1, header.origin, prepare)

    return recording_of_size(path, name, reader, facts, *header.sensor())


class DatWriter:
    """Writes a DAT file of version 2, or of version 1 where `version` is 1.

    Raises
    ------
    BitspikeError
        The sensor is larger than the version can address: 512 x 256 for version 1.
    """

    def __init__(self, path: Path, sensor: EventFormat, first_us: int, version: int = 2) -> None:
        if version == 1 and (sensor.width > 512 or sensor.height > 256):
            raise BitspikeError(f"{path}: DAT 1 addresses 512 x 256 pixels, and the sensor has {sensor.width} x {sensor.height}")
        self._version, self._origin = version, first_us >> 32 << 32
        self._file = path.open("wb")
        self._file.write(dat_header(version, sensor, self._origin))

    def write(self, events: Events) -> None:
        """Write events."""
        t = (events.t_us - self._origin).astype(np.uint64)
        if self._version == 2:
            self._file.write(record(t, events.x, events.y, events.p).astype("<u8").tobytes())
            return
        address = events.x | (events.y.astype(np.uint32) << np.uint32(9)) | (events.p.astype(np.uint32) << np.uint32(17))
        self._file.write(((t & np.uint64(0xFFFFFFFF)) | (address.astype(np.uint64) << np.uint64(32))).astype("<u8").tobytes())

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


class Dat1Writer(DatWriter):
    """Writes a DAT file of version 1."""

    def __init__(self, path: Path, sensor: EventFormat, first_us: int) -> None:
        super().__init__(path, sensor, first_us, 1)
