"""WAV files: RIFF and RF64, integers of 8, 16 and 32 bits and floats.

A file of 10-bit codes that were stretched over 16 bits, sample = trunc(q * 65535 / 1023 - 32768), q in 0..1023, is recognised by
its samples: all of them lie on that lattice, which one in 64 values does. They are given back as q - 512, 10 bits.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pipeline.errors import BitspikeError
from sensors.convert import Conversion
from sensors.raw import FlatFile, flat_recording
from sensors.source import PIECE_SAMPLES, Recording
from sensors.stated import Stated

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
DTYPES = {(PCM, 8): "u1", (PCM, 16): "<i2", (PCM, 32): "<i4", (FLOAT, 32): "<f4", (FLOAT, 64): "<f8"}
CODES = 1024
LEAST_CODES = 16  # that many distinct values on the lattice are no accident: one in 64**16


def stretched() -> np.ndarray:
    """Return the lattice: int16 [1024], entry q is trunc(q * 65535 / 1023 - 32768), computed in integers."""
    numerator = np.arange(CODES, dtype=np.int64) * 65535 - 32768 * 1023
    return (np.sign(numerator) * (np.abs(numerator) // 1023)).astype(np.int16)


def _unstretching() -> np.ndarray:
    table = np.full(1 << 16, CODES, np.int16)
    table[stretched().view(np.uint16)] = np.arange(CODES)
    return table


@dataclass(frozen=True)
class _Unstretched:
    """Stretched codes read as q - 512."""

    file: FlatFile
    table: np.ndarray

    def __call__(self, start: int, stop: int) -> np.ndarray:
        return self.table[self.file.read(start, stop).view(np.uint16)] - np.int16(CODES // 2)


def read_wav(path: Path, stated: Stated) -> Recording:
    """Open a WAV file; its header states the rate and the channels.

    Floats are fractions of full scale, 32767 counts, unless ``unit`` states a voltage.

    Raises
    ------
    BitspikeError
        The file is no WAV file, is compressed, truncated or empty, or was stated to be otherwise.
    """
    with path.open("rb") as file:
        tag, channels, rate, bits, skip, length = _chunks(file, path)
    if (tag, bits) not in DTYPES:
        raise BitspikeError(f"{path}: WAV format {tag:#x} of {bits} bits is not read; convert it to 16-bit PCM")
    dtype = np.dtype(DTYPES[tag, bits])
    stated = stated.with_facts(path, "its header", rate_hz=rate, channels=channels)
    if length % (channels * dtype.itemsize):
        raise BitspikeError(
            f"{path}: {length} bytes of samples are no whole number of frames of {channels} channels: the file is damaged"
        )
    flat = FlatFile(path, dtype, channels, skip, length // (channels * dtype.itemsize))
    if dtype == np.int16 and stated.bits in (None, 10) and stated.offset is None and _on_lattice(flat):
        signal = stated.with_facts(path, "its lattice", bits=10).signal(path)
        return Recording(path, "wav, 10-bit codes", signal, flat.frames, _Unstretched(flat, _unstretching()), [path])
    if dtype.kind == "f" and stated.unit is None:
        cure = "floats are taken as fractions of full scale; give unit= and uv_per_count= if they are volts"
        return flat_recording(flat, "wav", stated, conversion=Conversion(path, 0, 32767.0, 16, cure))
    return flat_recording(flat, "wav", stated)


def _on_lattice(flat: FlatFile) -> bool:
    table, seen = _unstretching(), np.zeros(CODES + 1, bool)
    step = max(1, PIECE_SAMPLES // flat.channels)
    for first in range(0, flat.frames, step):
        seen[table[flat.read(first, min(first + step, flat.frames)).view(np.uint16)].ravel()] = True
        if seen[CODES]:
            return False
    return int(seen.sum()) >= LEAST_CODES


def _chunks(file: BinaryIO, path: Path) -> tuple[int, int, int, int, int, int]:
    """Walk the chunks; return format tag, channels, rate, bits, and where the samples begin and how many bytes they are."""
    size = path.stat().st_size
    head = file.read(12)
    if len(head) < 12 or head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
        raise BitspikeError(f"{path}: not a WAV file" + (": it is empty" if size == 0 else ""))
    form: tuple[int, int, int, int] | None = None
    long_data = 0
    while len(header := file.read(8)) == 8:
        name, length = struct.unpack("<4sI", header)
        if name == b"ds64":
            long_data = struct.unpack("<8xQ", file.read(16))[0]
            file.seek(length - 16, 1)
        elif name == b"fmt ":
            body = file.read(length + length % 2)
            if len(body) < 16:
                break
            tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", body[:16])
            if tag == EXTENSIBLE and len(body) >= 26:
                tag = struct.unpack("<H", body[24:26])[0]
            form = tag, channels, rate, bits
        elif name == b"data" and form is not None:
            length = long_data if length == 0xFFFFFFFF and long_data else length
            if file.tell() + length > size:
                raise BitspikeError(
                    f"{path}: is truncated: its header promises {length} bytes of samples and {size - file.tell()} are there"
                )
            if length == 0 or form[1] == 0:
                raise BitspikeError(f"{path}: holds no samples")
            return *form, file.tell(), length
        else:
            file.seek(length + length % 2, 1)
    raise BitspikeError(f"{path}: is truncated: no samples after the WAV header")
