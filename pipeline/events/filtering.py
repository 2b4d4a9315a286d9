"""What the stages have in common that take events and give events: most of them some of those that they were given."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from pipeline.blocks import EventFormat, Events
from pipeline.capacity import Capacity
from pipeline.errors import BitspikeError
from pipeline.stage import INT64, UINT8, UINT16, Stage


class EventStage(Stage):
    """A stage from events to events.

    Its kernel takes, after tables and state, t_us, x, y, p and the same four to be written, then the number of events; it
    returns how many it gives, at most as many as it takes. What lies outside the sensor it passes over and counts in the
    state's `outside`.
    """

    takes = (Events,)
    gives = Events
    call = ("t", "x", "y", "p", "out_t", "out_x", "out_y", "out_p", "events")
    grows: ClassVar[bool] = True  # whether its state grows with the sensor

    @classmethod
    def needed(cls, parameters: Any, signal: Any) -> Capacity:
        """Return the capacity for the sensor, or none at all where nothing depends on it."""
        return super().needed(parameters, signal) if cls.grows else Capacity()

    def advance(self, events: Events) -> Events:
        """Process events; what is given has the times of the events that brought it about."""
        count = len(events)
        if count == 0:
            return events
        empty, packed = np.empty, np.ascontiguousarray
        t, x, y, p = empty(count, INT64), empty(count, UINT16), empty(count, UINT16), empty(count, UINT8)
        kept = self.step(packed(events.t_us), packed(events.x), packed(events.y), packed(events.p), t, x, y, p, count)
        if kept < 0:
            raise self.refused(kept)
        return Events(events.start, events.stop, t[:kept], x[:kept], y[:kept], p[:kept])


def require_sensor(signal: EventFormat, most: int) -> None:
    """Refuse a sensor with more rows than a surface with its margin can have."""
    if signal.height > most:
        raise BitspikeError(f"height: {signal.height} rows, and this takes {most} at most; crop the sensor before")
