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
from classifiers.gaussian import MAX_FEATURES, TRIANGLE
from classifiers.hearing import Learner
from classifiers.sorting import (
    LOCATE,
    MAX_CANDIDATES,
    MAX_CLUSTERS,
    MAX_NEIGHBOURS,
    MAX_WAITING,
    MAX_WIDTH,
    RING,
    SHIFT,
    TICK,
    TICKS,
    process,
)
from pipeline.blocks import SampleFormat, Samples, Spikes, concatenate
from pipeline.errors import BitspikeError, TooLittleError
from pipeline.express import GIVEN, TAKEN
from pipeline.layout import blank, layout
from pipeline.neural.neighbours import nearest_channels
from pipeline.stage import Design, Parameters, Stage

MAX_FEATURE_WIDTH = 64  # frames
LEAST_AFTER_MS = 0.3
UNITS_PER_CHANNEL = MAX_CLUSTERS
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
    spikes : int
        The sorter learns from so many spikes a channel, at most.
    learn : int
        Learn on line from so many spikes of the whole recording, and sort those that follow; 0: only when told to (`fit`), or from
        tables.
    drift_spikes : int
        The centre of a cluster follows its last so many spikes, roughly; 0: it stays.
    arrival_ms : float
        By so much the detection of a spike may lag behind its peak.
    """

    radius_um: float = 75.0
    neighbours: int = 10
    before_ms: float = 0.7
    after_ms: float = 1.8
    features: int = 8
    spikes: int = 1000
    learn: int = 0
    drift_spikes: int = 256
    arrival_ms: float = 2.5

    def __post_init__(self) -> None:
        self.require("neighbours", 1 <= self.neighbours <= MAX_NEIGHBOURS, f"choose 1 to {MAX_NEIGHBOURS}")
        self.require("features", 1 <= self.features <= MAX_FEATURES, f"choose 1 to {MAX_FEATURES}")
        self.require("spikes", 20 <= self.spikes <= 1 << 14, "choose 20 to 16384")
        self.require("learn", 0 <= self.learn <= 1 << 20, "choose 0 to 1048576")
        self.require("radius_um", self.radius_um >= 0, "must not be negative")
        self.require("before_ms", 0.2 <= self.before_ms <= 2, "choose 0.2 to 2")
        self.require("after_ms", LEAST_AFTER_MS <= self.after_ms <= 4, "choose 0.3 to 4")
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
    def tables_layout(cls, capacity: int) -> np.dtype:
        """Return the layout of ``bs_sorter_tables``."""
        units = UNITS_PER_CHANNEL * capacity
        words = "learned neighbours width before feature_from feature_width dimensions limit adapt arrival reach delay units"
        fields: dict[str, Any] = dict.fromkeys(words.split(), "i4")
        return layout(
            **fields,
            neighbour=("i2", (capacity, MAX_NEIGHBOURS)),
            component=("i2", (capacity, MAX_FEATURES, MAX_NEIGHBOURS * MAX_FEATURE_WIDTH)),
            clusters=("i4", capacity),
            cluster_unit=("i4", (capacity, MAX_CLUSTERS)),
            centre=("i4", (capacity, MAX_CLUSTERS, MAX_FEATURES)),
            inverse=("i4", (capacity, MAX_CLUSTERS, TRIANGLE)),
            offset=("i4", (capacity, MAX_CLUSTERS)),
            unit_channel=("i4", units),
            template=("i2", (units, MAX_NEIGHBOURS, MAX_WIDTH)),
            energy=("i8", units),
            row_energy=("i8", units),
            low=("i4", units),
            high=("i4", units),
            candidates=("i4", capacity),
            candidate=("i4", (capacity, MAX_CANDIDATES)),
            level=("i4", capacity),
        )

    @classmethod
    def state_layout(cls, capacity: int) -> np.dtype:
        """Return the layout of ``bs_sorter_state``."""
        return layout(
            frame="i4",
            ring=("i2", (RING, capacity)),
            tick_of=("i4", TICKS),
            tick_spikes=("i4", TICKS),
            arriving="i4",
            arrive_at=("i4", MAX_WAITING),
            arrive_channel=("i4", MAX_WAITING),
            arrive_amplitude=("i4", MAX_WAITING),
            waiting="i4",
            wait_at=("i4", MAX_WAITING),
            wait_channel=("i4", MAX_WAITING),
            wait_amplitude=("i4", MAX_WAITING),
            drift=("i4", (capacity, MAX_CLUSTERS, MAX_FEATURES)),
            dropped="i4",
        )

    @classmethod
    def design(cls, parameters: SorterParameters, signal: SampleFormat, capacity: int) -> Design:
        """Derive windows, delays and neighbours; what is learned stays empty."""
        p, per_ms = parameters, signal.rate_hz / 1000
        before = max(4, round(p.before_ms * per_ms))
        after = max(6, min(round(p.after_ms * per_ms), MAX_WIDTH - before))  # of fast recordings the tail is cut
        width = before + after
        if width > MAX_WIDTH or after < LEAST_AFTER_MS * per_ms:
            wanted = before + round(p.after_ms * per_ms)
            raise BitspikeError(f"a template has {wanted} frames at {signal.rate_hz:g} Hz; at most {MAX_WIDTH}: shorten before_ms")
        near = nearest_channels(signal, p.neighbours, p.radius_um)
        tables = blank(cls.tables_layout(capacity))
        tables["neighbour"][:] = -1
        tables["neighbour"][: signal.channels, : p.neighbours] = near
        tables["neighbours"] = max(1, int((near >= 0).sum(axis=1).max()))
        tables["width"], tables["before"], tables["limit"] = width, before, FAR_Q8[p.features]
        tables["feature_from"] = max(0, before - round(0.4 * per_ms))
        length = min(MAX_FEATURE_WIDTH, width - int(tables["feature_from"]), round(1.4 * per_ms))
        tables["feature_width"] = max(4, length)
        tables["dimensions"] = min(p.features, int(tables["feature_width"] * tables["neighbours"]))
        tables["adapt"] = round(np.log2(p.drift_spikes)) if p.drift_spikes else 31
        tables["arrival"] = 2 + int(np.ceil(p.arrival_ms * per_ms))
        tables["reach"] = max(4, min(after, round(1.25 * per_ms)))
        tables["delay"] = max(tables["arrival"] + tables["reach"], tables["reach"] + after + SHIFT + 2 * LOCATE + 1)
        if tables["arrival"] > (TICKS - 2) * TICK:
            raise BitspikeError(
                f"arrival_ms = {p.arrival_ms:g}: at most {(TICKS - 2) * TICK / per_ms:.1f} at {signal.rate_hz:g} Hz"
            )
        needed = int(tables["delay"]) + 3 * TICK + width + 2 * int(tables["reach"]) + 16
        if needed > RING:
            raise BitspikeError(f"windows need {needed} frames of signal at {signal.rate_hz:g} Hz; at most {RING}: shorten them")
        return Design(tables, signal, {"delay, frames": int(tables["delay"]), "channels of one spike": int(tables["neighbours"])})

    @classmethod
    def examples(cls) -> Iterator[SorterParameters]:
        """Yield a sorter that has learned nothing, and one that learns on line."""
        yield SorterParameters()
        yield SorterParameters(learn=60, radius_um=30.0, features=3)

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

    def room(self, frames: int, spikes: int) -> int:
        """Return the most spikes that one block can bring to light."""
        return MAX_WAITING + 8 * (spikes + frames // TICK + 1)

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


def _slice(samples: Samples, spikes: Spikes, a: int, b: int) -> tuple[Samples, Spikes]:
    """Return frames a to b of a block, with the spikes up to there that no earlier piece was given."""
    start, stop, last = samples.start + a, samples.start + b, b == len(samples.data)
    mine = ((spikes.sample >= start) | (a == 0)) & ((spikes.sample < stop) | last)
    columns = {c: getattr(spikes, c)[mine] for c in ("sample", "channel", "amplitude")}
    return Samples(start, samples.data[a:b]), Spikes(start, stop, **columns)
