"""The folder that a replay of events leaves behind, read back.

::

    manifest.json      what was run on what, counts and timings
    particles/         one column a field of `Particles`: track.npy, first_us.npy, ... tensor.npy
    taps/<label>/      every stage's events that the chain says to save: t_us.npy, x.npy, y.npy, p.npy
    window/            the busiest stretch, to look at: events before the filters (seen/) and after (kept/)
    passages/          events of some particles, to look at: particle.npy and events.npy (whose, how many), t_us.npy, x.npy, ...
    tables/            the integer tables of every stage
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bitspike.event_keeper import PARTICLES, PASSAGES, WINDOW
from bitspike.runs import Run
from pipeline.blocks import EVENT_COLUMNS, PARTICLE_COLUMNS, EventFormat, Events, Particles
from pipeline.errors import BitspikeError


class EventRun(Run):
    """A finished replay of an event recording.

    Parameters
    ----------
    path : str or pathlib.Path
        Its folder.
    """

    @property
    def seconds(self) -> float:
        """Length of the stretch that was replayed."""
        recording = self.manifest.recording
        return float(recording["stop"] - recording["start"]) / 1e6

    @property
    def sensor(self) -> EventFormat:
        """The camera's sensor."""
        recording = self.manifest.recording
        return EventFormat(recording["width"], recording["height"], recording["pitch_um"])

    @cached_property
    def particles(self) -> Particles:
        """All particles, in the order in which their passages ended; the columns are read from disk as needed.

        Raises
        ------
        BitspikeError
            The chain finds none.
        """
        if PARTICLES not in self.manifest.outputs:
            raise BitspikeError(
                f"{self.path}: chain {self.manifest.chain['name']} finds no particles; replay with --chain cytometry"
            )
        columns = (self.array(f"{PARTICLES}/{name}") for name in PARTICLE_COLUMNS)
        return Particles(self.manifest.recording["start"], self.manifest.recording["stop"], *columns)

    def events(self, label: str) -> Events:
        """Return the events that the chain saves of a stage.

        Raises
        ------
        BitspikeError
            It saves none of that label.
        """
        if label not in self.taps:
            raise BitspikeError(f"{self.path}: saved no events of {label!r}; it has: {', '.join(self.taps) or 'none'}")
        return self._events(f"taps/{label}", self.manifest.recording)

    @property
    def pictured(self) -> EventFormat:
        """The sensor as the tracker sees it: cropped and turned."""
        about = self.manifest.outputs[WINDOW]
        return EventFormat(about["width"], about["height"])

    def window(self, name: str = "kept") -> Events:
        """Return the events of the busiest stretch, at most `event_examples.MOST_WINDOW`: before the filters ("seen"), or after."""
        return self._events(f"{WINDOW}/{name}", self.manifest.outputs[WINDOW])

    @cached_property
    def passages(self) -> dict[int, Events]:
        """Events of some passages, in their last millisecond, by the number of the particle in `particles`."""
        if PARTICLES not in self.manifest.outputs:
            return {}
        whole = self._events(PASSAGES, self.manifest.recording)
        ends = np.cumsum(self.array(f"{PASSAGES}/events")).tolist()
        found = {}
        for number, first, last in zip(self.array(f"{PASSAGES}/particle").tolist(), [0, *ends], ends, strict=False):
            rows = [getattr(whole, name)[first:last] for name in EVENT_COLUMNS]
            found[number] = Events(*((int(rows[0][0]), int(rows[0][-1]) + 1) if last > first else (0, 0)), *rows)
        return found

    def _events(self, folder: str, covers: dict[str, Any]) -> Events:
        return Events(covers["start"], covers["stop"], *(self.array(f"{folder}/{name}") for name in EVENT_COLUMNS))


def is_event_run(path: str | Path) -> bool:
    """Return whether a folder is a finished replay of events."""
    try:
        return "width" in Run(path).manifest.recording
    except BitspikeError:
        return False
