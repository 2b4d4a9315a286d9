"""Host and twins side by side: every stage on every engine is given what the host's stage is given, and must give the same bits.

A stage that differs is so named itself, and not those after it; and where none differs, the chains are the same as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from firmware.room import twin_chain
from firmware.twins import has
from pipeline.blocks import Block, Events, Format, Particles, Samples, Spikes
from pipeline.chain import ChainPlan
from pipeline.checks import COLUMNS
from pipeline.layout import names
from pipeline.manifest import digest
from pipeline.stage import Engine

WHOLE = {Samples: "data", Spikes: "sample", Events: "t_us", Particles: "track"}  # the column that counts what a block holds


@dataclass
class Tally:
    """What was compared of one stage on one engine.

    Attributes
    ----------
    label, stage, engine : str
        Which.
    samples : int
        Samples, spikes, events or particles that were compared.
    differences : int
        Those that were not the same.
    first : str
        Where the first of them was, with both values and the table in use; empty where there was none.
    """

    label: str
    stage: str
    engine: str
    samples: int = 0
    differences: int = 0
    first: str = ""


class Comparison:
    """A chain on the host, and its stages on other engines.

    Parameters
    ----------
    plan : ChainPlan
        The chain.
    signal : SampleFormat or EventFormat
        Of its input.
    engines : sequence of Engine
        What to compare with the host.
    tables : dict of str to numpy.ndarray, optional
        Fitted tables by label, as the host has them: all engines share them.

    Attributes
    ----------
    host : Chain
        The chain on the host.
    tallies : list of Tally
        In the order of the chain, then of the engines.
    without : list of str
        Labels of the stages that have no C twin.
    """

    def __init__(
        self, plan: ChainPlan, signal: Format, engines: Sequence[Engine], tables: dict[str, np.ndarray] | None = None
    ) -> None:
        self.host = plan.build(signal, tables)
        self.without = [step.label for step in plan.steps if not has(step.stage.name)]
        self._chains = [twin_chain(plan, signal, engine, tables) for engine in engines]
        self._steps = [step for step in plan.steps if step.label not in self.without]
        self.tallies = [Tally(s.label, s.stage.name, engine.name) for s in self._steps for engine in engines]

    def take(self, block: Block) -> None:
        """Run one block everywhere, and compare what every stage gives."""
        expected: Mapping[str, Any] = self.host.process(block)
        tallies = iter(self.tallies)
        for step in self._steps:
            given = [expected[source] for source in step.sources]
            for chain in self._chains:
                running = chain.stages[step.label]
                where = f"{step.label} ({step.stage.name})"
                compare(next(tallies), running.process(*given), expected[step.label], where, running.tables)


def compare(tally: Tally, got: Any, expected: Any, what: str, tables: np.ndarray) -> None:
    """Count in `tally` the values of two blocks that differ, and keep the place of the first.

    `what` and `tables` are those that made them, for the message.
    """
    tally.samples += getattr(expected, WHOLE[type(expected)]).size
    for column in COLUMNS[type(expected)]:
        a, b = getattr(got, column), getattr(expected, column)
        if a.shape != b.shape:
            if not a.size and not b.size:
                continue
            tally.differences += max(1, abs(a.size - b.size))
            place = f"block at {expected.start}: {column} is {a.shape}, on the host {b.shape}"
        elif np.array_equal(a, b):
            continue
        else:
            wrong = np.argwhere(a != b)
            tally.differences += len(wrong)
            where = tuple(int(i) for i in wrong[0])
            place = f"{_place(expected, column, where)}: {a[where]}, on the host {b[where]}"
        tally.first = tally.first or f"{what} on {tally.engine}: {place}; its tables: {_in_use(tables)}"


def _place(expected: Any, column: str, where: tuple[int, ...]) -> str:
    """Say in words where a value is: sample and channel, event or particle."""
    if column == "data":
        return f"sample {expected.start + where[0]}, channel {where[1]}"
    if column == "frame_flags":
        return f"sample {expected.start + where[0]}, flags"
    inner = f"[{', '.join(map(str, where[1:]))}]" if len(where) > 1 else ""
    if isinstance(expected, Events):
        return f"event at {expected.t_us[where[0]]} us, {column}"
    if isinstance(expected, Particles):
        return f"particle {expected.track[where[0]]}, {column}{inner}"
    return f"spike at sample {expected.sample[where[0]]}, channel {expected.channel[where[0]]}, {column}{inner}"


def _in_use(tables: np.ndarray) -> str:
    """Return the numbers of a stage's tables, and their checksum."""
    numbers = [f"{name} = {int(tables[name])}" for name in names(tables.dtype) if not tables[name].ndim]
    return f"{', '.join(numbers)} (SHA-256 {digest(tables)[:12]})"
