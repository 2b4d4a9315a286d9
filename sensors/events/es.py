"""Event Stream, ``.es``, of contrast events: reader and writer.

A header of 20 bytes: "Event Stream", the version (three bytes, 2 the first), the type (1, contrast events), width and height (16
bits each, little-endian). Then events of five bytes: the first holds the microseconds since the event before it in bits 7..1 and
the polarity in bit 0; column and row follow, 16 bits each, little-endian. 0xFF in the place of the first byte stands for 127
microseconds more, and 0xFE is passed over. Times count from 0. Rows count from below; they are turned so that row 0 is on top, as
in all other formats here.

Source: github.com/neuromorphicsystems/event_stream, version 2.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.blocks import EventFormat, Events
from pipeline.errors import BitspikeError
from pipeline.fixed import kernel
from pipeline.layout import layout
from sensors.events.source import EventRecording
from sensors.events.stated import EventFacts
from sensors.events.words import WordReader

MAGIC, VERSION, CONTRAST, HEADER = b"Event Stream", bytes([2, 0, 0]), 1, 20
TYPES = {0: "generic", 2: "atis", 3: "amd", 4: "color"}
FURTHEST = 1 << 32  # microseconds from 0 that a recording may begin at: each 127 are a byte
STATE = layout(
    time="i8",
    outside="i8",  # events outside the sensor
    others="i8",  # bytes passed over
)


@kernel
def decode_es(  # type: ignore[no-untyped-def]
    width, height, time, outside, others, words, count, _final, t_out, x_out, y_out, p_out, room, taken
):  # fmt: skip
    """Decode bytes in the way of `sensors.events.evt2.decode_evt2`."""
    i, n, now = 0, np.uint64(0), time[0]
    while i < count and n < np.uint64(room):
        byte = np.int64(words[i])
        if byte == 0xFF:
            now += 127
            i += 1
        elif byte == 0xFE:
            others[0] += 1
            i += 1
        elif i + 5 > count:
            break
        else:
            now += byte >> 1
            column = np.int64(words[i + 1]) | np.int64(words[i + 2]) << 8
            line = np.int64(words[i + 3]) | np.int64(words[i + 4]) << 8
            t_out[n] = now
            x_out[n] = column
            y_out[n] = height - 1 - line
            p_out[n] = byte & 1
            inside = np.uint64(column < width) & np.uint64(line < height)
            n += inside
            outside[0] += np.int64(1) - np.int64(inside)
            i += 5
    time[0] = now
    taken[0] = i
    return np.int64(n)


def read_es(path: Path, facts: EventFacts) -> EventRecording:
    """Open an Event Stream of contrast events.

    Raises
    ------
    BitspikeError
        It is of another version or type, or cut off.
    """
    with path.open("rb") as file:
        start = file.read(HEADER)
    if not start.startswith(MAGIC):
        raise BitspikeError(f"{path}: not an Event Stream: it does not begin with that name")
    if len(start) > len(MAGIC) and start[len(MAGIC)] != VERSION[0]:
        raise BitspikeError(f"{path}: Event Stream version {start[len(MAGIC)]} is not read; version 2 is")
    if len(start) == HEADER and start[15] != CONTRAST:
        raise BitspikeError(f"{path}: Event Stream of type {TYPES.get(start[15], start[15])} is not read; type dvs is")
    if len(start) < HEADER or path.stat().st_size < HEADER + 5:
        raise BitspikeError(f"{path}: holds no events: {path.stat().st_size} bytes, and its header has {HEADER}")
    width, height = np.frombuffer(start[16:20], "<u2").tolist()
    sensor, source = facts.sensor(path, EventFormat(width, height), "the header")
    assert sensor is not None
    size = sensor.width, sensor.height
    return EventRecording(path, "es", sensor, WordReader(path, HEADER, np.dtype("u1"), decode_es, STATE, size), source)


class EsWriter:
    """Writes an Event Stream of contrast events.

    Raises
    ------
    BitspikeError
        The recording begins more than 71 minutes from 0 of its clock: the format has no other origin.
    """

    def __init__(self, path: Path, sensor: EventFormat, first_us: int) -> None:
        if first_us > FURTHEST:
            raise BitspikeError(f"{path}: times of an Event Stream count from 0, and the first is {first_us} us; give --from-zero")
        self._last, self._rows = 0, sensor.height
        self._file = path.open("wb")
        self._file.write(MAGIC + VERSION + bytes([CONTRAST]) + np.array([sensor.width, sensor.height], "<u2").tobytes())

    def write(self, events: Events) -> None:
        """Write events."""
        if not len(events):
            return
        steps = np.diff(events.t_us, prepend=self._last)
        more, left = steps // 127, steps % 127
        first = np.cumsum(more + 5) - 5  # where each event's five bytes begin
        out = np.full(int(first[-1]) + 5, 0xFF, np.uint8)
        below = self._rows - 1 - events.y
        bytes_of = ((left << 1) | events.p, events.x & 0xFF, events.x >> 8, below & 0xFF, below >> 8)
        for i, column in enumerate(bytes_of):
            out[first + i] = column.astype(np.uint8)
        self._file.write(out.tobytes())
        self._last = int(events.t_us[-1])

    def close(self) -> None:
        """Finish the file."""
        self._file.close()
