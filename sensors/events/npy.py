"""NumPy arrays of events, ``.npy``: reader and writer.

Either a structured array with fields of time, column, row and polarity, by any of the names in `NAMES`, or a plain array [events,
4] of integers in the order t, x, y, p. Times are microseconds, ascending. Ours is structured: t ``<i8``, x and y ``<u2``, p ``u1``.
The size of the sensor is not in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from pipeline.blocks import EventFormat, Events
from pipeline.errors import BitspikeError
from sensors.events.order import Keeper, require_order
from sensors.events.sizing import recording_of_size
from sensors.events.source import EventRecording, Piece
from sensors.events.stated import EventFacts

NAMES = {
    "t": ("t", "ts", "timestamp", "timestamps", "time", "t_us"),
    "x": ("x", "xs", "x_pos"),
    "y": ("y", "ys", "y_pos"),
    "p": ("p", "ps", "polarity", "polarities", "pol", "on"),
}
ROWS = 1 << 16
DTYPE = np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])


def named(given: Any) -> dict[str, str]:
    """Return which of the `given` names stand for t, x, y and p; those that are not there are left out."""
    lower = {str(name).lower(): str(name) for name in given}
    found = {role: [lower[name] for name in names if name in lower] for role, names in NAMES.items()}
    return {role: names[0] for role, names in found.items() if names}


def is_npy_events(path: Path) -> bool:
    """Tell whether an ``.npy`` file is a structured array of events."""
    try:
        dtype = np.load(path, mmap_mode="r", allow_pickle=False).dtype
    except (ValueError, OSError, EOFError):
        return False
    return dtype.names is not None and len(named(dtype.names)) == len(NAMES)


@dataclass(frozen=True)
class _RowReader:
    """Reads rows; `after` of its pieces is (rows so far, last time, damage)."""

    path: Path
    fields: tuple[Any, Any, Any, Any]
    sensor: EventFormat

    def pieces(self, after: Any = None) -> Iterator[Piece]:
        done, last, counts = after or (0, -1, {})
        keeper = Keeper(self.sensor, last, counts)
        while True:
            mapped = np.load(self.path, mmap_mode="r", allow_pickle=False)  # anew, so that memory is given back
            rows = np.array(mapped[done : done + ROWS])
            if not len(rows):
                return
            t, x, y, p = (rows[field] for field in self.fields)
            require_order(self.path, done, keeper.last, t.astype(np.int64))
            done += len(rows)
            columns = keeper.keep(t, x, y, p)
            yield Piece(columns, (done, keeper.last, keeper.counts), keeper.counts)


def read_npy_events(path: Path, facts: EventFacts) -> EventRecording:
    """Open an ``.npy`` file of events.

    Raises
    ------
    BitspikeError
        It is no such array, is truncated, or its times go back.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise BitspikeError(f"{path}: not a readable .npy file, or truncated: {str(error).splitlines()[0]}") from None
    fields: tuple[Any, Any, Any, Any]
    if array.dtype.names:
        roles = named(array.dtype.names)
        if len(roles) < 4 or array.ndim != 1:
            raise BitspikeError(f"{path}: fields {', '.join(array.dtype.names)}; an array of events has t, x, y and p")
        fields = roles["t"], roles["x"], roles["y"], roles["p"]
        kinds = [array.dtype[name].kind for name in fields]
    else:
        if array.ndim != 2 or array.shape[1] != 4:
            raise BitspikeError(f"{path}: shape {list(array.shape)}; a plain array of events is [events, 4]: t, x, y, p")
        fields = tuple((slice(None), i) for i in range(4))  # type: ignore[assignment]
        kinds = [array.dtype.kind]
    if not set(kinds) <= set("iub"):
        raise BitspikeError(f"{path}: dtype: {array.dtype}; events are integers, t in microseconds")
    if not len(array):
        raise BitspikeError(f"{path}: holds no events")
    return recording_of_size(path, "npy", lambda sensor: _RowReader(path, fields, sensor), facts)


class NpyWriter:
    """Writes an ``.npy`` file of events."""

    def __init__(self, path: Path, sensor: EventFormat, first_us: int) -> None:
        self._rows, self._file = 0, path.open("wb")
        self._header()

    def _header(self) -> None:
        described = npy_format.dtype_to_descr(DTYPE)
        npy_format.write_array_header_1_0(self._file, {"descr": described, "fortran_order": False, "shape": (self._rows,)})

    def write(self, events: Events) -> None:
        """Write events."""
        rows = np.empty(len(events), DTYPE)
        rows["t"], rows["x"], rows["y"], rows["p"] = events.t_us, events.x, events.y, events.p
        self._file.write(rows.tobytes())
        self._rows += len(events)

    def close(self) -> None:
        """Finish the file: only now the number of rows is known, for which its header has room."""
        self._file.seek(0)
        self._header()
        self._file.close()
