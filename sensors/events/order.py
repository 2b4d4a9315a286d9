"""Events of files that hold them as numbers: held to the sensor, and to time that does not go back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.blocks import EventFormat
from pipeline.errors import BitspikeError
from sensors.events.source import Columns


class Keeper:
    """Drops events outside the sensor, holds times that go back at the latest before them, and counts both.

    Parameters
    ----------
    sensor : EventFormat
        Its size.
    last : int
        Time of the event before.
    counts : dict
        What was counted so far.
    """

    def __init__(self, sensor: EventFormat, last: int = -1, counts: dict[str, int] | None = None) -> None:
        self.sensor, self.last, self.counts = sensor, last, dict(counts or {"outside": 0, "held": 0})

    def keep(self, t: Any, x: Any, y: Any, p: Any) -> Columns:
        """Return the events that are kept; `t`, `x`, `y`, `p` are of any integer type, and polarity is 1 above 0."""
        t, x, y = (np.asarray(c).astype(np.int64) for c in (t, x, y))
        inside = (x >= 0) & (x < self.sensor.width) & (y >= 0) & (y < self.sensor.height) & (t >= 0)
        p = np.asarray(p) > 0
        if not inside.all():
            t, x, y, p = t[inside], x[inside], y[inside], p[inside]
        held = np.maximum.accumulate(np.maximum(t, self.last))
        outside, back = int(len(inside) - inside.sum()), int(np.count_nonzero(held != t))
        self.counts = {"outside": self.counts["outside"] + outside, "held": self.counts["held"] + back}
        if len(held):
            self.last = int(held[-1])
        return Columns(held, x.astype(np.uint16), y.astype(np.uint16), p.astype(np.uint8))


def require_order(path: Path, first: int, last: int, t: np.ndarray) -> None:
    """Refuse a table whose times go back: nobody can say which events belong where.

    Parameters
    ----------
    path : pathlib.Path
        The file, for the message.
    first : int
        Number of the first of these events.
    last : int
        Time of the event before them.
    t : numpy.ndarray
        Their times, microseconds.
    """
    steps = np.diff(t, prepend=last)
    if len(t) and int(steps.min()) < 0:
        at = int(np.argmin(steps >= 0))
        before = int(t[at - 1]) if at else last
        raise BitspikeError(f"{path}: event {first + at}: t goes back from {before} to {int(t[at])} us; sort the file by time")
