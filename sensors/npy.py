"""NumPy arrays: ``.npy`` of [frames, channels], or of one channel's frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format

from pipeline.errors import BitspikeError
from sensors.convert import Conversion, check_floats, conversion_of
from sensors.raw import FlatFile, flat_recording
from sensors.source import Recording
from sensors.stated import Stated, read_sidecar

MOST_CHANNELS = 8192  # a second axis longer than this is time


@dataclass(frozen=True)
class _Transposed:
    """A mapped array [channels, frames], or one stored column by column, read as counts; each read maps the file anew."""

    path: Path
    channels_first: bool
    conversion: Conversion

    def __call__(self, start: int, stop: int) -> np.ndarray:
        mapped = np.load(self.path, mmap_mode="r", allow_pickle=False)
        part = mapped[:, start:stop].T if self.channels_first else mapped[start:stop]
        return self.conversion(np.array(part, part.dtype.newbyteorder("="), order="C"), start)


def read_npy(path: Path, stated: Stated) -> Recording:
    """Open an ``.npy`` file; the rate is stated, or stands in a JSON beside it.

    Integers are counts. Floats are millivolts (or ``unit``) and become counts of 1 uV (or ``uv_per_count``): see `sensors.convert`.
    The array is [frames, channels]; it is taken as [channels, frames] only where ``channels`` says so.

    Raises
    ------
    BitspikeError
        The file is no such array, is truncated, holds what does not fit, or something is not known.
    """
    stated = read_sidecar(path, stated)
    shape, fortran, dtype, skip = _header(path)
    if len(shape) not in (1, 2):
        raise BitspikeError(f"{path}: has {len(shape)} axes; a recording is [frames, channels] or [frames]")
    if 0 in shape:
        raise BitspikeError(f"{path}: holds no samples: its shape is {list(shape)}")
    frames, channels = (shape[0], 1) if len(shape) == 1 else shape
    channels_first = len(shape) == 2 and stated.channels is not None and stated.channels == frames != channels
    if channels_first:
        frames, channels = channels, frames
    elif channels > MOST_CHANNELS or (len(shape) == 2 and channels > frames and stated.channels != channels):
        raise BitspikeError(
            f"{path}: shape {list(shape)} looks like [channels, frames]; give --channels {shape[0]} (channels=) if it is, "
            f"or --channels {shape[1]} if it is [frames, channels]"
        )
    stated = stated.with_facts(path, "its shape", channels=channels)
    size, expected = path.stat().st_size, skip + frames * channels * dtype.itemsize
    if size < expected:
        raise BitspikeError(f"{path}: is truncated: {size} bytes of {expected}")
    if not (fortran and channels > 1) and not channels_first:
        return flat_recording(FlatFile(path, dtype, channels, skip, frames), "npy", stated)
    conversion, stated = conversion_of(path, dtype, stated)
    reader = _Transposed(path, channels_first, conversion)
    recording = Recording(path, "npy", stated.signal(path), frames, reader, [path])
    if dtype.kind == "f":
        return check_floats(recording, stated.unit)
    if not conversion.safe(dtype):
        recording.verify()
    return recording


def _header(path: Path) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    try:
        with path.open("rb") as file:
            version = npy_format.read_magic(file)
            read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
            shape, fortran, dtype = read(file)
            return shape, fortran, dtype, file.tell()
    except (ValueError, OSError) as error:
        raise BitspikeError(f"{path}: not a readable .npy file: {str(error).splitlines()[0]}") from error
