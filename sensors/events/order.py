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
        t, x, y, p = np.asarray(t).astype(np.int64), np.asarray(x), np.asarray(y), (np.asarray(p) > 0).astype(np.uint8)
        if not len(t):
            return Columns(t, x.astype(np.uint16), y.astype(np.uint16), p)
        if not (0 <= x.min() <= x.max() < self.sensor.width and 0 <= y.min() <= y.max() < self.sensor.height and t.min() >= 0):
            inside = (x >= 0) & (x < self.sensor.width) & (y >= 0) & (y < self.sensor.height) & (t >= 0)
            self.counts = {**self.counts, "outside": self.counts["outside"] + len(t) - int(inside.sum())}
            return self.keep(t[inside], x[inside], y[inside], p[inside])
        if t[0] < self.last or (t[1:] < t[:-1]).any():
            held = np.maximum.accumulate(np.maximum(t, self.last))
            self.counts = {**self.counts, "held": self.counts["held"] + int(np.count_nonzero(held != t))}
            t = held
        self.last = int(t[-1])
        return Columns(t, x.astype(np.uint16), y.astype(np.uint16), p)


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
        if int(t[at]) < 0:
            raise BitspikeError(f"{path}: event {first + at}: t is {int(t[at])} us, before 0; count times from the first event")
        raise BitspikeError(f"{path}: event {first + at}: t goes back from {before} to {int(t[at])} us; sort the file by time")
