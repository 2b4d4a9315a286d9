"""Events that a run keeps to look at: its busiest stretch, and a few passages from all over it.

Both are of bounded size, are found while the stream goes by, and depend on the recording and the chain only.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from pipeline.blocks import EVENT_COLUMNS, Events, Particles

KINDS = {"t_us": np.int64, "x": np.uint16, "y": np.uint16, "p": np.uint8}
MOST_WINDOW = 1 << 18  # events that are kept of a stretch, the first ones
MOST_PASSAGES = 48
MOST_PASSAGE = 1 << 14  # events that are kept of a passage, the last ones
PASSAGE_US = 1000  # how long a passage is looked at, up to its end
LATE_US = 1000  # how long after its last event a particle may become known, at the most

Arrays = dict[str, np.ndarray]


def columns(parts: list[Arrays]) -> Arrays:
    """Return columns one behind the other."""
    return {name: np.concatenate([np.empty(0, kind), *(part[name] for part in parts)]) for name, kind in KINDS.items()}


def piece(events: Events, first: int, last: int) -> Arrays:
    """Return the events numbered ``[first, last)``, which are a part of the block and no copy: what is kept for long is copied."""
    return {name: getattr(events, name)[first:last] for name in EVENT_COLUMNS}


class BusiestWindow:
    """The stretch in which most events were left by the filters, of all that follow each other in windows of one length.

    Parameters
    ----------
    start, us : int
        Where the first window begins, and how long each is, in microseconds.
    state : dict of str to numpy.ndarray, optional
        What `checkpoint` returned, to continue.
    """

    def __init__(self, start: int, us: int, state: Arrays | None = None) -> None:
        self.start, self.us = start, us
        self._best, self._most = 0, -1  # number of the busiest window, the first of several, and its events after the filters
        self._number = 0  # of the present window
        self._counts: dict[str, int] = {"seen": 0, "kept": 0}
        self._parts: dict[str, list[tuple[Events, int, int]]] = {"seen": [], "kept": []}  # blocks, and which events of each
        self._found = {"seen": columns([]), "kept": columns([])}
        if state is not None:
            self._best, self._most, self._number, self._counts["seen"], self._counts["kept"] = state["window"].tolist()
            for name in self._parts:
                self._found[name] = {column: state[f"found_{name}_{column}"] for column in KINDS}
                part = Events(0, 0, *(state[f"window_{name}_{column}"] for column in KINDS))
                self._parts[name] = [(part, 0, len(part))]

    def take(self, seen: Events, kept: Events) -> None:
        """Take a block as the sensor gave it, and what the filters left of it."""
        last = (max(seen.stop - 1, seen.start) - self.start) // self.us
        alone = (seen.start - self.start) // self.us == last  # the block is within one window
        if alone or not (len(seen) or len(kept)):  # windows of silence are not the busiest, but for the one that it begins in
            if last != self._number:
                self._end()
                self._number = last
            self._add("seen", seen, 0, len(seen))
            self._add("kept", kept, 0, len(kept))
            return
        edges = self.start + self.us * np.arange(self._number, last + 2, dtype=np.int64)
        blocks = {"seen": seen, "kept": kept}
        cuts = {name: np.searchsorted(block.t_us, edges).tolist() for name, block in blocks.items()}
        begun = True  # the present window: before this block
        for i, number in enumerate(range(self._number, last + 1)):
            if number != self._number:
                self._end()
                self._number, begun = number, False
            quiet = cuts["kept"][i + 1] - cuts["kept"][i] <= self._most
            if quiet and not begun and number < last:
                continue  # all of it is in this block, and it is not the busiest
            for name, block in blocks.items():
                self._add(name, block, cuts[name][i], cuts[name][i + 1])

    def _add(self, name: str, block: Events, first: int, last: int) -> None:
        room = max(0, MOST_WINDOW - self._counts[name])
        self._counts[name] += last - first
        if room and last > first:
            self._parts[name].append((block, first, min(last, first + room)))

    def _end(self) -> None:
        """End the present window; it is the busiest so far, or forgotten."""
        if self._counts["kept"] > self._most:
            self._best, self._most = self._number, self._counts["kept"]
            self._found = {name: self._events(name) for name in self._parts}
        self._counts, self._parts = {"seen": 0, "kept": 0}, {"seen": [], "kept": []}

    def _events(self, name: str) -> Arrays:
        """Return the events of the present window, copied."""
        return columns([piece(*part) for part in self._parts[name]])

    def result(self) -> tuple[tuple[int, int], dict[str, Arrays]]:
        """End the last window; return ``[start, stop)`` of the busiest, and its events before and after the filters."""
        self._end()
        begin = self.start + self._best * self.us
        return (begin, begin + self.us), self._found

    def checkpoint(self) -> Arrays:
        """Return what follows depends on."""
        held = {f"found_{name}_{column}": rows for name, found in self._found.items() for column, rows in found.items()}
        for name in self._parts:
            held |= {f"window_{name}_{column}": rows for column, rows in self._events(name).items()}
        numbers = [self._best, self._most, self._number, self._counts["seen"], self._counts["kept"]]
        return {"window": np.array(numbers, np.int64), **held}


class Passages:
    """Passages from all over the recording, with the events where and when they were: each one at first, then fewer and fewer.

    Parameters
    ----------
    state : dict of str to numpy.ndarray, optional
        What `checkpoint` returned, to continue.
    """

    def __init__(self, state: Arrays | None = None) -> None:
        self._every, self._count = 1, 0
        self._recent: deque[Events] = deque()
        self._held: list[tuple[int, Arrays]] = []  # number of the particle, and its events
        if state is not None:
            self._every, self._count, start, stop = state["passages"].tolist()
            self._recent.append(Events(start, stop, *(state[f"recent_{column}"] for column in KINDS)))
            ends = np.cumsum(state["passage_events"]).tolist()
            for particle, first, last in zip(state["passage_particle"].tolist(), [0, *ends], ends, strict=False):
                self._held.append((particle, {column: state[f"passage_{column}"][first:last] for column in KINDS}))

    def take(self, seen: Events, found: Particles) -> None:
        """Take a block, before it was filtered, and the particles that were found when it was processed."""
        self._recent.append(seen)
        for i in range(len(found)):
            if self._count % self._every == 0:
                self._held.append((self._count, self._events(int(found.first_us[i]), int(found.last_us[i]), found.box[i])))
            self._count += 1
            if len(self._held) >= 2 * MOST_PASSAGES:
                self._held, self._every = self._held[::2], 2 * self._every
        while self._recent[0].stop <= seen.stop - PASSAGE_US - LATE_US:
            self._recent.popleft()

    def _events(self, first_us: int, last_us: int, box: np.ndarray) -> Arrays:
        """Return the last events of a passage, those within its box."""
        left, top, right, bottom = box.tolist()
        first_us, parts = max(first_us, last_us - PASSAGE_US + 1), []
        for block in self._recent:
            first, last = np.searchsorted(block.t_us, [first_us, last_us + 1]).tolist()
            part = piece(block, first, last)
            inside = (part["x"] >= left) & (part["x"] <= right) & (part["y"] >= top) & (part["y"] <= bottom)
            parts.append({column: rows[inside] for column, rows in part.items()})
        return {column: rows[-MOST_PASSAGE:] for column, rows in columns(parts).items()}

    def result(self) -> Arrays:
        """Return the passages: ``particle`` and ``events`` (how many) [n], and the columns of their events, one behind the other.

        They are numbered as the run's particles are.
        """
        chosen = self._held
        while len(chosen) > MOST_PASSAGES:
            chosen = chosen[::2]
        return self._rows(chosen)

    def checkpoint(self) -> Arrays:
        """Return what follows depends on."""
        recent = columns([piece(block, 0, len(block)) for block in self._recent])
        start, stop = (self._recent[0].start, self._recent[-1].stop) if self._recent else (0, 0)
        held = {f"passage_{name}": rows for name, rows in self._rows(self._held).items()}
        held |= {f"recent_{name}": rows for name, rows in recent.items()}
        return {"passages": np.array([self._every, self._count, start, stop], np.int64), **held}

    @staticmethod
    def _rows(passages: list[tuple[int, Arrays]]) -> Arrays:
        return {
            "particle": np.array([particle for particle, _ in passages], np.int64),
            "events": np.array([len(events["t_us"]) for _, events in passages], np.int64),
            **columns([events for _, events in passages]),
        }
