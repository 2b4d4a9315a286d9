"""Five-byte events, ``.bin`` of N-MNIST and N-Caltech101 and ``.bs2`` of slayerPytorch: reader and writer.

No header. Each event is five bytes: the column, the row, then 24 bits with the highest first: the polarity and the time in
microseconds, 23 bits, which wraps every 8.4 s (see `sensors.events.dat` for how times are taken).

Source: G. Orchard et al., Converting static image datasets to spiking neuromorphic datasets using saccades, Front. Neurosci. 2015,
doi 10.3389/fnins.2015.00437, and the functions that came with the data set.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.blocks import EventFormat, Events
from pipeline.errors import BitspikeError
from sensors.events.dat import STATE, decode_records, record
from sensors.events.sizing import recording_of_size
from sensors.events.source import EventRecording
from sensors.events.stated import EventFacts
from sensors.events.words import WordReader

WORD = np.dtype(("u1", (5,)))
TIME_BITS = 23
LOOK = 1000  # events that a file is known by
SURE = 50  # events by which a file that ends amid one is known


def records(raw: np.ndarray) -> np.ndarray:
    """Return five-byte events, uint8 [n, 5], as records of DAT."""
    wide = raw.astype(np.uint32)
    t = ((wide[:, 2] & 0x7F) << 16) | (wide[:, 3] << 8) | wide[:, 4]
    return record(t, wide[:, 0], wide[:, 1], wide[:, 2] >> 7)


def is_nmnist(path: Path) -> bool:
    """Tell whether a file seems to hold five-byte events, perhaps a few bytes of one more: times that rise, but for a wrap."""
    if path.suffix.lower() == ".bs2":  # nothing else is named so
        return True
    raw = np.fromfile(path, WORD, LOOK)
    times = records(raw) & np.uint64(0xFFFFFFFF)
    whole = path.stat().st_size % WORD.itemsize == 0 or (len(raw) >= SURE and len(set(times.tolist())) > 2)
    return whole and len(raw) > 0 and int((times[1:] < times[:-1]).sum()) <= 1


def read_nmnist(path: Path, facts: EventFacts) -> EventRecording:
    """Open a file of five-byte events.

    Raises
    ------
    BitspikeError
        It is shorter than one event.
    """
    if path.stat().st_size < 5:
        raise BitspikeError(f"{path}: holds no events: {path.stat().st_size} bytes, and an event has 5")

    def reader(sensor: EventFormat) -> WordReader:
        return WordReader(path, 0, WORD, decode_records, STATE, (sensor.width, sensor.height, TIME_BITS), 1, 0, records)

    return recording_of_size(path, "nmnist", reader, facts)


class NmnistWriter:
    """Writes five-byte events.

    Raises
    ------
    BitspikeError
        The sensor has more than 256 x 256 pixels, or the recording does not begin within the first 8.4 s of its clock.
    """

    def __init__(self, path: Path, sensor: EventFormat, first_us: int) -> None:
        if max(sensor.width, sensor.height) > 256:
            raise BitspikeError(
                f"{path}: N-MNIST's format addresses 256 x 256 pixels, and the sensor has {sensor.width} x {sensor.height}"
            )
        if first_us >> TIME_BITS:
            raise BitspikeError(
                f"{path}: N-MNIST's format begins within 8.4 s, and the first event is at {first_us} us; give --from-zero"
            )
        self._file = path.open("wb")

    def write(self, events: Events) -> None:
        """Write events."""
        t = events.t_us & ((1 << TIME_BITS) - 1)
        columns = (events.x, events.y, (events.p.astype(np.int64) << 7) | (t >> 16), (t >> 8) & 0xFF, t & 0xFF)
        self._file.write(np.stack([c.astype(np.uint8) for c in columns], axis=1).tobytes())

    def close(self) -> None:
        """Finish the file."""
        self._file.close()
