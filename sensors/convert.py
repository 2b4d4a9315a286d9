"""Stored numbers become int16 counts by one stated rule, and what does not fit is refused with its place, never clipped.

Integers are kept to the bit: count = stored - offset.  Unsigned integers are taken as offset binary: the offset is half of their
range, unless one is stated.  Floats are physical: count = rint(stored * scale), where the scale follows from what they are in
(millivolts, unless stated) and from the microvolts that a count is to have (1, unless stated).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import BitspikeError
from sensors.source import PIECE_SAMPLES, Recording
from sensors.stated import UNITS_UV, Stated

LEAST_SPAN = 16  # counts: what spans fewer was scaled by a wrong unit


@dataclass(frozen=True)
class Conversion:
    """From stored numbers to counts.

    Attributes
    ----------
    path : pathlib.Path
        For messages.
    offset : int, float or numpy.ndarray
        Subtracted first; not an integer only where there is a scale. An array has one entry per channel.
    scale : float or numpy.ndarray
        Counts of a stored one; an array has one entry per channel. 1 keeps integers exact.
    bits : int
        The result lies in ``[-2**(bits-1), 2**(bits-1))``.
    cure : str
        Ends the message where a sample does not fit.
    """

    path: Path
    offset: Any = 0
    scale: float | np.ndarray = 1.0
    bits: int = 16
    cure: str = "state the offset or the bits of the samples"

    def exact(self, dtype: np.dtype) -> bool:
        """Tell whether counts are stored integers less the offset."""
        return dtype.kind in "iu" and isinstance(self.scale, float) and self.scale == 1.0 and isinstance(self.offset, int)

    def safe(self, dtype: np.dtype) -> bool:
        """Tell whether everything that `dtype` can hold fits."""
        if not (self.exact(dtype) and isinstance(self.offset, int)):
            return False
        high = 1 << (self.bits - 1)
        smallest, largest = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        return smallest - self.offset >= -high and largest - self.offset < high

    def __call__(self, stored: np.ndarray, start: int) -> np.ndarray:
        """Return `stored` [frames, channels], whose first frame is `start`, as int16 [frames, channels], C-contiguous.

        Raises
        ------
        BitspikeError
            A sample is not a number or does not fit, with its frame and channel.
        """
        if stored.size == 0:
            return np.empty(stored.shape, np.int16)
        high = 1 << (self.bits - 1)
        if self.exact(stored.dtype):
            if isinstance(self.offset, int) and self.offset == 0 and self.safe(stored.dtype):
                return np.ascontiguousarray(stored, np.int16)
            counts: Any = stored.astype(np.int64 if stored.dtype.itemsize > 2 else np.int32) - self.offset
        else:
            counts = np.rint((stored.astype(np.float64) - self.offset) * self.scale)
        low, most = counts.min(), counts.max()
        if not (low >= -high and most < high):  # a NaN makes both comparisons false
            bad = ~((counts >= -high) & (counts < high))
            frame, channel = np.unravel_index(int(np.argmax(bad)), counts.shape)
            value = stored[frame, channel]
            place = f"{self.path}: frame {start + frame}, channel {channel}"
            if stored.dtype.kind == "f" and not np.isfinite(value):
                raise BitspikeError(
                    f"{place}: the sample is {value}; a recording has numbers only: replace or cut out what is missing"
                )
            raise BitspikeError(
                f"{place}: {value} becomes {counts[frame, channel]:.0f} counts and does not fit {self.bits} bits: {self.cure}"
            )
        return np.ascontiguousarray(counts, np.int16)


def integers(path: Path, dtype: np.dtype, stated: Stated) -> tuple[Conversion, Stated]:
    """Return the conversion of stored integers, and the facts with what it makes of the bits."""
    if dtype.kind == "u" and dtype.itemsize > 4:
        raise BitspikeError(
            f"{path}: dtype: samples of {dtype} are not read; save them as integers of 8 to 32 bits, int64 or floats"
        )
    bits = stated.bits or min(16, 8 * dtype.itemsize)
    offset = stated.offset
    if offset is None:
        half = 1 << ((stated.bits or 8 * dtype.itemsize) - 1)
        offset = half if dtype.kind == "u" else 0
    return Conversion(path, offset, 1.0, bits), stated.with_facts(path, "its dtype", bits=bits)


def floats(path: Path, stated: Stated) -> tuple[Conversion, Stated]:
    """Return the conversion of stored floats, and the facts with the microvolts of its counts."""
    unit, uv_per_count = stated.unit or "mV", stated.uv_per_count or 1.0
    cure = (
        f"floats are taken as {unit} in counts of {uv_per_count:g} uV; give unit= ({', '.join(UNITS_UV)}) or a larger uv_per_count="
    )
    conversion = Conversion(path, 0, UNITS_UV[unit] / uv_per_count, stated.bits or 16, cure)
    return conversion, stated.with_facts(path, "the rule for floats", uv_per_count=uv_per_count)


def conversion_of(path: Path, dtype: np.dtype, stated: Stated) -> tuple[Conversion, Stated]:
    """Return `integers` or `floats`, as `dtype` asks."""
    if dtype.kind in "iu":
        return integers(path, dtype, stated)
    if dtype.kind == "f":
        return floats(path, stated)
    raise BitspikeError(f"{path}: dtype: samples of {dtype} are no numbers; use integers or floats")


def check_floats(recording: Recording, unit: str | None) -> Recording:
    """Read a recording of floats once: refuse what does not fit, and what spans so little that its unit must be another.

    Raises
    ------
    BitspikeError
        As `Conversion`, or fewer than `LEAST_SPAN` counts are spanned.
    """
    low, high = 32767, -32768
    step = max(1, PIECE_SAMPLES // recording.format.channels)
    for first in range(0, recording.frames, step):
        piece = recording.read(first, min(first + step, recording.frames))
        low, high = min(low, int(piece.min())), max(high, int(piece.max()))
    if high - low < LEAST_SPAN:
        raise BitspikeError(
            f"{recording.path}: all samples span {high - low} counts only, taken as {unit or 'mV'}: "
            f"give unit= ({', '.join(UNITS_UV)}) or a smaller uv_per_count="
        )
    return recording
