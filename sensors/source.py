"""Where blocks of samples come from: what every source has, and recordings, which are finite and can be read anywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from pipeline.blocks import SampleFormat, Samples
from pipeline.errors import BitspikeError
from sensors.truth import Truth

ARCHIVES = {
    b"\xfd7zXZ": "xz",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"PK\x03\x04": "zip",
    b"7z\xbc\xaf": "7z",
    b"(\xb5/\xfd": "zstd",
}
PIECE_SAMPLES = 1 << 21  # what `Recording.blocks` reads at a time: 4 MiB


@runtime_checkable
class Source(Protocol):
    """What files and live links have in common.

    Attributes
    ----------
    format : SampleFormat
        What the samples mean.
    name : str
        What a person calls it.
    finite : bool
        True for a recording; a live source goes on until it is closed, and its blocks may have gaps.
    """

    format: SampleFormat
    name: str
    finite: bool

    def blocks(self, size: int) -> Iterator[Samples]:
        """Yield blocks of up to `size` frames."""
        ...


class Recording:
    """A finite stretch of samples in one or more files; made by `open_recording`.

    Parameters
    ----------
    path : pathlib.Path
        The file or folder that was opened.
    source_format : str
        What it is, for a person: "raw int16", "wav", "npy", "wave_clus", "open-ephys" and so on.
    signal : SampleFormat
        What the samples mean.
    frames : int
        Length.
    read : callable
        ``read(start, stop)`` returns int16 [stop - start, channels], C-contiguous, and nothing else refers to it.
    files : list of pathlib.Path
        The files that hold the recording, for `checksum`.
    truth : Truth, optional
        True spikes.

    Attributes
    ----------
    path, source_format, frames, files, truth
        As given.
    format : SampleFormat
        What the samples mean.
    name : str
        Name of the file or folder, without its extension.
    """

    finite = True

    def __init__(
        self,
        path: Path,
        source_format: str,
        signal: SampleFormat,
        frames: int,
        read: Callable[[int, int], np.ndarray],
        files: list[Path],
        truth: Truth | None = None,
    ) -> None:
        self.path, self.source_format, self.format, self.frames = path, source_format, signal, frames
        self.files, self.truth, self._read = files, truth, read
        self.name = path.stem if path.is_file() else path.name
        if frames == 0:
            raise BitspikeError(f"{path}: holds no samples")

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.frames / self.format.rate_hz

    def __repr__(self) -> str:
        shape = f"{self.format.channels} channels, {self.format.rate_hz:g} Hz, {self.seconds:.3f} s"
        return f"Recording({self.name}: {self.source_format}, {shape})"

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return the frames ``[start, stop)``: int16 [stop - start, channels], C-contiguous and the caller's own.

        Raises
        ------
        BitspikeError
            The range is not within the recording, or the file cannot be read.
        """
        stop = self._range(start, stop)
        return self._read(start, stop)

    def blocks(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[Samples]:
        """Yield the frames ``[start, stop)`` in blocks of `size` (the last may be shorter).

        The file is read in pieces of about 4 MiB, and blocks are views into them: small blocks cost no more than large ones,
        and memory does not depend on the recording's length.

        Raises
        ------
        BitspikeError
            `size` is below 1, the range is not within the recording, or the file cannot be read.
        """
        stop = self._range(start, stop)
        if size < 1:
            raise BitspikeError(f"block size: {size} frames; give at least 1")
        step = max(1, PIECE_SAMPLES // self.format.channels // size) * size
        return self._pieces(size, step, start, stop)

    def _pieces(self, size: int, step: int, start: int, stop: int) -> Iterator[Samples]:
        for first in range(start, stop, step):
            piece = self._read(first, min(first + step, stop))
            for i in range(0, len(piece), size):
                yield Samples(first + i, piece[i : i + size])

    def verify(self) -> None:
        """Read everything once, so that a source whose samples are converted refuses bad ones before anybody builds on them."""
        step = max(1, PIECE_SAMPLES // self.format.channels)
        for first in range(0, self.frames, step):
            self._read(first, min(first + step, self.frames))

    def checksum(self) -> str:
        """Return the SHA-256 of the recording's bytes, in hexadecimal.

        Of one file it is the file's digest; of several it is the digest of the lines ``digest  name`` that sha256sum prints
        for them in order of their names, relative to `path`.
        """
        if len(self.files) == 1:
            return digest(self.files[0])
        names = {file.relative_to(self.path).as_posix(): file for file in self.files}
        lines = "".join(f"{digest(names[name])}  {name}\n" for name in sorted(names))
        return hashlib.sha256(lines.encode()).hexdigest()

    def _range(self, start: int, stop: int | None) -> int:
        stop = self.frames if stop is None else stop
        if not 0 <= start <= stop <= self.frames:
            raise BitspikeError(f"{self.path}: frames {start} to {stop} are not within its {self.frames}")
        return stop


def refuse_archive(path: Path) -> None:
    """Refuse a file that is an archive or compressed, by its first bytes: a person has to unpack it first."""
    with path.open("rb") as file:
        start = file.read(8)
    for magic, name in ARCHIVES.items():
        if start.startswith(magic):
            raise BitspikeError(f"{path}: is packed ({name}); unpack it, and give the recording that is in it")


def require_stored(path: Path) -> None:
    """Refuse a pipe or device, of which only the beginning is known: a recording is gone through more than once."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise BitspikeError(f"{path}: is a pipe or a device; save the recording to a file first, and give that")


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
