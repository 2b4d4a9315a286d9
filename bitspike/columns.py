"""Columns on disk that grow while a recording is replayed: plain ``.npy`` files, so that a run needs no memory for its results.

The header is 128 bytes long whatever the length of the column, so it can be written first, left, and corrected at the end
(NumPy enhancement proposal 1, format 1.0: magic, version, header length, a Python literal padded with spaces and a line feed).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pipeline.errors import BitspikeError

HEADER_BYTES = 128


class Column:
    """An ``.npy`` file that grows at its end.

    Parameters
    ----------
    path : pathlib.Path
        The file; it is created, or continued where `length` says.
    dtype : numpy.dtype
        Of its items.
    shape : tuple of int
        Of one row: ``()`` for a plain column.
    length : int
        Rows to keep of a file that is there already; what lies behind them is cut off. 0 starts anew.
    """

    def __init__(self, path: Path, dtype: Any, shape: tuple[int, ...] = (), length: int = 0) -> None:
        self.path, self.dtype, self.shape, self.length = path, np.dtype(dtype), shape, length
        self._file: BinaryIO
        if length:
            size = HEADER_BYTES + length * self.dtype.itemsize * int(np.prod(shape, dtype=np.int64))
            if not path.is_file() or path.stat().st_size < size:
                raise BitspikeError(f"{path}: shorter than when the run was interrupted; leave out --resume to start anew")
            self._file = path.open("r+b")
            self._file.truncate(size)
            self._file.seek(0, 2)
        else:
            self._file = path.open("wb")
            self._file.write(self._header())

    def append(self, rows: np.ndarray) -> None:
        """Write `rows` [n, *shape] behind what is there."""
        if rows.dtype != self.dtype or rows.shape[1:] != self.shape:
            raise TypeError(f"{self.path.name} holds {self.dtype} {self.shape}, not {rows.dtype} {rows.shape[1:]}")
        self._file.write(np.ascontiguousarray(rows).data)
        self.length += len(rows)

    def flush(self) -> None:
        """Hand everything written so far to the operating system."""
        self._file.flush()

    def close(self) -> None:
        """Write the final header and close the file."""
        if self._file.closed:
            return
        try:
            self._file.seek(0)
            self._file.write(self._header())
        finally:
            self._file.close()

    def _header(self) -> bytes:
        rows = (self.length, *self.shape)
        shape = f"({rows[0]},)" if len(rows) == 1 else str(rows)
        described = f"{{'descr': {self.dtype.str!r}, 'fortran_order': False, 'shape': {shape}, }}"
        room = HEADER_BYTES - 10
        return b"\x93NUMPY\x01\x00" + room.to_bytes(2, "little") + described.ljust(room - 1).encode() + b"\n"


class Columns:
    """All columns of a run, by their path below its folder without the ending.

    Parameters
    ----------
    folder : pathlib.Path
        The run's folder.
    state : dict, optional
        What `state` returned when the run was interrupted; its columns are continued.
    """

    def __init__(self, folder: Path, state: dict[str, Any] | None = None) -> None:
        self.folder = folder
        self._open: dict[str, Column] = {}
        for name, (dtype, shape, length) in (state or {}).items():
            self.column(name, dtype, tuple(shape), length)

    def column(self, name: str, dtype: Any, shape: tuple[int, ...] = (), length: int = 0) -> Column:
        """Return the column of that name, created where it is not there yet."""
        if name not in self._open:
            path = self.folder / f"{name}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open[name] = Column(path, dtype, shape, length)
        return self._open[name]

    def __contains__(self, name: str) -> bool:
        return name in self._open

    def state(self) -> dict[str, Any]:
        """Flush everything; return what it takes to continue later."""
        for column in self._open.values():
            column.flush()
        return {name: [c.dtype.str, list(c.shape), c.length] for name, c in self._open.items()}

    def close(self) -> None:
        """Close all files, even when one of them fails."""
        failed: OSError | None = None
        for column in self._open.values():
            try:
                column.close()
            except OSError as error:
                failed = error
        if failed:
            raise failed
