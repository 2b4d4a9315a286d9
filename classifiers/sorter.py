"""Spike sorter: learns the units of a recording from its first spikes, then assigns every later spike on line, in integers.

Features and classifier are a choice of ours (those of the published chip are not public): integer principal components of the
spike on its channel and the nearest others, normal distributions found without a given number of units (`clustering`), and
templates that are subtracted so that overlapping spikes come apart (`sorting`). A spike that neither explains is `UNSORTED`. The
clusters' centres follow slow drift.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from classifiers.clustering import FAR_Q8
from classifiers.gaussian import MAX_FEATURES
from classifiers.hearing import Learner
from classifiers.sorting import LATEST, OLDEST, process
from classifiers.waiting import PER_TICK, TICK
from classifiers.windows import LEAST_AFTER_MS, windows
from pipeline.blocks import SampleFormat, Samples, Spikes, concatenate
from pipeline.capacity import Capacity, triangle
from pipeline.errors import BitspikeError, TooLittleError
from pipeline.express import GIVEN, TAKEN
from pipeline.layout import blank, layout
from pipeline.neural.detection import misplaced
from pipeline.neural.neighbours import nearest_channels
from pipeline.stage import Design, Parameters, Stage

MAX_NEIGHBOURS = 12
MAX_CLUSTERS = 8  # of one channel
MAX_CANDIDATES = 32  # units whose templates reach a channel
NO_SPIKES = np.zeros(0, np.int32)
LEARN_STEP = 1024  # frames: on line, learning takes place at multiples of this


@dataclass(frozen=True)
class SorterParameters(Parameters):
    """Parameters in physical units.

    Attributes
    ----------
    radius_um : float
        Sites this near see the same spike; without geometry, a channel group counts, or all of at most four channels
        (a tetrode), or the channel alone.
    neighbours : int
        At most so many channels for one spike, itself included, 1 to 12.
    before_ms, after_ms : float
        Extent of a template around the peak; 96 frames at most, so that it ends earlier in recordings of more than 38 kHz.
    features : int
        Principal components, 1 to 8.
    clusters : int
        Units whose peak is on one channel, at most, 1 to 8; further, smaller ones are not told apart from noise.
    units : int
        Units of the recording, at most, those of the most spikes; 0: as many as there can be clusters.
    spikes : int
        The sorter learns from so many spikes a channel, at most.
    learn : int
        Learn on line from so many spikes of the whole recording, and sort those that follow; 0: only when told to (`fit`), or from
        tables.
    drift_spikes : int
        The centre of a cluster follows its last so many spikes, roughly; 0: it stays.
    refractory_ms : float
        What is of the same unit as a spike less than this away is the rest of that spike, and is not given; 0: only at its frame.
    arrival_ms : float
        By so much the detection of a spike may lag behind its peak.
    waiting : int
        Spikes that may wait for their decision at a time, 48 to 1024, rounded down to a multiple of 16.
    """

    radius_um: float = 75.0
    neighbours: int = 10
    before_ms: float = 0.7
    after_ms: float = 1.8
    features: int = 8
    clusters: int = 8
    units: int = 0
    spikes: int = 1000
    learn: int = 0
    drift_spikes: int = 256
    refractory_ms: float = 0.5
    arrival_ms: float = 2.5
    waiting: int = 256

    def __post_init__(self) -> None:
        self.require("neighbours", 1 <= self.neighbours <= MAX_NEIGHBOURS, f"choose 1 to {MAX_NEIGHBOURS}")
        self.require("features", 1 <= self.features <= MAX_FEATURES, f"choose 1 to {MAX_FEATURES}")
        self.require("clusters", 1 <= self.clusters <= MAX_CLUSTERS, f"choose 1 to {MAX_CLUSTERS}")
        self.require("units", 0 <= self.units <= 32767, "choose 1 to 32767, or 0 for as many as there can be")
        self.require("waiting", 48 <= self.waiting <= 1024, "choose 48 to 1024")
        self.require("spikes", 20 <= self.spikes <= 1 << 14, "choose 20 to 16384")
        self.require("learn", 0 <= self.learn <= 1 << 20, "choose 0 to 1048576")
        self.require("radius_um", self.radius_um >= 0, "must not be negative")
        self.require("before_ms", 0.2 <= self.before_ms <= 2, "choose 0.2 to 2")
        self.require("after_ms", LEAST_AFTER_MS <= self.after_ms <= 4, "choose 0.3 to 4")
        self.require("refractory_ms", 0 <= self.refractory_ms <= 5, "choose 0 to 5")
        self.require("arrival_ms", 0 <= self.arrival_ms <= 4, "choose 0 to 4")
        drift = self.drift_spikes
        self.require("drift_spikes", drift == 0 or 2 <= drift <= 1 << 14, "choose 2 to 16384, or 0 for none")


class Sorter(Stage):
    """Spike sorter; see the module.

    Spikes come out in the order in which they are decided, which is nearly that of time.
    """

    name = "sorter"
    Parameters = SorterParameters
    takes = (Samples, Spikes)
    gives = Spikes
    kernel = staticmethod(process)
    call = ("x", *TAKEN, *GIVEN, "frames", "channels", "spikes", "room")
    keeps_on_gap = ("drift",)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        t = self.tables
        self.latency = int(t["delay"]) + 3 * TICK
        self._on_line = self.parameters.learn > 0 and not t["learned"]
        self._designed = t.copy()
        self._found = np.empty((4, 1024), np.int32)  # room for a block's spikes
        self._heard = self._learner() if self._on_line else None

    @classmethod
    def needed(cls, parameters: SorterParameters, signal: SampleFormat) -> Capacity:
        """Return what tables and state must hold."""
        p, w = parameters, windows(parameters, signal.rate_hz)
        units = p.units or p.clusters * signal.channels
        return Capacity(
            channels=signal.channels, neighbours=_widest(nearest_channels(signal, p.neighbours, p.radius_um)),
            template_frames=w.width, feature_frames=w.feature_width, features=p.features, clusters=p.clusters,
            units=units, candidates=min(units, MAX_CANDIDATES), held_frames=w.held, waiting_spikes=p.waiting,
        )  # fmt: skip

    @classmethod
    def tables_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_sorter_tables``."""
        c = capacity
        words = (
            "learned neighbours width before feature_from feature_width dimensions limit adapt arrival reach delay "
            "dead ticks most_clusters most_units most_candidates units"
        )
        fields: dict[str, Any] = dict.fromkeys(words.split(), "i4")
        return layout(
            **fields,
            neighbour=("i2", (c.channels, c.neighbours)),
            component=("i2", (c.channels, c.features, c.neighbours * c.feature_frames)),
            clusters=("i4", c.channels),
            cluster_unit=("i4", (c.channels, c.clusters)),
            centre=("i4", (c.channels, c.clusters, c.features)),
            inverse=("i4", (c.channels, c.clusters, triangle(c.features))),
            offset=("i4", (c.channels, c.clusters)),
            unit_channel=("i4", c.units),
            template=("i2", (c.units, c.neighbours, c.template_frames)),
            energy=("i8", c.units),
            row_energy=("i8", c.units),
            low=("i4", c.units),
            high=("i4", c.units),
            candidates=("i4", c.channels),
            candidate=("i4", (c.channels, c.candidates)),
            level=("i4", c.channels),
        )

    @classmethod
    def state_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_sorter_state``."""
        c = capacity
        ticks = c.waiting_spikes // PER_TICK
        return layout(
            frame="i4",
            ring=("i2", (c.held_frames, c.channels)),
            tick_of=("i4", ticks),
            tick_spikes=("i4", ticks),
            arriving="i4",
            arrive_at=("i4", c.waiting_spikes),
            arrive_channel=("i4", c.waiting_spikes),
            arrive_amplitude=("i4", c.waiting_spikes),
            waiting="i4",
            wait_at=("i4", c.waiting_spikes),
            wait_channel=("i4", c.waiting_spikes),
            wait_amplitude=("i4", c.waiting_spikes),
            latest_of=("i4", (c.units, LATEST)),
            drift=("i4", (c.channels, c.clusters, c.features)),
            dropped="i4",
        )

    @classmethod
    def design(cls, parameters: SorterParameters, signal: SampleFormat, capacity: Capacity) -> Design:
        """Derive windows, delays and neighbours; what is learned stays empty."""
        p, w = parameters, windows(parameters, signal.rate_hz)
        near = nearest_channels(signal, p.neighbours, p.radius_um)
        tables, neighbours = blank(cls.tables_layout(capacity)), _widest(near)
        tables["neighbour"][:] = -1
        tables["neighbour"][: signal.channels, :neighbours] = near[:, :neighbours]
        for name in ("width", "before", "feature_from", "feature_width", "arrival", "reach", "delay"):
            tables[name] = getattr(w, name)
        tables["neighbours"], tables["limit"] = neighbours, FAR_Q8[p.features]
        tables["dimensions"] = min(p.features, w.feature_width * neighbours)
        tables["adapt"] = round(np.log2(p.drift_spikes)) if p.drift_spikes else 31
        tables["dead"] = min(round(p.refractory_ms * signal.rate_hz / 1000), w.held)
        needed = cls.needed(p, signal)
        tables["ticks"] = p.waiting // PER_TICK
        tables["most_clusters"], tables["most_units"], tables["most_candidates"] = p.clusters, needed.units, needed.candidates
        return Design(tables, signal, {"delay, frames": w.delay, "channels of one spike": neighbours})

    @classmethod
    def examples(cls) -> Iterator[SorterParameters]:
        """Yield a small sorter, the usual one, which the checks train before, and one that learns on line."""
        yield SorterParameters(radius_um=30.0, features=3, clusters=3, units=9, waiting=100)
        yield SorterParameters()
        yield SorterParameters(learn=60, features=3, waiting=100)

    def fit(self, blocks: Iterable[tuple[Samples, Spikes]]) -> Sorter:
        """Learn from a stretch of signal and its detected spikes, and start anew with what was learned.

        Parameters
        ----------
        blocks : iterable of (Samples, Spikes)
            The stage's inputs, in order.

        Raises
        ------
        TooLittleError
            There are too few spikes to find any unit.
        """
        learner = Learner(self.parameters, self.tables, self.signal.channels)
        for samples, spikes in blocks:
            learner.hear(samples, spikes)
        self.reset()
        self.tables[()] = learner.learn(self.tables)[()]
        if not self.tables["units"]:
            few = f"{learner.count} spikes were too few to find a unit"
            raise TooLittleError(f"stage {self.name}: {few}; learn from a longer stretch, or lower the threshold")
        return self

    def advance(self, samples: Samples, spikes: Spikes) -> Spikes:
        """Sort one block, learning first if that is asked for."""
        if self._heard is None:
            return self._sort(samples, spikes)
        return self._sort_and_learn(samples, spikes)

    def reset(self) -> None:
        """Return to the state before the first block; what was learned on line is forgotten, what was fitted stays."""
        super().reset()
        if self._on_line:
            self.tables[()] = self._designed[()]
            self._heard = self._learner()

    def kept(self) -> Any:
        """Return what survives a gap: drift, and what was learned or heard so far."""
        return super().kept(), self._memory()

    def keep(self, kept: Any) -> None:
        """Take over what survived a gap."""
        state, memory = kept
        super().keep(state)
        self._remember(memory)
        if self._heard is not None:
            self._heard.forget_signal()

    def checkpoint(self) -> bytes:
        """Return everything that the next block depends on, with what was learned on line."""
        memory = self._memory()
        base = super().checkpoint()
        return struct.pack("<I", len(base)) + base + memory

    def restore(self, checkpoint: bytes) -> None:
        """Continue from a `checkpoint`."""
        if len(checkpoint) < 4:
            raise BitspikeError(f"stage {self.name}: the checkpoint is damaged")
        (size,) = struct.unpack_from("<I", checkpoint)
        super().restore(checkpoint[4 : 4 + size])
        self._remember(checkpoint[4 + size :])

    def _memory(self) -> bytes:
        if not self._on_line:
            return b""
        return b"T" + self.tables.tobytes() if self._heard is None else b"H" + self._heard.to_bytes()

    def _remember(self, memory: bytes) -> None:
        if not self._on_line:
            return
        if memory[:1] == b"T" and len(memory) == 1 + self.tables.nbytes:
            self.tables[()] = np.frombuffer(memory, self.tables.dtype, 1, 1)[0]
            self._heard = None
        elif memory[:1] == b"H":
            self.tables[()] = self._designed[()]
            self._heard = Learner.from_bytes(self.parameters, self.tables, self.signal.channels, memory[1:])
        else:
            raise BitspikeError(f"stage {self.name}: the checkpoint is damaged or of another chain")

    def _learner(self) -> Learner:
        return Learner(self.parameters, self._designed, self.signal.channels)

    def able(self) -> bool:
        """Return whether learning is over."""
        return self._heard is None

    def refused(self, code: int) -> BitspikeError:
        """Return which spike is out of place."""
        return BitspikeError(f"stage {self.name}: {misplaced(code, self.signal.channels, OLDEST)}")

    def room(self, frames: int, spikes: int) -> int:
        """Return the most spikes that one block can bring to light."""
        return self.parameters.waiting + 8 * (spikes + frames // TICK + 1)

    def _sort(self, samples: Samples, spikes: Spikes) -> Spikes:
        frames, channels = samples.data.shape
        given = len(spikes.sample)
        room = self.room(frames, given)
        if room > self._found.shape[1]:
            self._found = np.empty((4, 2 * room), np.int32)
        at, channel, amplitude, unit = self._found
        came: tuple[np.ndarray, ...] = (NO_SPIKES, NO_SPIKES, NO_SPIKES)
        if given:
            columns = spikes.sample - samples.start, spikes.channel, spikes.amplitude
            came = tuple(np.ascontiguousarray(column, np.int32) for column in columns)
        count = self.step(samples.data, *came, at, channel, amplitude, unit, frames, channels, given, room)
        if count < 0:
            raise self.refused(count)
        if not count:
            return Spikes(samples.start, samples.stop)
        when = at[:count].astype(np.int64) + samples.start
        return Spikes(samples.start, samples.stop, when, channel[:count].copy(), amplitude[:count].copy(), unit[:count].copy())

    def _sort_and_learn(self, samples: Samples, spikes: Spikes) -> Spikes:
        """Sort in pieces that end where learning may take place, so that it does at the same frame however the stream is cut."""
        parts = []
        done = 0
        while self._heard is not None and done < len(samples.data):
            step = min(len(samples.data) - done, LEARN_STEP - self._heard.frames % LEARN_STEP)
            piece = _slice(samples, spikes, done, done + step)
            parts.append(self._sort(*piece))
            self._heard.hear(*piece)
            done += step
            if self._heard.frames % LEARN_STEP == 0 and self._heard.count >= self.parameters.learn:
                self.tables[()] = self._heard.learn(self.tables)[()]
                self._heard = None
        if done < len(samples.data) or not parts:
            parts.append(self._sort(*_slice(samples, spikes, done, len(samples.data))))
        joined: Spikes = concatenate(parts)
        return joined


def _widest(near: np.ndarray) -> int:
    """Return the most channels that one spike is seen on."""
    return max(1, int((near >= 0).sum(axis=1).max()))


def _slice(samples: Samples, spikes: Spikes, a: int, b: int) -> tuple[Samples, Spikes]:
    """Return frames a to b of a block, with the spikes up to there that no earlier piece was given."""
    start, stop, last = samples.start + a, samples.start + b, b == len(samples.data)
    mine = ((spikes.sample >= start) | (a == 0)) & ((spikes.sample < stop) | last)
    columns = {c: getattr(spikes, c)[mine] for c in ("sample", "channel", "amplitude")}
    return Samples(start, samples.data[a:b]), Spikes(start, stop, **columns)
