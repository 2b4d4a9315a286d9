"""Proof that the decoders of EVT2 and EVT3 in C give what the host's readers give."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from firmware.comparing import Tally, compare
from firmware.decoding import DECODERS, Decoder, Library
from pipeline.blocks import EVENT_COLUMNS, EventFormat, Events
from pipeline.stage import Engine
from sensors.events.prophesee import read_header
from sensors.events.raw import raw_reader
from sensors.events.source import EventRecording
from sensors.events.writing import write_events

MOST_BYTES = 1 << 22  # of a recording's words
PIECE_BYTES = 10_007  # odd, so that words are cut
DAMAGED = 400  # one byte in so many of generated words


def compare_decoders(recording: EventRecording, engines: Sequence[Engine], library: Sequence[str] = DECODERS) -> list[Tally]:
    """Decode the words of a recording, `MOST_BYTES` at most, as C, and compare them with what the host's reader gives.

    Of a recording that is in no format of `library` nothing is compared.
    """
    if recording.source_format not in library:
        return []
    header = read_header(recording.path)
    with recording.path.open("rb") as file:
        file.seek(header.length)
        words = file.read(MOST_BYTES)
        whole = not file.read(1)
    return [_compared(recording, words, whole, header.origin, engine) for engine in engines]


def compare_damaged(blocks: Iterable[Events], sensor: EventFormat, engines: Sequence[Engine], seed: int) -> list[Tally]:
    """Encode events in both formats, damage some bytes, and compare what the decoders make of it."""
    found, rng, held = [], np.random.default_rng(seed), list(blocks)
    inside = [_within(block, sensor) for block in held]
    with tempfile.TemporaryDirectory() as folder:
        for name, version in zip(DECODERS, ("2", "3"), strict=True):
            path = write_events(Path(folder) / f"{name}.raw", inside, name, sensor=sensor)
            skip = read_header(path).length
            content = np.frombuffer(path.read_bytes(), np.uint8).copy()
            places = rng.integers(skip, len(content), (len(content) - skip) // DAMAGED)
            content[places] = rng.integers(0, 256, len(places))
            path.write_bytes(content.tobytes())
            damaged = EventRecording(path, name, sensor, raw_reader(path, version, sensor, skip))
            found += compare_decoders(damaged, engines)
    return found


def _compared(recording: EventRecording, words: bytes, whole: bool, origin: int, engine: Engine) -> Tally:
    name = recording.source_format
    decoder, tally = Decoder(name, recording.format, cast(Library, engine)), Tally("decoder", name, engine.name)
    parts = [decoder.decode(words[at : at + PIECE_BYTES]) for at in range(0, len(words), PIECE_BYTES)]
    if whole:
        parts.append(decoder.decode(b"", final=True))
    t, x, y, p = (np.concatenate(column) for column in zip(*parts, strict=True))
    expected = _first(recording, None if whole else len(t))
    compare(tally, Events(expected.start, expected.stop, t + origin, x, y, p), expected, f"decoder ({name})", decoder.tables)
    counts = decoder.counts()
    for kind, count in recording.counts.items() if whole else ():
        if counts.get(kind, 0) != count:
            tally.differences += 1
            tally.first = tally.first or f"decoder ({name}) on {engine.name}: {kind}: {counts.get(kind, 0)}, on the host {count}"
    return tally


def _first(recording: EventRecording, count: int | None) -> Events:
    """Return the first events of a recording, or all."""
    parts, have = [], 0
    for piece in recording.pieces():
        parts.append(piece)
        have += len(piece)
        if count is not None and have >= count:
            break
    columns: Any = [np.concatenate([getattr(part, name) for part in parts])[:count] for name in EVENT_COLUMNS] if parts else None
    if columns is None:
        columns = [np.empty(0, kind) for kind in (np.int64, np.uint16, np.uint16, np.uint8)]
    return Events(0, 0, *columns)


def _within(events: Events, sensor: EventFormat) -> Events:
    """Return the events on the sensor."""
    inside = (events.x < sensor.width) & (events.y < sensor.height)
    return Events(events.start, events.stop, *(getattr(events, name)[inside] for name in EVENT_COLUMNS))
