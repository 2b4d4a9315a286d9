"""Write event recordings, in any format that can be written, under a temporary name until they are whole."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline.blocks import EventFormat, Events
from pipeline.errors import BitspikeError
from sensors.events.source import EventRecording

WRITERS = {  # name of a format to the module and class that writes it
    "evt2": "encoding:Evt2Writer",
    "evt21": "encoding:Evt21Writer",
    "evt3": "encoding:Evt3Writer",
    "dat": "dat:DatWriter",
    "dat1": "dat:Dat1Writer",
    "aedat2": "aedat2:Aedat2Writer",
    "aedat4": "aedat4_writing:Aedat4Writer",
    "aedat4-none": "aedat4_writing:Aedat4PlainWriter",
    "aedat4-zstd": "aedat4_writing:Aedat4ZstdWriter",
    "es": "es:EsWriter",
    "nmnist": "nmnist:NmnistWriter",
    "npy": "npy:NpyWriter",
    "csv": "csv:CsvWriter",
    "hdf5": "hdf5:Hdf5Writer",
}
SUFFIXES = {
    ".raw": "evt3",
    ".dat": "dat",
    ".aedat": "aedat2",
    ".aedat4": "aedat4",
    ".es": "es",
    ".bin": "nmnist",
    ".bs2": "nmnist",
    ".npy": "npy",
    ".csv": "csv",
    ".txt": "csv",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
}
FULL = {os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT)}  # libraries hand on the words, not the number


class Writer(Protocol):
    """Writes one file: made with its path, the sensor and the time of the first event."""

    def write(self, events: Events) -> None:
        """Write events that follow those written before."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...


def write_events(
    path: str | Path,
    source: EventRecording | Iterable[Events],
    format: str | None = None,
    *,
    sensor: EventFormat | None = None,
    from_zero: bool = False,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Write events to a file; what is read from it again is the same, event for event.

    Parameters
    ----------
    path : str or pathlib.Path
        The file to make.
    source : EventRecording or iterable of Events
        The events, ascending in time.
    format : str, optional
        A name of `WRITERS`; what the suffix of `path` says unless given: ``.raw`` is EVT3, ``.dat`` DAT 2, ``.aedat4`` with LZ4.
    sensor : EventFormat, optional
        Size of the sensor; needed where `source` is no recording.
    from_zero : bool
        Subtract the time of the first event from all times.
    overwrite : bool
        Replace a file that is there.
    progress : callable, optional
        Called with the number of events written so far.

    Returns
    -------
    pathlib.Path
        `path`.

    Raises
    ------
    BitspikeError
        The format is not known or cannot hold these events, they do not ascend or are outside the sensor, `path` exists, is no
        file or the recording itself, or cannot be written; nothing is left behind.
    MissingExtraError
        The format needs the ``events`` extra.
    """
    path = Path(path)
    chosen = format_of(path, format)
    if path.exists() and not overwrite:
        raise BitspikeError(f"{path}: exists already: choose another name, or overwrite it")
    if path.exists() and not path.is_file():
        raise BitspikeError(f"{path}: is a folder, a pipe or a device, which no file may replace; choose another name")
    blocks: Iterable[Events]
    if isinstance(source, EventRecording):
        if path.exists() and path.samefile(source.path):
            raise BitspikeError(f"{path}: is the recording that is read, which would be lost; choose another name")
        sensor, blocks = sensor or source.format, source.pieces()
    else:
        blocks = source
    if sensor is None:
        raise BitspikeError(f"{path}: width, height: the size of the sensor is needed to write blocks; give sensor=")
    module, name = WRITERS[chosen].split(":")
    part = path.with_name(f"{path.stem}.part{path.suffix}")  # some libraries go by the suffix
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(part, path, getattr(import_module(f"sensors.events.{module}"), name), sensor, blocks, from_zero, progress)
        part.replace(path)
    except OSError as error:
        raise BitspikeError(f"{path}: cannot be written: {_reason(error)}") from error
    finally:
        with suppress(OSError):  # where there is no such folder, there is no such file
            part.unlink(missing_ok=True)
    return path


def _reason(error: OSError) -> str:
    """Return why a file cannot be written; HDF5's library says it in the middle of a long line."""
    inside = re.search(r"error message = '([^']+)'", str(error))
    reason = error.strerror or (inside[1] if inside else str(error).splitlines()[0])
    return f"{reason}; free some space, or choose another place" if reason in FULL else reason


def format_of(path: Path, format: str | None = None) -> str:
    """Return the format that a file is written in: `format`, or what the suffix of `path` says.

    Raises
    ------
    BitspikeError
        It is none of `WRITERS`.
    """
    chosen = SUFFIXES.get(path.suffix.lower()) if format is None else format
    if chosen not in WRITERS:
        raise BitspikeError(f"{path}: format: {chosen or 'not clear from the name'}; choose one of {', '.join(WRITERS)} (--to)")
    return chosen


def _write(
    part: Path,
    path: Path,
    writer_class: Callable[[Path, EventFormat, int], Writer],
    sensor: EventFormat,
    blocks: Iterable[Events],
    from_zero: bool,
    progress: Callable[[int], None] | None,
) -> None:
    checked = _checked(path, sensor, blocks)
    head = next(checked, None)
    if head is None:
        raise BitspikeError(f"{path}: there are no events to write")
    first = int(head.t_us[0])
    shift = first if from_zero else 0
    done = 0
    try:
        writer = writer_class(part, sensor, first - shift)
        try:
            for block in chain([head], checked):
                writer.write(Events(block.start - shift, block.stop - shift, block.t_us - shift, block.x, block.y, block.p))
                done += len(block)
                if progress is not None:
                    progress(done)
        finally:
            writer.close()
    except BitspikeError as error:
        raise BitspikeError(str(error).replace(str(part), str(path))) from None


def _checked(path: Path, sensor: EventFormat, blocks: Iterable[Events]) -> Iterator[Events]:
    """Yield the blocks that hold events; refuse what no format may hold."""
    last, done = 0, 0
    for block in blocks:
        if not len(block):
            continue
        steps = np.diff(block.t_us, prepend=last)
        bad: Any = steps < 0
        if bad.any():
            at = int(np.argmax(bad))
            raise BitspikeError(
                f"{path}: event {done + at}: t is {int(block.t_us[at])} us, before the event before it, or before 0"
            )
        bad = (block.x >= sensor.width) | (block.y >= sensor.height) | (block.p > 1)
        if bad.any():
            at = int(np.argmax(bad))
            raise BitspikeError(
                f"{path}: event {done + at}: x, y, p = {block.x[at]}, {block.y[at]}, {block.p[at]} does not fit a sensor of "
                f"{sensor.width} x {sensor.height} pixels"
            )
        last, done = int(block.t_us[-1]), done + len(block)
        yield block
