"""The folder that a replay of events leaves behind, read back.

::

    manifest.json      what was run on what, counts and timings
    particles/         one column a field of `Particles`: track.npy, first_us.npy, ... tensor.npy
    taps/<label>/      every stage's events that the chain says to save: t_us.npy, x.npy, y.npy, p.npy
    tables/            the integer tables of every stage
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from bitspike.runs import Run
from pipeline.blocks import EVENT_COLUMNS, PARTICLE_COLUMNS, EventFormat, Events, Particles
from pipeline.errors import BitspikeError

PARTICLES = "particles"


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
        columns = (self.array(f"taps/{label}/{name}") for name in EVENT_COLUMNS)
        return Events(self.manifest.recording["start"], self.manifest.recording["stop"], *columns)


def is_event_run(path: str | Path) -> bool:
    """Return whether a folder is a finished replay of events."""
    try:
        return "width" in Run(path).manifest.recording
    except BitspikeError:
        return False
