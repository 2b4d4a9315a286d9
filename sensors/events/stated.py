"""What a person states about events whose file does not say it, and how the size of a sensor is found where nobody does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.blocks import EventFormat
from pipeline.errors import BitspikeError

SENSORS = ((34, 34), (128, 128), (240, 180), (304, 240), (320, 240), (320, 320), (346, 260), (640, 480), (1280, 720))


@dataclass(frozen=True)
class EventFacts:
    """Facts about an event recording; None where nothing is stated.

    Attributes
    ----------
    width, height : int
        Pixels of the sensor.
    pitch_um : float
        Distance of neighbouring pixels, micrometres.
    format : str
        What the file is, by a name of `sensors.events.opening.FORMATS`, where neither content nor name of the file tell.
    """

    width: int | None = None
    height: int | None = None
    pitch_um: float | None = None
    format: str | None = None

    def sensor(self, path: Path, found: EventFormat | None, source: str) -> tuple[EventFormat | None, str]:
        """Return the size of the sensor by the file (`found`, from `source`) and what is stated, and what it is from.

        Raises
        ------
        BitspikeError
            The two contradict each other, or only one of width and height is stated.
        """
        if (self.width is None) != (self.height is None):
            raise BitspikeError(f"{path}: width, height: give both --width and --height, or neither")
        if self.width is None or self.height is None:
            return (found and found.with_(pitch_um=self.pitch_um or 0.0)), source
        stated = EventFormat(self.width, self.height, self.pitch_um or 0.0)
        if found is not None and source == "the header" and (found.width, found.height) != (self.width, self.height):
            raise BitspikeError(
                f"{path}: width, height: {found.width} x {found.height} by the header, and {self.width} x {self.height} was given; "
                "leave them out"
            )
        return stated, "what was stated"


def smallest_sensor(width: int, height: int) -> EventFormat:
    """Return the smallest known sensor that `width` x `height` pixels fit on, or just that many where there is none."""
    for size in SENSORS:
        if width <= size[0] and height <= size[1]:
            return EventFormat(*size)
    return EventFormat(max(width, 1), max(height, 1))
