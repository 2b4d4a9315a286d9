"""What a person tells the particle tracker, in physical units."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.events.clusters import MOST_REACH
from pipeline.stage import Parameters

MARKS = {"off": 1, "on": 2, "both": 3}
MARKS = {"off": 1, "on": 2, "both": 3}
RANGES = {
    "seed_events": (2, 10_000),
    "seed_us": (1, 100_000),
    "merge_px": (0, 2048),
    "speed_px_us": (-20, 20),
    "bin_us": (1, 1000),
    "busy_events": (1, 10_000),
    "idle_bins": (1, 100),
    "least_events": (2, 100_000),
    "tracks": (1, 32),
    "hump_ratio": (2, 1000),
    "split_ratio": (2, 1000),
    "longer_percent": (0, 1000),
    "larger_percent": (0, 1000),
    "heavier_percent": (0, 1000),
    "cell_px": (1, 256),
    "step_us": (1, 10_000),
    "sort_us": (1, 1_000_000),
}


@dataclass(frozen=True)
class TrackerParameters(Parameters):
    """Parameters in physical units.

    Attributes
    ----------
    seed_px : int
        Side of a seed's cell, a power of two from 4 to 256.
    seed_events, seed_us : int
        Events in a cell, and the time within which they must come, that begin a track; 2 to 10,000, 1 to 100,000.
    reach_px : tuple of int
        Events belong to a track within this distance from its middle along x, along y; 1 to 1280.
    merge_px : int
        Tracks are one when their middles come this close along both axes, 0 to 2048; 0 for never.
    speed_px_us : float
        Expected speed along x, -20 to 20.
    bin_us : int
        Time step of the tracks, 1 to 1000.
    busy_events : int
        Events that mark a passage in a bin, below which it is idle, 1 to 10,000.
    idle_bins : int
        Idle bins that end a track, 1 to 100.
    least_events : int
        Events of a particle, 2 to 100,000.
    tracks : int
        Particles followed at a time, 1 to 32.
    marks : str
        The polarity of the events that begin, split and end a track: ``on``, ``off`` or ``both``.
    hump_ratio, split_ratio : int
        How many times as many such events a bin before a valley must have had for the passage to be flagged, or split in two;
        2 to 1000.
    longer_percent, larger_percent, heavier_percent : int
        By how much a passage must last longer, be larger, or be heavier, than others to be flagged; 1 to 1000, 0 for never.
    grid : tuple of int
        Columns, rows and time steps of the tensor, 1 to 255 each.
    cell_px : int
        Side of its cells, 1 to 256.
    step_us : int
        Its time step, 1 to 10,000.
    follow : bool
        Whether the grid follows the particle, or lies on the sensor.
    gate_events : tuple of int
        Least and most events of a particle that is to be sorted.
    gate_size_px : tuple of float
        Least and greatest size of one, along either axis.
    gate_alone : bool
        Whether doublets are not to be sorted.
    sort_us : int
        How long after its exit a particle can be sorted, 1 to 1,000,000.
    """

    seed_px: int = 64
    seed_events: int = 12
    seed_us: int = 60
    reach_px: tuple[int, int] = (640, 480)
    merge_px: int = 0
    speed_px_us: float = 0.0
    bin_us: int = 40
    busy_events: int = 16
    idle_bins: int = 3
    least_events: int = 300
    tracks: int = 8
    marks: str = "both"
    hump_ratio: int = 6
    split_ratio: int = 20
    longer_percent: int = 30
    larger_percent: int = 0
    heavier_percent: int = 0
    grid: tuple[int, int, int] = (32, 24, 4)
    cell_px: int = 20
    step_us: int = 120
    follow: bool = False
    gate_events: tuple[int, int] = (1, 1 << 20)
    gate_size_px: tuple[float, float] = (0.0, 2000.0)
    gate_alone: bool = True
    sort_us: int = 1000

    def __post_init__(self) -> None:
        for name, length in (("reach_px", 2), ("grid", 3), ("gate_events", 2), ("gate_size_px", 2)):
            value = getattr(self, name)
            number = isinstance(value, list | tuple) and len(value) == length and all(isinstance(v, int | float) for v in value)
            self.require(name, number, f"give {length} numbers")
            object.__setattr__(self, name, tuple(value))
        self.require("marks", self.marks in MARKS, f"choose one of {', '.join(MARKS)}")
        self.require("seed_px", self.seed_px in (4, 8, 16, 32, 64, 128, 256), "choose a power of two from 4 to 256")
        for name, (low, high) in RANGES.items():
            self.require(name, low <= getattr(self, name) <= high, f"choose {low:,} to {high:,}")
        self.require("reach_px", all(1 <= v <= MOST_REACH for v in self.reach_px), f"choose 1 to {MOST_REACH} pixels")
        self.require("grid", all(isinstance(v, int) and 1 <= v <= 255 for v in self.grid), "choose 1 to 255 of each")
        self.require("gate_events", 0 <= self.gate_events[0] <= self.gate_events[1] < 1 << 31, "give the least, then the most")
        self.require("gate_size_px", 0 <= self.gate_size_px[0] <= self.gate_size_px[1] <= 4096, "give the least, then the greatest")

    @property
    def tensor_bytes(self) -> int:
        """Bytes of a particle's tensor."""
        columns, rows, steps = self.grid
        return (2 * columns * rows * steps + 7) // 8
