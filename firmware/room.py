"""What a whole chain is laid out for, and tables moved from one layout to another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from firmware.twins import has, require_room
from pipeline.blocks import SampleFormat
from pipeline.capacity import Capacity
from pipeline.chain import Chain, ChainPlan
from pipeline.errors import BitspikeError
from pipeline.layout import names
from pipeline.stage import HOST, Engine, Stage

# What the library can be compiled for at the least, where a chain does not need more.
LEAST = {**dict.fromkeys(Capacity().limits(), 1), "waiting_spikes": 16}


class Laid:
    """The host's kernels on the memory layout of a compiled library.

    Parameters
    ----------
    room : Capacity
        What the library is compiled for.
    """

    name = "host"

    def __init__(self, room: Capacity) -> None:
        self.room = room

    def capacity(self, needed: Capacity) -> Capacity:
        """Return the library's capacity, or refuse what is needed beyond."""
        return require_room(self.name, needed, self.room)

    def bind(self, stage: Stage) -> Callable[..., int]:
        """Return the step of the stage's kernel."""
        return HOST.bind(stage)


def chain_capacity(chain: Chain) -> Capacity:
    """Return the least that a library must be compiled for to run a chain: the most that any stage needs."""
    needs = [running.needed(running.parameters, running.signal).limits() for running in chain.stages.values()]
    return Capacity(**{name: max(least, *(need[name] for need in needs)) for name, least in LEAST.items()})


def laid_chain(plan: ChainPlan, signal: SampleFormat, trained: dict[str, np.ndarray] | None = None) -> Chain:
    """Return a chain on the host whose tables and states are those of a library compiled for just this chain.

    Parameters
    ----------
    plan : ChainPlan
        The chain.
    signal : SampleFormat
        Of the recording.
    trained : dict of str to numpy.ndarray, optional
        Fitted tables by label, in any layout.
    """
    engine = Laid(chain_capacity(plan.build(signal)))
    return plan.build(signal, moved(plan.build(signal, engine=engine), trained or {}), engine)


def twin_chain(plan: ChainPlan, signal: SampleFormat, engine: Engine, trained: dict[str, np.ndarray] | None = None) -> Chain:
    """Return a chain on an engine, but for the stages that have no C twin; `trained` as for `laid_chain`."""

    def where(stage: type[Stage]) -> Engine:
        return engine if has(stage.name) else HOST

    there = plan.build(signal, engine=where)
    return plan.build(signal, moved(there, trained), where) if trained else there


def moved(chain: Chain, tables: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return tables by label in the layout that the stages of a chain have.

    Raises
    ------
    BitspikeError
        Tables are of another stage, or of a larger one than there is room for.
    """
    unknown = set(tables) - set(chain.stages)
    if unknown:
        raise BitspikeError(f"chain {chain.plan.name}: tables for {sorted(unknown)}, which it has no stage for")
    return {label: relaid(record, chain.stages[label]) for label, record in tables.items()}


def relaid(record: np.ndarray, stage: Stage) -> np.ndarray:
    """Return one stage's tables in the layout for `stage`'s capacity: arrays keep their first corner, the rest is as designed."""
    result: Any = stage.design(stage.parameters, stage.signal, stage.capacity).tables
    if names(record.dtype) != names(result.dtype):
        raise BitspikeError(f"stage {stage.name}: tables of another version; train or design them again for this chain")
    for name in names(result.dtype):
        old, new = record[name], result[name]
        if old.ndim != new.ndim or any(a > b for a, b in zip(old.shape, new.shape, strict=True)):
            raise BitspikeError(f"stage {stage.name}: its tables have {name} {old.shape}, and there is room for {new.shape}")
        if new.ndim:
            new[tuple(slice(size) for size in old.shape)] = old
        else:
            result[name] = old
    return np.asarray(result)
