"""Interleaved samples in a flat file, ``.raw``, ``.bin``, ``.dat``: rate and channels are stated, or stand in a JSON beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import BitspikeError
from sensors.convert import Conversion, check_floats, conversion_of
from sensors.source import Recording
from sensors.stated import Stated, read_sidecar
from sensors.truth import Truth

DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")


@dataclass(frozen=True)
class FlatFile:
    """Frames of interleaved samples after a header.

    The file is read, not mapped, so that memory does not grow with what was read.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    dtype : numpy.dtype
        Of the samples, with its byte order.
    channels : int
        Samples in a frame.
    skip_bytes : int
        Length of the header.
    frames : int
        Number of frames.
    """

    path: Path
    dtype: np.dtype
    channels: int
    skip_bytes: int
    frames: int

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the frames ``[start, stop)`` as stored, in native byte order: [stop - start, channels].

        Raises
        ------
        BitspikeError
            The file cannot be read, or has become shorter.
        """
        stored = np.empty((stop - start, self.channels), self.dtype)
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(self.skip_bytes + start * self.channels * self.dtype.itemsize)
                view, got = memoryview(stored.reshape(-1).view(np.uint8).data), 0
                while got < len(view) and (count := file.readinto(view[got:])):
                    got += count
        except OSError as error:
            raise BitspikeError(f"{self.path}: cannot be read: {error.strerror or error}") from error
        if got < stored.nbytes:
            raise BitspikeError(f"{self.path}: ended while it was read, before frame {stop}: it was cut short meanwhile")
        return stored.astype(self.dtype.newbyteorder("="), copy=False)


@dataclass(frozen=True)
class Converted:
    """A `FlatFile` read as counts: ``Converted(...)(start, stop)`` is what `Recording` takes to read."""

    file: FlatFile
    conversion: Conversion

    def __call__(self, start: int, stop: int) -> np.ndarray:
        """Return int16 [stop - start, channels]."""
        return self.conversion(self.file.read(start, stop), start)


def whole_frames(path: Path, dtype: np.dtype, channels: int, skip_bytes: int) -> int:
    """Return how many frames follow the header.

    Raises
    ------
    BitspikeError
        The file is empty, shorter than its header, or not a whole number of frames.
    """
    size = path.stat().st_size
    if size <= skip_bytes:
        header = f" after a header of {skip_bytes}" if skip_bytes else ""
        raise BitspikeError(f"{path}: is empty: {size} bytes{header}")
    frame = channels * dtype.itemsize
    if (size - skip_bytes) % frame:
        raise BitspikeError(
            f"{path}: {size - skip_bytes} bytes are no whole number of frames of {channels} channels of {dtype.name} "
            f"({frame} bytes): the file is truncated, or channels or dtype is wrong"
        )
    return (size - skip_bytes) // frame


def read_raw(path: Path, stated: Stated, truth: Truth | None = None) -> Recording:
    """Open interleaved samples.

    Parameters
    ----------
    path : pathlib.Path
        The file. ``<name>.json`` or ``info.json`` beside it may state what follows.
    stated : Stated
        At least ``rate_hz`` and ``channels``; ``dtype`` is int16, little-endian, unless stated.
    truth : Truth, optional
        True spikes, handed on.

    Raises
    ------
    BitspikeError
        Something is not known, contradicts itself, or the file is no whole number of frames.
    """
    stated = read_sidecar(path, stated)
    try:
        dtype = np.dtype(stated.dtype or "int16")
    except TypeError:
        dtype = np.dtype(object)
    if dtype.name not in DTYPES:
        raise BitspikeError(f"{path}: dtype: {stated.dtype!r}; choose one of {', '.join(DTYPES)}")
    if dtype.byteorder == "=":
        dtype = dtype.newbyteorder("<")
    if stated.channels is None and stated.rate_hz is None:
        raise BitspikeError(
            f"{path}: begins with no header: samples of electrodes need --rate HZ and --channels N, or an info.json beside it; of "
            "an event camera the header is missing: copy the file anew, or bitspike convert it with --format, --width and --height"
        )
    channels, skip = stated.need(path, "channels", "--channels N"), stated.skip_bytes or 0
    file = FlatFile(path, dtype, channels, skip, whole_frames(path, dtype, channels, skip))
    return flat_recording(file, f"raw {dtype.name}", stated, truth)


def flat_recording(
    file: FlatFile, source_format: str, stated: Stated, truth: Truth | None = None, conversion: Conversion | None = None
) -> Recording:
    """Return the recording that a flat file is, converted to counts; what might not fit is read once and checked."""
    if conversion is None:
        conversion, stated = conversion_of(file.path, file.dtype, stated)
    signal = stated.with_facts(file.path, "the file", channels=file.channels).signal(file.path)
    recording = Recording(file.path, source_format, signal, file.frames, Converted(file, conversion), [file.path], truth)
    if file.dtype.kind == "f":
        return check_floats(recording, stated.unit)
    if not conversion.safe(file.dtype):
        recording.verify()
    return recording
