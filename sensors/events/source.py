"""Recordings of event cameras: finite, read in pieces of bounded size, from any time on."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from pipeline.blocks import EventFormat, Events
from pipeline.errors import BitspikeError
from sensors.source import digest

DAMAGE = {
    "early": "words before the first time",
    "outside": "events outside the sensor",
    "unknown": "words of no known type",
    "refused": "times out of line, passed over",
    "held": "times that went back, held",
    "cut": "bytes left over at the end",
}
IGNORED = {"triggers": "external triggers", "others": "other words"}
SILENCE = 64  # empty blocks, one after the other, from which on they may be given as one
SETTLED_US = 60_000_000  # of silence, after which no stage waits for anything
CUTS = 4096  # blocks that are cut from a piece at a time: a gap may be of any length
MOST_MARKS = 4096  # places to go on from that a recording remembers
_COLUMNS = (np.int64, np.uint16, np.uint16, np.uint8)


class Columns(NamedTuple):
    """Events in the order of the file: t int64, x and y uint16, p uint8, all [n]; t never descends."""

    t: np.ndarray
    x: np.ndarray
    y: np.ndarray
    p: np.ndarray


class Piece(NamedTuple):
    """What a reader gives at a time.

    Attributes
    ----------
    columns : Columns
        The events.
    after : object
        Where to go on: what `Reader.pieces` takes.
    counts : dict
        Damage and what was passed over, by the names of `DAMAGE` and `IGNORED`, since the beginning of the recording.
    """

    columns: Columns
    after: Any
    counts: dict[str, int]


class Reader(Protocol):
    """Decodes one file."""

    def pieces(self, after: Any = None) -> Iterator[Piece]:
        """Yield the recording from the beginning, or from where an earlier piece ended; each piece is some MiB at most."""
        ...


def _joined(parts: list[Columns]) -> Columns:
    return Columns(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _silence(begin: int, end: int) -> Iterator[Events]:
    """Yield ``[begin, end)`` without events: up to a minute, after which all stages have come to rest, then what is left."""
    settled = min(begin + SETTLED_US, end)
    for start, stop in ((begin, settled), (settled, end)):
        if start < stop:
            yield Events(start, stop, *(np.empty(0, kind) for kind in _COLUMNS))


@dataclass(frozen=True)
class Summary:
    """What a whole recording holds.

    Attributes
    ----------
    events, brighter : int
        Number of events, and of those of polarity 1.
    first_us, last_us : int
        Times of the first and the last event; 0 where there is none.
    counts : dict
        Damage and what was passed over: `DAMAGE` and `IGNORED`.
    """

    events: int
    brighter: int
    first_us: int
    last_us: int
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Time from the first event to the last."""
        return (self.last_us - self.first_us) / 1e6

    @property
    def rate_hz(self) -> float:
        """Events per second on average; 0 where all have one time."""
        return self.events / self.seconds if self.seconds else 0.0

    @property
    def damage(self) -> dict[str, int]:
        """The counts that are damage, those of them that are not 0."""
        return {name: self.counts[name] for name in DAMAGE if self.counts.get(name)}


class EventRecording:
    """A finite stretch of events in a file; made by `open_events`.

    Parameters
    ----------
    path : pathlib.Path
        The file that was opened.
    source_format : str
        What it is, by the name that writing it goes by: "evt3", "dat", "aedat4" and so on.
    sensor : EventFormat
        Size of the sensor.
    reader : Reader
        Decodes the file.
    size_from : str
        Where the sensor's size is from: "the header", "the camera's name", "what was stated", "the events".

    Attributes
    ----------
    path, source_format, size_from
        As given.
    format : EventFormat
        Size of the sensor.
    name : str
        Name of the file, without its extension.
    files : list of pathlib.Path
        The file.
    counts : dict
        Damage and what was passed over so far, from the beginning to the furthest point that was read: `DAMAGE` and `IGNORED`.
    """

    finite = True

    def __init__(self, path: Path, source_format: str, sensor: EventFormat, reader: Reader, size_from: str = "the header") -> None:
        self.path, self.source_format, self.format, self.size_from = path, source_format, sensor, size_from
        self.name, self.files = path.stem, [path]
        self.counts: dict[str, int] = {}
        self._reader = reader
        self._marks: list[tuple[int, int, Any]] = []  # (last time so far, pieces so far, where to go on), ascending
        self._furthest, self._every, self._last = 0, 1, -1  # pieces read so far, how many of them to a mark, last time
        self._summary: Summary | None = None

    def __repr__(self) -> str:
        return f"EventRecording({self.name}: {self.source_format}, {self.format.width} x {self.format.height})"

    @property
    def damage(self) -> dict[str, int]:
        """Damage so far, by the names of `DAMAGE`, without what is 0; of the whole recording after `summary`."""
        return {name: self.counts[name] for name in DAMAGE if self.counts.get(name)}

    def pieces(self, start: int | None = None, stop: int | None = None) -> Iterator[Events]:
        """Yield the events of ``[start, stop)`` microseconds in pieces as the file gives them: the quickest way to have them all.

        A piece covers its first to its last event. No piece is empty. Events of one time may be spread over two pieces.
        """
        number, after = self._seek(start)
        for piece in self._reader.pieces(after):
            number += 1
            self._note(number, piece)
            columns = piece.columns
            first = 0 if start is None else int(np.searchsorted(columns.t, start))
            last = len(columns.t) if stop is None else int(np.searchsorted(columns.t, stop))
            if last > first:
                yield Events(int(columns.t[first]), int(columns.t[last - 1]) + 1, *(c[first:last] for c in columns))
            if last < len(columns.t):
                return

    def blocks(self, us: int, start: int | None = None, stop: int | None = None, *, long_silence: bool = False) -> Iterator[Events]:
        """Yield ``[start, stop)`` in blocks of `us` microseconds: one after the other, also where there are no events.

        Parameters
        ----------
        us : int
            Length of a block.
        start, stop : int, optional
            Time to begin and to end, in microseconds of the recording's clock; the first and just after the last event unless
            given. The last block may be shorter.
        long_silence : bool
            Give 64 blocks without events, or more, as one of up to a minute and one of the rest: a damaged time leaps by years.

        Raises
        ------
        BitspikeError
            `us` is below 1, `stop` before `start`, or the file cannot be read.
        """
        if us < 1:
            raise BitspikeError(f"block length: {us} us; give at least 1")
        if start is not None and stop is not None and stop < start:
            raise BitspikeError(f"{self.path}: stop {stop} us is before start {start} us")
        return self._windows(us, start, stop, long_silence)

    def _windows(self, us: int, start: int | None, stop: int | None, long_silence: bool) -> Iterator[Events]:
        nothing = Columns(*(np.empty(0, kind) for kind in _COLUMNS))
        begin, parts = start, [nothing]  # what the block that is not full has so far
        silence = SILENCE * us
        for piece in self.pieces(start, stop):
            begin = piece.start if begin is None else begin
            t, x, y, p = piece.t_us, piece.x, piece.y, piece.p
            end = begin + (piece.stop - 1 - begin) // us * us  # of the blocks for which nothing more comes: the last event is after
            first = 0
            while begin < end:
                quiet = int(t[first]) - begin
                if long_silence and not parts and quiet >= silence:
                    yield from _silence(begin, begin + quiet // us * us)
                    begin += quiet // us * us
                    continue
                many = min((end - begin) // us, CUTS)
                for cut in np.searchsorted(t, begin + us * np.arange(1, many + 1, dtype=np.int64)).tolist():
                    if cut == first and long_silence and not parts and t[first] - begin >= silence:
                        break
                    columns = Columns(t[first:cut], x[first:cut], y[first:cut], p[first:cut])
                    if parts:
                        columns, parts = _joined([*parts, columns]), []
                    yield Events(begin, begin + us, *columns)
                    first, begin = cut, begin + us
            parts.append(Columns(t[first:], x[first:], y[first:], p[first:]))
        if begin is None:
            return
        held = _joined(parts)
        end = stop if stop is not None else int(held.t[-1]) + 1 if len(held.t) else begin
        while begin < end:
            if long_silence and not len(held.t) and end - begin >= silence:
                yield from _silence(begin, end)
                return
            cut = int(np.searchsorted(held.t, begin + us))
            yield Events(begin, min(begin + us, end), *(c[:cut] for c in held))
            held = Columns(*(c[cut:] for c in held))
            begin += us

    def read(self, start: int | None = None, stop: int | None = None) -> Events:
        """Return the events of ``[start, stop)`` microseconds in one block, all in memory."""
        parts = list(self.pieces(start, stop))
        begin = start if start is not None else parts[0].start if parts else 0
        end = stop if stop is not None else parts[-1].stop if parts else begin
        joined = [np.concatenate([getattr(b, c) for b in parts]) if parts else None for c in ("t_us", "x", "y", "p")]
        return Events(begin, end, *(np.empty(0, k) if c is None else c for c, k in zip(joined, _COLUMNS, strict=True)))

    def summary(self) -> Summary:
        """Go through the whole recording once and return what it holds; later calls know it."""
        if self._summary is None:
            events = brighter = first = last = 0
            for piece in self.pieces():
                first = first if events else int(piece.t_us[0])
                last = int(piece.t_us[-1])
                events += len(piece)
                brighter += int(np.count_nonzero(piece.p))
            self._summary = Summary(events, brighter, first, last, dict(self.counts))
        return self._summary

    def checksum(self) -> str:
        """Return the SHA-256 of the file, in hexadecimal."""
        return digest(self.path)

    def _seek(self, start: int | None) -> tuple[int, Any]:
        """Return how many pieces are wholly before `start`, as far as is known, and where to go on after them."""
        known = 0 if start is None else bisect_left(self._marks, start, key=lambda mark: mark[0])
        return self._marks[known - 1][1:] if known else (0, None)

    def _note(self, number: int, piece: Piece) -> None:
        """Remember where a piece ended that was never read before: every one at first, fewer and fewer in long recordings."""
        if number <= self._furthest:
            return
        self._furthest, self.counts = number, piece.counts
        if len(piece.columns.t):
            self._last = int(piece.columns.t[-1])
        if number % self._every == 0:
            self._marks.append((self._last, number, piece.after))
        if len(self._marks) > MOST_MARKS:
            self._every *= 2
            self._marks = [mark for mark in self._marks if mark[1] % self._every == 0]
