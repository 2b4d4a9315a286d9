"""The size of the sensor of files that do not say it: stated, or the smallest known one that all events fit on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipeline.blocks import EventFormat
from sensors.events.source import EventRecording, Reader
from sensors.events.stated import EventFacts, smallest_sensor

LARGEST = EventFormat(1 << 14, 1 << 14)


def recording_of_size(
    path: Path,
    source_format: str,
    reader: Callable[[EventFormat], Reader],
    facts: EventFacts,
    found: EventFormat | None = None,
    source: str = "",
) -> EventRecording:
    """Return the recording that `reader` reads; where nobody says the size of the sensor, all events are read once to find it.

    Parameters
    ----------
    path, source_format
        As `EventRecording` takes them.
    reader : callable
        Makes the reader for a size of the sensor.
    facts : EventFacts
        What is stated.
    found, source : EventFormat, str, optional
        The size by the file, and where it has that from.
    """
    sensor, source = facts.sensor(path, found, source)
    if sensor is None:
        width = height = 0
        for piece in EventRecording(path, source_format, LARGEST, reader(LARGEST)).pieces():
            width, height = max(width, int(piece.x.max()) + 1), max(height, int(piece.y.max()) + 1)
        sensor, source = smallest_sensor(width, height).with_(pitch_um=facts.pitch_um or 0.0), "the events"
    return EventRecording(path, source_format, sensor, reader(sensor), source)
