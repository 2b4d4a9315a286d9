"""What a run of events keeps, written while it goes on: particles, saved events, counts, and some events to look at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bitspike.columns import Columns
from bitspike.event_examples import BusiestWindow, Passages
from pipeline.blocks import DOUBLET, EVENT_COLUMNS, PARTICLE_COLUMNS, Events, Particles
from pipeline.chain import INPUT, Chain

PARTICLES, WINDOW, PASSAGES = "particles", "window", "passages"
PENDING = 256  # blocks that are written at once
MOVERS = ("region", "pooling")  # stages that give events other places; all others leave some out
PARTICLE_WINDOW_US, SCENE_WINDOW_US = 1000, 20_000  # of the busiest stretch: passages are short, what else moves is slower


class EventKeeper:
    """Takes every block's outputs and writes what the run keeps.

    Parameters
    ----------
    columns : Columns
        Where it grows.
    chain : Chain
        Whose outputs they are.
    start : int
        Where the run begins, in microseconds.
    state : tuple, optional
        What `checkpoint` returned, to continue.

    Attributes
    ----------
    final : str
        Label of the particles that are the run's result: those of the last stage that gives any; empty where none does.
    given : str
        Label of the events that these were found in; without particles, of the last events there are.
    seen : str
        Label of the events that they are what filters left of, at the same places.
    counts : dict of str to Any
        Events, how many every filter kept, particles, doublets among them, and those to be sorted.
    """

    def __init__(self, columns: Columns, chain: Chain, start: int, state: Any = None) -> None:
        arrays = state[1] if state else None
        self._columns, self._chain = columns, chain
        steps = {step.label: step for step in chain.plan.steps}
        self.final = next((label for label in reversed(steps) if steps[label].stage.gives is Particles), "")
        self._saved = [label for label in chain.saved if steps[label].stage.gives is Events]
        self._pending: dict[str, list[Any]] = {}
        filters = [label for label, step in steps.items() if step.stage.gives is Events]
        self.given = steps[self.final].sources[0] if self.final else [INPUT, *filters][-1]
        self.seen = self.given
        while self.seen != INPUT and steps[self.seen].stage.name not in MOVERS:
            self.seen = steps[self.seen].sources[0]
        self.counts: dict[str, Any] = {"events": 0, "kept": dict.fromkeys(filters, 0)}
        if self.final:
            self.counts |= {"particles": 0, "doublets": 0, "sorted": 0}
        if state:
            self.counts = state[0]["counts"]
        self._window = BusiestWindow(start, PARTICLE_WINDOW_US if self.final else SCENE_WINDOW_US, arrays)
        self._passages = Passages(arrays) if self.final else None

    def take(self, outputs: Mapping[str, Any]) -> None:
        """Keep what is to be kept of one block's outputs."""
        counts = self.counts
        counts["events"] += len(outputs[INPUT])
        for label in counts["kept"]:
            counts["kept"][label] += len(outputs[label])
        for label in self._saved:
            self._add(label, outputs[label])
        self._window.take(outputs[self.seen], outputs[self.given])
        if self._passages is not None:
            found = outputs[self.final]
            counts["particles"] += len(found)
            counts["doublets"] += int(np.count_nonzero(found.flags & DOUBLET))
            counts["sorted"] += int(np.count_nonzero(found.gate))
            self._add(self.final, found)
            self._passages.take(outputs[self.seen], found)

    def checkpoint(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Write everything; return what follows depends on: plain values and arrays."""
        self._write_all()
        shown = self._passages.checkpoint() if self._passages is not None else {}
        return {"counts": self.counts}, {**self._window.checkpoint(), **shown}

    def finish(self, folder: Path) -> dict[str, Any]:
        """Write what is still remembered, and what there is to look at; return what the files mean, for the manifest.

        A column that nothing came for is there, and empty.
        """
        self._write_all()
        taps = {}
        for label in self._saved:
            format_ = self._chain.formats[label]
            taps[label] = {"kind": "events", "width": format_.width, "height": format_.height, "pitch_um": format_.pitch_um}
        (start, stop), found = self._window.result()
        places = self._chain.formats[self.seen]
        window = {
            "start": start,
            "stop": stop,
            "seen": self.seen,
            "kept": self.given,
            "width": places.width,
            "height": places.height,
        }
        about: dict[str, Any] = {"taps": taps, WINDOW: window}
        for name, events in found.items():
            _save(folder / WINDOW / name, events)
        if self._passages is not None:
            grid = self._chain.stages[self.final].parameters_dict().get("grid", ())
            about[PARTICLES] = {"stage": self.final, "grid": grid, "columns": list(PARTICLE_COLUMNS)}
            _save(folder / PASSAGES, self._passages.result())
        return about

    def _add(self, label: str, block: Any) -> None:
        waiting = self._pending.setdefault(label, [])
        if len(block) or not waiting:
            waiting.append(block)
        if len(waiting) >= PENDING:
            self._write(label)

    def _write_all(self) -> None:
        for label in list(self._pending):
            self._write(label)

    def _write(self, label: str) -> None:
        if not self._pending[label]:
            return
        folder, names = (PARTICLES, PARTICLE_COLUMNS) if label == self.final else (f"taps/{label}", EVENT_COLUMNS)
        for name in names:
            rows = np.concatenate([getattr(block, name) for block in self._pending[label]])
            self._columns.column(f"{folder}/{name}", rows.dtype, rows.shape[1:]).append(rows)
        self._pending[label] = []


def _save(folder: Path, columns: dict[str, np.ndarray]) -> None:
    folder.mkdir(parents=True)
    for name, rows in columns.items():
        np.save(folder / f"{name}.npy", rows)
