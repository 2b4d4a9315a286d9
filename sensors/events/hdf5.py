"""HDF5 files of events, through h5py (the ``events`` extra): reader and writer.

Four data sets of one length, in the root or in a group ``events`` or ``CD``, by any of the names in `sensors.events.npy.NAMES`; or
one data set of records with such fields, ``events`` or ``CD/events``. Times are microseconds, ascending; ``t_offset`` beside them,
as in DSEC, is added. Attributes ``width`` and ``height`` of the group or file are the size of the sensor. Ours has a group
``events`` of t int64, x and y uint16, p uint8, without compression. Compressed records of Prophesee's own (ECF) need its plug-in
for HDF5.

Source: the layouts of DSEC, of event-camera data sets of the Robotics and Perception Group, and of docs.prophesee.ai, HDF5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.blocks import EventFormat, Events
from pipeline.errors import BitspikeError, MissingExtraError
from sensors.events.npy import NAMES, named
from sensors.events.order import Keeper, require_order
from sensors.events.sizing import recording_of_size
from sensors.events.source import EventRecording, Piece
from sensors.events.stated import EventFacts

ROWS = 1 << 16
GROUPS = ("events", "CD", "/")
RECORDS = ("events", "CD/events")


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise MissingExtraError("HDF5", "events") from None
    return h5py


@dataclass(frozen=True)
class _Place:
    """Where the events are: the group of four data sets, or the data set of records; the names by role; the origin of time."""

    name: str
    roles: dict[str, str]
    origin: int


@dataclass(frozen=True)
class _RowReader:
    """Reads rows; `after` of its pieces is (rows so far, last time, damage)."""

    path: Path
    place: _Place
    sensor: EventFormat

    def pieces(self, after: Any = None) -> Iterator[Piece]:
        done, last, counts = after or (0, -1, {})
        keeper = Keeper(self.sensor, last, counts)
        with _h5py().File(self.path, "r") as file:
            found = file[self.place.name]
            while True:
                try:
                    rows = found[done : done + ROWS] if hasattr(found, "dtype") else None
                    t, x, y, p = (
                        (found[self.place.roles[role]][done : done + ROWS] if rows is None else rows[self.place.roles[role]])
                        for role in NAMES
                    )
                except OSError as error:
                    raise BitspikeError(f"{self.path}: events from {done} on: {str(error).splitlines()[0]}") from None
                if not len(t):
                    return
                t = t.astype(np.int64) + self.place.origin
                require_order(self.path, done, keeper.last, t)
                done += len(t)
                columns = keeper.keep(t, x, y, p)
                yield Piece(columns, (done, keeper.last, keeper.counts), keeper.counts)


def is_hdf5_events(path: Path) -> bool:
    """Tell whether an HDF5 file holds events; without h5py, or where the file is damaged, nobody knows."""
    try:
        with _h5py().File(path, "r") as file:
            return _place(file) is not None
    except (MissingExtraError, OSError):
        return False


def _place(file: Any) -> _Place | None:
    for name in RECORDS:
        found = file.get(name)
        if getattr(found, "dtype", None) is not None and found.dtype.names and len(named(found.dtype.names)) == 4:
            return _Place(name, named(found.dtype.names), 0)
    for name in GROUPS:
        group = file.get(name)
        if group is not None and hasattr(group, "keys"):
            roles = named(group.keys())
            if len(roles) == 4 and all(getattr(group[key], "ndim", 0) == 1 for key in roles.values()):
                offset = file.get("t_offset", group.get("t_offset"))
                return _Place(name, roles, 0 if offset is None else int(offset[()]))
    return None


def read_hdf5(path: Path, facts: EventFacts) -> EventRecording:
    """Open an HDF5 file of events.

    Raises
    ------
    BitspikeError
        It is damaged, holds no events, or their data sets do not fit together.
    MissingExtraError
        h5py is not installed.
    """
    h5py = _h5py()
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise BitspikeError(f"{path}: not a readable HDF5 file, or truncated: {str(error).splitlines()[0]}") from None
    with file:
        place = _place(file)
        if place is None:
            raise BitspikeError(f"{path}: holds no data sets t, x, y and p, neither in the root nor in a group 'events' or 'CD'")
        found = file[place.name]
        if not hasattr(found, "dtype"):
            lengths = {key: len(found[key]) for key in place.roles.values()}
            if len(set(lengths.values())) > 1:
                raise BitspikeError(f"{path}: data sets of different lengths: {', '.join(f'{k} {n}' for k, n in lengths.items())}")
            kinds = {key: found[key].dtype for key in place.roles.values()}
            if not all(kind.kind in "iub" for kind in kinds.values()):
                raise BitspikeError(f"{path}: events are integers, t in microseconds; found {', '.join(map(str, kinds.values()))}")
        if not len(found if hasattr(found, "dtype") else found[place.roles["t"]]):
            raise BitspikeError(f"{path}: holds no events")
        size = next(((a["width"], a["height"]) for a in (found.attrs, file.attrs) if "width" in a and "height" in a), None)
    sensor = EventFormat(int(size[0]), int(size[1])) if size else None
    return recording_of_size(
        path, "hdf5", lambda fits: _RowReader(path, place, fits), facts, sensor, "the header" if sensor else ""
    )


class _Disk(FileIO):
    """A file to which every write seems to go well: HDF5's library breaks down over one that does not (h5py 3.16, full disk)."""

    error: OSError | None = None  # the first, for who writes to raise

    def write(self, data: Any) -> int:
        """Write all of it, unless something went wrong before."""
        left = memoryview(data)
        try:
            while len(left) and self.error is None:
                left = left[super().write(left) :]
        except OSError as error:
            self.error = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        """Change the length, unless something went wrong before."""
        try:
            return super().truncate(size) if self.error is None else 0
        except OSError as error:
            self.error = error
            return 0

    def check(self) -> None:
        """Raise what went wrong."""
        if self.error is not None:
            raise self.error


class Hdf5Writer:
    """Writes an HDF5 file of events."""

    def __init__(self, path: Path, sensor: EventFormat, first_us: int) -> None:
        h5py = _h5py()
        self._disk = _Disk(path, "w+")
        self._file = h5py.File(self._disk, "w")
        group = self._file.create_group("events")
        group.attrs["width"], group.attrs["height"] = sensor.width, sensor.height
        kinds = {"t": "<i8", "x": "<u2", "y": "<u2", "p": "u1"}
        self._sets = [group.create_dataset(name, (0,), kind, maxshape=(None,), chunks=(ROWS,)) for name, kind in kinds.items()]

    def write(self, events: Events) -> None:
        """Write events."""
        for data, column in zip(self._sets, (events.t_us, events.x, events.y, events.p), strict=True):
            first = len(data)
            data.resize((first + len(column),))
            data[first:] = column
        self._disk.check()

    def close(self) -> None:
        """Finish the file."""
        self._file.close()
        self._disk.close()
        self._disk.check()
