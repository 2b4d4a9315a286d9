"""What a chain has learned: from the recording before it is replayed, or from an earlier run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bitspike.runs import Run
from pipeline.blocks import Samples
from pipeline.chain import Chain, ChainPlan
from pipeline.errors import BitspikeError, TooLittleError
from pipeline.manifest import describe_chain
from pipeline.training import train
from sensors.recording import Recording

LEARN_S = 60.0  # of a recording are enough to learn from
STEP_S = 0.1

Tables = dict[str, np.ndarray]


def prepared(
    plan: ChainPlan, recording: Recording, start: int, stop: int, learn: str, trained: str | Path | Run | None
) -> tuple[Tables | None, str]:
    """Return the tables to run a chain with, and in words where they come from.

    Parameters
    ----------
    plan : ChainPlan
        The chain.
    recording : Recording
        What will be replayed.
    start, stop : int
        Frames of it.
    learn : str
        "first": learn from the first minute of the stretch; "online": leave it to the chain.
    trained : Run, str or pathlib.Path, optional
        Take the tables of that run instead.

    Raises
    ------
    BitspikeError
        The trained tables are of another chain.
    """
    if trained is not None:
        source = trained if isinstance(trained, Run) else Run(trained)
        return tables_of(source, plan.build(recording.format)), f"tables of {source.path}"
    if not learners(plan):
        return None, "nothing to learn"
    if learn == "online":
        return None, "on line"
    stop = min(stop, start + round(LEARN_S * recording.format.rate_hz))
    try:
        return fit(plan, recording, start, stop), f"from frames {start} to {stop}, before the replay"
    except TooLittleError as error:
        return None, f"on line: {error}"


def learners(plan: ChainPlan) -> list[str]:
    """Return the labels of the stages that learn."""
    return [step.label for step in plan.steps if hasattr(step.stage, "fit")]


def fit(
    plan: ChainPlan, recording: Recording, start: int, stop: int, progress: Callable[[float, float], None] | None = None
) -> Tables:
    """Train a chain on a stretch of a recording; see `pipeline.training.train`."""
    rate = recording.format.rate_hz

    def blocks() -> Iterator[Samples]:
        for block in recording.blocks(max(1, round(STEP_S * rate)), start, stop):
            yield block
            if progress is not None:
                progress((block.stop - start) / rate, (stop - start) / rate)

    return train(plan, recording.format, blocks)


def tables_of(run: Run, chain: Chain) -> Tables:
    """Return the tables that a run learned, for a chain, if all that comes before the stages that learn is the same."""
    labels = learners(chain.plan)
    if not labels:
        raise BitspikeError(f"chain {chain.plan.name}: no stage learns; leave out --trained")
    theirs, ours = run.manifest.chain["stages"], describe_chain(chain)["stages"]
    last = max(i for i, stage in enumerate(ours) if stage["label"] in labels)
    same = ("label", "name", "parameters", "from")
    if [[s[key] for key in same] for s in theirs[: last + 1]] != [[s[key] for key in same] for s in ours[: last + 1]]:
        raise BitspikeError(f"{run.path}: was trained with other stages or parameters; train again with chain {chain.plan.name}")
    for name in ("rate_hz", "channels"):
        if run.manifest.recording[name] != getattr(chain.signal, name):
            is_not = f"{run.manifest.recording[name]:g}, the recording's is {getattr(chain.signal, name):g}"
            raise BitspikeError(f"{run.path}: was trained at {name} = {is_not}; train again on this recording")
    return {label: run.tables[label] for label in labels}
