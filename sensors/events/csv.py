"""Tables of events as text, ``.csv`` and ``.txt``: reader and writer.

One event a line: four numbers, separated by commas, semicolons, tabs or spaces. A first line with letters names the columns, by the
names in `sensors.events.npy.NAMES`; without one the order is t, x, y, p, or x, y, p, t as Prophesee's tools write it, whichever the
numbers fit. Times are whole microseconds, or seconds where they have a decimal point. Lines that begin with "#" are remarks; ours
is ``# sensor WIDTHxHEIGHT``. A first line of two numbers is the size of the sensor too. Polarity is 1 above 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.blocks import EventFormat, Events
from pipeline.errors import BitspikeError
from sensors.events.npy import named
from sensors.events.order import Keeper, require_order
from sensors.events.sizing import recording_of_size
from sensors.events.source import EventRecording, Piece
from sensors.events.stated import EventFacts

CHUNK_BYTES = 1 << 20
LOOK_LINES = 1000  # that the order of unnamed columns is found from
NAMED = "txyp"
MARK = b"\xef\xbb\xbf"  # that some programs begin UTF-8 with


@dataclass(frozen=True)
class _Layout:
    """How the lines are to be read: bytes before the first event, separator (None: spaces), places of t, x, y, p, and seconds."""

    skip: int
    separator: str | None
    places: tuple[int, int, int, int]
    seconds: bool


@dataclass(frozen=True)
class _LineReader:
    """Reads lines; `after` of its pieces is (byte offset, events so far, last time, damage)."""

    path: Path
    layout: _Layout
    sensor: EventFormat

    def pieces(self, after: Any = None) -> Iterator[Piece]:
        at, done, last, counts = after or (self.layout.skip, 0, -1, {})
        keeper = Keeper(self.sensor, last, counts)
        with self.path.open("rb") as file:
            file.seek(at)
            while lines := file.readlines(CHUNK_BYTES):
                at = file.tell()
                kept = [line for line in lines if line.strip() and not line.startswith(b"#")]
                if not kept:
                    continue
                numbers = _numbers(self.path, kept, self.layout, done)
                require_order(self.path, done, keeper.last, numbers[0])
                done += len(kept)
                columns = keeper.keep(*numbers)
                yield Piece(columns, (at, done, keeper.last, keeper.counts), keeper.counts)


def _numbers(path: Path, lines: list[bytes], layout: _Layout, done: int) -> list[np.ndarray]:
    text = [line.decode("latin-1") for line in lines]
    try:
        if layout.seconds:
            t = np.loadtxt(text, np.float64, delimiter=layout.separator, usecols=layout.places[0], ndmin=1)
            rest = np.loadtxt(text, np.int64, delimiter=layout.separator, usecols=layout.places[1:], ndmin=2)
            return [np.rint(t * 1e6).astype(np.int64), *rest.T]
        return list(np.loadtxt(text, np.int64, delimiter=layout.separator, usecols=layout.places, ndmin=2).T)
    except ValueError as error:
        at = next((i for i, line in enumerate(text) if not _is_event(line, layout)), None)
        why = (
            str(error).splitlines()[0]
            if at is None
            else f"{text[at].strip()[:40]!r} has no whole numbers t, x, y and p; mend the line"
        )
        raise BitspikeError(f"{path}: event {done + (at or 0)}: {why}") from None


def _is_event(line: str, layout: _Layout) -> bool:
    cells = line.split(layout.separator)
    try:
        t, *rest = (cells[place] for place in layout.places)
        return len([float(t) if layout.seconds else int(t), *map(int, rest)]) == len(NAMED)
    except (ValueError, IndexError):
        return False


def read_csv(path: Path, facts: EventFacts) -> EventRecording:
    """Open a table of events.

    Raises
    ------
    BitspikeError
        Its lines are no events, nobody can tell which column is which, or times go back.
    """
    layout, size = _look(path)
    found = EventFormat(*size) if size else None
    return recording_of_size(
        path, "csv", lambda sensor: _LineReader(path, layout, sensor), facts, found, "the header" if found else ""
    )


def _look(path: Path) -> tuple[_Layout, tuple[int, int] | None]:
    size, names = None, None
    rows: list[list[str]] = []
    separator: str | None = None
    with path.open("rb") as file:
        skip = len(MARK) if file.read(len(MARK)) == MARK else 0
        file.seek(skip)
        for raw in file:
            line = raw.decode("latin-1").strip()
            stated = re.fullmatch(r"#\s*sensor (\d+)x(\d+)|(\d+)\s+(\d+)", line)
            if not rows and (stated or not line or line.startswith("#")):
                if stated:
                    width, height = (int(g) for g in stated.groups() if g)
                    size = width, height
                skip += len(raw)
                continue
            if line.startswith("#") or not line:
                continue
            if not rows and names is None:
                separator = next((mark for mark in ",;\t" if mark in line), None)
            cells = [cell.strip() for cell in line.split(separator)]
            if not rows and names is None and re.search(r"[A-Za-z]{1}", line) and not re.fullmatch(r"[-+.\deE,;\s]+", line):
                names, skip = cells, skip + len(raw)
                continue
            rows.append(cells)
            if len(rows) == LOOK_LINES:
                break
    if not rows:
        raise BitspikeError(f"{path}: holds no events")
    places = _places(path, rows, names)
    return _Layout(skip, separator, places, any("." in row[places[0]] for row in rows if len(row) > places[0])), size


def _places(path: Path, rows: list[list[str]], names: list[str] | None) -> tuple[int, int, int, int]:
    if names is not None:
        roles = named(names)
        if len(roles) < 4:
            raise BitspikeError(f"{path}: columns {', '.join(names)}; events have t, x, y and p")
        t, x, y, p = (names.index(roles[role]) for role in NAMED)
        return t, x, y, p
    try:
        numbers = np.array([[float(cell) for cell in row] for row in rows])
    except ValueError:
        raise BitspikeError(
            f"{path}: lines of events have four numbers each: t, x, y, p, or columns named in a first line"
        ) from None
    if numbers.ndim == 2 and numbers.shape[1] == 4:
        for order in ((0, 1, 2, 3), (3, 0, 1, 2)):
            if (np.diff(numbers[:, order[0]]) >= 0).all() and np.isin(numbers[:, order[3]], (-1, 0, 1)).all():
                return order
    raise BitspikeError(f"{path}: which column is which is not clear; name them in a first line: t,x,y,p (t ascending, p 0 or 1)")


class CsvWriter:
    """Writes a table of events."""

    def __init__(self, path: Path, sensor: EventFormat, first_us: int) -> None:
        self._file = path.open("w", encoding="ascii", newline="\n")
        self._file.write(f"# sensor {sensor.width}x{sensor.height}\nt,x,y,p\n")

    def write(self, events: Events) -> None:
        """Write events."""
        columns = (events.t_us.tolist(), events.x.tolist(), events.y.tolist(), events.p.tolist())
        self._file.writelines(f"{t},{x},{y},{p}\n" for t, x, y, p in zip(*columns, strict=True))

    def close(self) -> None:
        """Finish the file."""
        self._file.close()
