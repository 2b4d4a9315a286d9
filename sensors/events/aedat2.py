"""AEDAT 2.0 of DAVIS cameras, as jAER writes it: reader and writer.

Text lines that begin with "#", the first ``#!AER-DAT2.0``; a line names the ``AEChip``. Then big-endian records of an address and a
time in microseconds, 32 bits each; the time wraps every 71.6 minutes (see `sensors.events.dat` for how times are taken).

=======  ==========================================================================================================================
bits     address of a DAVIS
=======  ==========================================================================================================================
31       1 for samples of the frame converter (and of the motion sensor): no event
30..22   row, counted from below
21..12   column
11       polarity
10       1 for external and other special events
=======  ==========================================================================================================================

Rows are turned so that row 0 is on top, as in all other formats here. Our own files also have lines ``# width N`` and ``# height
N``, and ``# t0 N`` where times begin beyond 32 bits.

Source: docs.inivation.com, Software, AEDAT 2.0.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.blocks import EventFormat, Events
from pipeline.errors import BitspikeError
from sensors.events.dat import NO_EVENT, STATE, decode_records, record
from sensors.events.prophesee import MOST_DIGITS
from sensors.events.source import EventRecording
from sensors.events.stated import EventFacts
from sensors.events.words import WordReader

MAGIC = b"#!AER-DAT2.0"
WORD = np.dtype([("address", ">u4"), ("t", ">u4")])
CHIPS = {"DAVIS240": (240, 180), "DAVIS346": (346, 260), "DAVIS208": (208, 192), "DAVIS128": (128, 128)}
LARGEST = (1024, 512)


def _header(path: Path) -> tuple[int, dict[str, str]]:
    length, words = 0, {}
    with path.open("rb") as file:
        for line in file:
            if not line.startswith(b"#"):
                break
            length += len(line)
            key, _, value = line[1:].decode("latin-1").strip().partition(" ")
            words[key.rstrip(":")] = value.strip()
    return length, words


def read_aedat2(path: Path, facts: EventFacts) -> EventRecording:
    """Open an AEDAT 2.0 file of a DAVIS.

    Raises
    ------
    BitspikeError
        It is no AEDAT 2.0, of another camera, or holds nothing but a header.
    """
    length, words = _header(path)
    if MAGIC.decode("ascii")[1:] not in words:
        raise BitspikeError(f"{path}: not an AEDAT 2.0 file: it does not begin with {MAGIC.decode('ascii')}")
    chip = words.get("AEChip", "").rsplit(".", 1)[-1]
    size = next((size for name, size in CHIPS.items() if chip.upper().startswith(name)), None)
    if size is None:
        raise BitspikeError(f"{path}: AEChip: {chip or 'missing'} is not read; {', '.join(CHIPS)} are")
    if words.get("width", "").isdigit() and words.get("height", "").isdigit():
        size = int(words["width"]), int(words["height"])
    sensor, source = facts.sensor(path, EventFormat(*size), "the header")
    if sensor is None or path.stat().st_size - length < WORD.itemsize:
        raise BitspikeError(f"{path}: holds no events: nothing follows its header of {length} bytes")
    rows = sensor.height

    def records(raw: np.ndarray) -> np.ndarray:
        address = raw["address"].astype(np.uint32)
        plain = (address & np.uint32(0x80000400)) == 0
        x, below = (address >> np.uint32(12)) & np.uint32(0x3FF), (address >> np.uint32(22)) & np.uint32(0x1FF)
        y = np.where(below < rows, rows - 1 - below.astype(np.int64), 0x3FFF)
        return record(raw["t"], x, y, np.where(plain, (address >> np.uint32(11)) & np.uint32(1), NO_EVENT))

    origin = int(words["t0"]) if words.get("t0", "").isdigit() and len(words["t0"]) <= MOST_DIGITS else 0
    size = sensor.width, sensor.height
    reader = WordReader(path, length, WORD, decode_records, STATE, (*size, 32), 1, origin, records)
    return EventRecording(path, "aedat2", sensor, reader, source)


class Aedat2Writer:
    """Writes an AEDAT 2.0 file.

    Raises
    ------
    BitspikeError
        The sensor has more pixels than an address has room for: 1024 x 512.
    """

    def __init__(self, path: Path, sensor: EventFormat, first_us: int) -> None:
        if sensor.width > LARGEST[0] or sensor.height > LARGEST[1]:
            raise BitspikeError(f"{path}: AEDAT 2 addresses 1024 x 512 pixels, and the sensor has {sensor.width} x {sensor.height}")
        self._rows, self._origin = sensor.height, first_us >> 32 << 32
        chip = "DAVIS240C" if sensor.width <= 240 and sensor.height <= 180 else "DAVIS346B"
        lines = [
            MAGIC.decode("ascii"),
            "# This is a raw AE data file - do not edit",
            "# Data format is int32 address, int32 timestamp (8 bytes total), repeated for each event",
            "# Timestamps tick is 1 us",
            f"# AEChip: eu.seebetter.ini.chips.davis.{chip}",
            f"# width {sensor.width}",
            f"# height {sensor.height}",
            *([f"# t0 {self._origin}"] if self._origin else []),
        ]
        self._file = path.open("wb")
        self._file.write(("\r\n".join(lines) + "\r\n").encode("ascii"))

    def write(self, events: Events) -> None:
        """Write events."""
        records = np.empty(len(events), WORD)
        below = self._rows - 1 - events.y.astype(np.uint32)
        records["address"] = (below << 22) | (events.x.astype(np.uint32) << 12) | (events.p.astype(np.uint32) << 11)
        records["t"] = ((events.t_us - self._origin) & 0xFFFFFFFF).astype(np.uint32)
        self._file.write(records.tobytes())

    def close(self) -> None:
        """Finish the file."""
        self._file.close()
