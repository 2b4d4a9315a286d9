"""AEDAT 4 of iniVation's DV software, through dv-processing (the ``events`` extra): reader.

A file begins with ``#!AER-DAT4.0`` and CR LF. Then follow flatbuffers: a header with the compression (none, LZ4, LZ4 high,
Zstandard, Zstandard high), the place of the table of contents, and a description of the streams in XML; packets, each with the
number of its stream and its compressed size; and the table. Events are of 16 bytes: time in microseconds (64 bits, from 1970),
column and row (16 bits each), polarity. The first stream of events is read; frames, motion samples and triggers are passed over.

Source: docs.inivation.com, Software, AEDAT 4.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.blocks import EventFormat
from pipeline.errors import BitspikeError, MissingExtraError
from pipeline.fixed import inlined, kernel
from pipeline.layout import blank, layout, variables
from sensors.events.source import Columns, EventRecording, Piece
from sensors.events.stated import EventFacts

TOGETHER = 1 << 15  # events of a piece, about


def dv() -> Any:
    """Return dv-processing, or say what is missing."""
    try:
        import dv_processing
    except ImportError:
        raise MissingExtraError("AEDAT 4", "events") from None
    return dv_processing


def _opened(path: Path) -> Any:
    try:
        recording = dv().io.MonoCameraRecording(str(path))
    except RuntimeError as error:
        raise BitspikeError(f"{path}: not a whole AEDAT 4 file: {_why(error)}; copy it again, or record it anew") from None
    if not recording.isEventStreamAvailable():
        raise BitspikeError(f"{path}: holds no stream of events")
    return recording


def _why(error: RuntimeError) -> str:
    """Return what dv-processing says is wrong, without the C++ around it: places in its sources, kinds of error, stack traces."""
    for line in str(error).splitlines():
        if "EndOfFile" in line:
            return "it ends too early"
        if line.strip() and not re.search(r"\.[ch]pp\(\d+\)", line):
            return line.strip().rstrip(".")
    return "it cannot be read"


STATE = layout(
    time="i8",  # of the last event, microseconds
    outside="i8",  # events outside the sensor
    held="i8",  # events that were before the one before them
)


@inlined
def plain(width, height, time, words, count, t_out, x_out, y_out, p_out):  # type: ignore[no-untyped-def]
    """Take events apart as if all were in order and within the sensor, a column at a time; return whether they are."""
    wrong = np.int64(words[0, 0] < time)
    for i in range(count):
        t_out[i] = words[i, 0]
    for i in range(1, count):
        wrong |= np.int64(t_out[i] < t_out[i - 1])
    for i in range(count):
        rest = words[i, 1]
        x_out[i] = rest
        y_out[i] = rest >> 16
        p_out[i] = (rest >> 32) & 1
    for i in range(count):
        wrong |= np.int64(x_out[i] >= width) | np.int64(y_out[i] >= height)
    return wrong == 0


@kernel
def decode_packet(width, height, time, outside, held, words, count, t_out, x_out, y_out, p_out):  # type: ignore[no-untyped-def]
    """Take events of 16 bytes apart, int64 [count, 2], one at least; return how many are within the sensor."""
    if plain(width, height, time[0], words, count, t_out, x_out, y_out, p_out):
        time[0] = words[count - 1, 0]
        return np.int64(count)
    n, now, back = np.uint64(0), time[0], np.int64(0)
    for i in range(count):
        when, rest = words[i, 0], words[i, 1]
        back += when < now
        now = max(now, when)
        column, line = rest & 0xFFFF, (rest >> 16) & 0xFFFF
        t_out[n] = now
        x_out[n] = column
        y_out[n] = line
        p_out[n] = (rest >> 32) & 1
        n += np.uint64(column < width) & np.uint64(line < height)
    time[0] = now
    held[0] += back
    outside[0] += count - np.int64(n)
    return np.int64(n)


@dataclass(frozen=True)
class _PacketReader:
    """Reads packet by packet; `after` of its pieces is (packets so far, state)."""

    path: Path
    sensor: EventFormat

    def pieces(self, after: Any = None) -> Iterator[Piece]:
        done, state = (0, blank(STATE)) if after is None else (after[0], after[1].copy())
        recording, fields = _opened(self.path), variables(state)
        for _ in range(done):
            recording.getNextEventBatch()
        error: RuntimeError | None = None
        while error is None:
            packets: list[np.ndarray] = []
            while sum(map(len, packets)) < TOGETHER:
                try:
                    batch = recording.getNextEventBatch()
                except RuntimeError as damage:
                    error = damage
                    break
                if batch is None:
                    break
                done += 1
                packets.append(batch.numpy().view(np.int64).reshape(-1, 2))
            packets = [words for words in packets if len(words)]
            n, room = 0, sum(map(len, packets)) + 1
            columns = Columns(np.empty(room, np.int64), np.empty(room, "u2"), np.empty(room, "u2"), np.empty(room, "u1"))
            for words in packets:
                rest = (column[n:] for column in columns)
                n += decode_packet(self.sensor.width, self.sensor.height, *fields, words, len(words), *rest)
            if packets:
                counts = {"outside": int(state["outside"]), "held": int(state["held"])}
                yield Piece(Columns(*(c[:n] for c in columns)), (done, state.copy()), counts)
            elif error is None:
                return
        raise BitspikeError(f"{self.path}: damaged after packet {done}: {_why(error)}; copy it again, or record it anew") from None


def read_aedat4(path: Path, facts: EventFacts) -> EventRecording:
    """Open an AEDAT 4 file.

    Raises
    ------
    BitspikeError
        It is damaged or has no stream of events.
    MissingExtraError
        dv-processing is not installed.
    """
    width, height = _opened(path).getEventResolution()
    sensor, source = facts.sensor(path, EventFormat(width, height), "the header")
    assert sensor is not None
    return EventRecording(path, "aedat4", sensor, _PacketReader(path, sensor), source)
