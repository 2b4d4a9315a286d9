"""Training a chain: every stage that can learn from a recording does, in order, on what the stages before it make of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.blocks import SampleFormat, Samples
from pipeline.chain import INPUT, ChainPlan
from pipeline.errors import BitspikeError


def train(plan: ChainPlan, signal: SampleFormat, blocks: Callable[[], Iterable[Samples]]) -> dict[str, np.ndarray]:
    """Return fitted tables, by label, for `ChainPlan.build`.

    Parameters
    ----------
    plan : ChainPlan
        What to train.
    signal : SampleFormat
        Of the recording.
    blocks : callable
        Returns the blocks to learn from, in order, from the start each time: once per stage that learns.

    Raises
    ------
    BitspikeError
        No stage of the chain learns, or one found too little to learn from.
    """
    tables: dict[str, np.ndarray] = {}
    for number, step in enumerate(plan.steps):
        if not hasattr(step.stage, "fit"):
            continue
        before = replace(plan, steps=plan.steps[:number])
        chain = before.build(signal, dict(tables))
        learning: Any = step.stage(step.parameters, chain.formats[step.sources[0]])
        learning.fit(_inputs(chain, step.sources, blocks()))
        tables[step.label] = learning.tables
    if not tables:
        raise BitspikeError(f"chain {plan.name}: no stage learns; there is nothing to train")
    return tables


def _inputs(chain: Any, sources: tuple[str, ...], blocks: Iterable[Samples]) -> Iterator[tuple[Any, ...]]:
    """Yield what a stage with these sources is given, block by block."""
    for block in blocks:
        outputs = chain.process(block) if chain.stages else {INPUT: block}
        yield tuple(outputs[source] for source in sources)
