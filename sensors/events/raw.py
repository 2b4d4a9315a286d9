"""Prophesee RAW files: the header says which of EVT2, EVT2.1 and EVT3 follows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.blocks import EventFormat
from pipeline.errors import BitspikeError
from sensors.events import evt2, evt3, evt21
from sensors.events.prophesee import read_header
from sensors.events.source import EventRecording
from sensors.events.stated import EventFacts
from sensors.events.words import WordReader


class _Coding(NamedTuple):
    word: np.dtype
    kernel: Callable[..., int]
    layout: np.dtype
    most: int
    largest: int  # pixels to a side


CODINGS = {
    "2": _Coding(np.dtype(evt2.WORD), evt2.decode_evt2, evt2.STATE, evt2.MOST, 2048),
    "2.1": _Coding(np.dtype(evt21.WORD), evt21.decode_evt21, evt21.STATE, evt21.MOST, 2048),
    "3": _Coding(np.dtype(evt3.WORD), evt3.decode_evt3, evt3.STATE, evt3.MOST, 2048),
}
NAMES = {"2": "evt2", "2.1": "evt21", "3": "evt3"}


def read_raw_events(path: Path, facts: EventFacts) -> EventRecording:
    """Open a RAW file.

    Raises
    ------
    BitspikeError
        It is of another coding, holds nothing but a header, or the size of the sensor is neither in the header nor stated.
    """
    header = read_header(path)
    named = {name: version for version, name in NAMES.items()}.get(facts.format or "")
    version = header.version or named or ""
    if named and named != version:
        raise BitspikeError(
            f"{path}: format is {NAMES.get(version, version)} by the header, and {facts.format} was given; leave it out"
        )
    if version not in CODINGS:
        said = f"EVT {version}" if version else "no EVT version in its header"
        raise BitspikeError(f"{path}: {said}; EVT2, EVT2.1 and EVT3 are read (format=evt3, if the header lacks it)")
    coding = CODINGS[version]
    sensor, source = facts.sensor(path, *header.sensor())
    if sensor is None:
        raise BitspikeError(f"{path}: the header does not say the size of the sensor; give --width and --height (width=, height=)")
    if max(sensor.width, sensor.height) > coding.largest:
        raise BitspikeError(f"{path}: width, height: {sensor.width} x {sensor.height} is more than {NAMES[version]} can address")
    if path.stat().st_size - header.length < coding.word.itemsize:
        raise BitspikeError(f"{path}: holds no events: nothing follows its header of {header.length} bytes")
    prepare = swapped if version == "2.1" and header.legacy else None
    return EventRecording(
        path, NAMES[version], sensor, raw_reader(path, version, sensor, header.length, header.origin, prepare), source
    )


def raw_reader(
    path: Path, version: str, sensor: EventFormat, skip: int = 0, origin: int = 0, prepare: Callable[..., Any] | None = None
) -> WordReader:
    """Return what decodes the words of a file after a header of `skip` bytes; `version` is "2", "2.1" or "3"."""
    coding = CODINGS[version]
    size = sensor.width, sensor.height
    return WordReader(path, skip, coding.word, coding.kernel, coding.layout, size, coding.most, origin, prepare)


def swapped(words: np.ndarray) -> np.ndarray:
    """Return 64-bit words with their halves exchanged, as the IMX636 sends EVT2.1."""
    return (words >> np.uint64(32)) | (words << np.uint64(32))
