"""What a whole chain is laid out for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from firmware.twins import has, require_room
from pipeline.blocks import Format
from pipeline.capacity import Capacity
from pipeline.chain import Chain, ChainPlan
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


def laid_chain(plan: ChainPlan, signal: Format, trained: dict[str, np.ndarray] | None = None) -> Chain:
    """Return a chain on the host whose tables and states are those of a library compiled for just this chain.

    Parameters
    ----------
    plan : ChainPlan
        The chain.
    signal : SampleFormat or EventFormat
        Of the recording.
    trained : dict of str to numpy.ndarray, optional
        Fitted tables by label, in any layout.
    """
    engine = Laid(chain_capacity(plan.build(signal)))
    return plan.build(signal, trained, engine)


def twin_chain(plan: ChainPlan, signal: Format, engine: Engine, trained: dict[str, np.ndarray] | None = None) -> Chain:
    """Return a chain on an engine, but for the stages that have no C twin; `trained` as for `laid_chain`."""

    def where(stage: type[Stage]) -> Engine:
        return engine if has(stage.name) else HOST

    return plan.build(signal, trained, where)
