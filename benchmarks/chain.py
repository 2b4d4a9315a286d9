"""Speed of the whole chain, sorting included, and how long single blocks take."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.material import RATE_HZ, cut, speed_recording, trained
from benchmarks.results import Part, Requirement, Table
from benchmarks.speed import BLOCKS_MS, inputs
from benchmarks.timing import each, interleaved
from pipeline.blocks import Samples
from pipeline.chain import Chain, read_chain

CHAINS = ("psoc68", "probe")


def measure(quick: bool) -> Part:
    """Measure."""
    part = Part("Speed of the whole chain")
    recording = speed_recording()
    seconds, rounds = (2, 3) if quick else (10, 25)
    data = recording.read(0, seconds * RATE_HZ)
    chains = {name: trained(read_chain(name), recording) for name in CHAINS}
    found = {name: _through(chain, cut(data, 100)) / seconds for name, chain in chains.items()}
    contenders = {(name, ms): partial(_through, chain, cut(data, ms)) for name, chain in chains.items() for ms in BLOCKS_MS}
    taken = interleaved({str(key): run for key, run in contenders.items()}, rounds)
    rows = []
    for name, ms in contenders:
        times = seconds / taken[str((name, ms))]
        micros = np.concatenate([_each(chains[name], cut(data, ms)) for _ in range(1 if quick else 3)])
        middle, late = np.quantile(micros, [0.5, 0.99])
        rows.append([name, f"{ms} ms", times, times * RATE_HZ * 68 / 1e6, float(middle), float(late), float(micros.max())])
        if ms == 10:
            what = f"Whole chain {name} with sorting, 68 channels at 24 kHz, blocks of 10 ms"
            part.requirements.append(Requirement(what, times, 200.0, "x real time"))
        if ms == 1:
            what = f"Whole chain {name} with sorting, blocks of 1 ms: 99th percentile of processing"
            part.requirements.append(Requirement(what, float(late) / 1000, 1.0, "ms", at_least=False))
    cells = ", ".join(f"{rate:.0f} a second with {name}" for name, rate in found.items())
    part.tables.append(
        Table(
            "Whole chain",
            "From samples to sorted spikes: 68 channels at 24 kHz, 34 simulated cells, learned beforehand. "
            f"Spikes sorted: {cells}.",
            ["chain", "block", "x real time", "MSa/s", "us a block, median", "99th percentile", "worst"],
            rows,
        )
    )
    for name, chain in chains.items():
        part.tables.append(where(name, chain, data[: 2 * RATE_HZ], 3 if quick else 25))
    return part


def where(name: str, chain: Chain, data: np.ndarray, rounds: int) -> Table:
    """Return where the time goes: every stage by itself, in blocks of 10 ms."""
    blocks = inputs(chain, data, 10)
    taken = interleaved({label: partial(_stage, chain, label, given) for label, given in blocks.items()}, rounds)
    count = len(cut(data, 10))
    rows: list[list[Any]] = [[label, seconds / count * 1e6] for label, seconds in taken.items()]
    rows.append(["sum", sum(taken.values()) / count * 1e6])
    return Table(
        f"Where the time of {name} goes", "Microseconds for a block of 10 ms, each stage called by itself.", ["stage", "us"], rows
    )


def _stage(chain: Chain, label: str, given: list[list[object]]) -> None:
    running = chain.stages[label]
    running.reset()
    for blocks in given:
        running.process(*blocks)


def _through(chain: Chain, blocks: list[Samples]) -> int:
    chain.reset()
    last = chain.plan.steps[-1].label
    return sum(len(chain.process(block)[last]) for block in blocks)


def _each(chain: Chain, blocks: list[Samples]) -> np.ndarray:
    chain.reset()
    return each(chain.process, blocks)
