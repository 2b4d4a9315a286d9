"""Files and folders that are whole or not there, and one error for a full disk, whichever library met it."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.errors import BitspikeError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
OF_HDF5 = re.compile(r"\berrno = (\d+)")  # in the middle of a long line
OF_NUMPY = re.compile(r"\d+ requested and \d+ written")  # which keeps no number


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Have an error for want of room on the disk say that `path` was being written.

    Raises
    ------
    OSError
        With one of the numbers in `NO_ROOM`, and `path` as its file.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        number = _number(error)
        if number not in NO_ROOM:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def _number(error: OSError | RuntimeError) -> int:
    """Return what number the operating system gave an error, 0 where that is not known."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    if OF_NUMPY.fullmatch(str(error)):
        return errno.ENOSPC
    inside = OF_HDF5.search(str(error))
    return int(inside[1]) if inside else 0


@contextmanager
def folder_for(folder: Path) -> Iterator[None]:
    """Make a folder and those above it, if need be; those that are still empty afterwards are taken away again.

    Raises
    ------
    BitspikeError
        It cannot be made.
    """
    new = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        make_folder(folder)
        yield
    finally:
        for one in new:
            with suppress(OSError):  # it is not empty, as it should be
                one.rmdir()


def make_folder(folder: Path, name: Path | None = None) -> None:
    """Make a folder and those above it, if need be; `name` is what a person calls it.

    Raises
    ------
    BitspikeError
        There is a file of that name, or no folder can be there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:
        raise BitspikeError(f"{name or folder}: cannot be written ({error.strerror}); choose another folder") from None


def write_files(folder: Path, contents: dict[str, bytes]) -> dict[str, Path]:
    """Write files under other names and then rename them, so that all of them are there, or none; return where they are.

    Parameters
    ----------
    folder : pathlib.Path
        Made if need be; files of these names are replaced.
    contents : dict of str to bytes
        What the files hold, by name.

    Raises
    ------
    BitspikeError
        The folder cannot be made, or a folder has the name of a file.
    """
    paths = {name: folder / name for name in contents}
    for path in paths.values():
        if path.is_dir():
            raise BitspikeError(f"{path}: is a folder; remove it, or choose another folder to write to")
    with writing(folder), folder_for(folder), tempfile.TemporaryDirectory(prefix=".new.", dir=folder) as aside:
        for name, content in contents.items():
            (Path(aside) / name).write_bytes(content)
        for name, path in paths.items():
            (Path(aside) / name).replace(path)
    return paths
