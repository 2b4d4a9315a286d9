"""What a sample costs on each core, counted: a stage that grows past its budget fails, and the difference is printed."""

from __future__ import annotations

import tomllib

import numpy as np
import pytest

from firmware import build, has
from firmware.callgraph import CallGraph
from firmware.decoding import DECODERS
from firmware.target import Target
from pipeline.blocks import Events, SampleFormat, Samples, Spikes
from pipeline.chain import load_stages
from pipeline.checks import cut, example_events, example_format, example_sensor, example_signal
from pipeline.stage import REGISTRY

load_stages()


BUDGET = tomllib.loads((build.ROOT / "budget.toml").read_text())
CASES = [
    (core, name, i)
    for core in BUDGET
    for name in BUDGET[core]
    for i in range(len(BUDGET[core][name].get("instructions", [])))
    if name not in DECODERS  # test_decoding.py has theirs
]


def quiet(frames: int, signal: SampleFormat) -> np.ndarray:
    """Return noise at a thirtieth of full scale, in which there are no spikes."""
    return np.rint(np.random.default_rng(0).normal(0, 2.0 ** (signal.bits - 1) / 60, (frames, signal.channels))).astype(np.int16)


def cost(name: str, example: int, core: str, channels: int = 16) -> float:
    """Return instructions a sample, of noise after the learning window, a spike, or an event."""
    cls = REGISTRY[name]
    signal = example_sensor() if Events in cls.takes else example_format(channels)
    engine = Target(core, 24 if channels <= 24 else channels)
    running = cls(list(cls.examples())[example], signal, engine=engine)
    if cls.takes == (Samples,):
        x = quiet(2400, signal)
        running.process(Samples(0, x[:1800]))
        blocks, units = (Samples(1800, x[1800:]),), x[1800:].size
    elif Events in cls.takes:
        first, blocks = cut(cls, example_events(6000, signal), [0, 5000, 6000], signal)
        running.process(*first)
        units = len(blocks[0])
    else:
        (blocks,) = cut(cls, example_signal(3000, signal), [0, 3000], signal)
        units = sum(len(block) for block in blocks if isinstance(block, Spikes))
    with engine.counting() as counts:
        running.process(*blocks)
    return counts.total / units


def require_within(measured: float, budget: float, what: str) -> None:
    assert measured <= budget, f"{what}: {measured:.4g}, {measured - budget:.4g} more than the {budget:g} of firmware/budget.toml"


@pytest.mark.parametrize(("core", "name", "example"), CASES)
def test_stage_stays_within_its_budget(core, name, example):
    what = f"{name}, example {example}, on {core}: instructions a sample or spike"
    require_within(cost(name, example, core), BUDGET[core][name]["instructions"][example], what)


@pytest.mark.parametrize("core", build.CORES)
def test_code_and_stack_stay_within_their_budgets(core):
    graph = CallGraph(build.image(core, 24))
    for name, budget in BUDGET[core].items():
        functions = [f"bs_{name}_{what}" for what in ("init", "process", "reset", "gap")]
        code = graph.code_bytes(*(function for function in functions if function in graph.names()))
        require_within(code, budget["code"], f"{name} on {core}: bytes of code")
        require_within(graph.stack_bytes(f"bs_{name}_process"), budget["stack"], f"{name} on {core}: bytes of stack")


@pytest.mark.parametrize(("core", "most"), [("cortex-m4", 13.4), ("rv32imc", 13.5)])
def test_energy_of_68_channels(core, most):
    assert cost("energy", 0, core, 68) <= most


@pytest.mark.parametrize("core", build.CORES)
def test_every_stage_has_a_budget(core):
    assert {name for name in REGISTRY if has(name)} | set(DECODERS) == set(BUDGET[core])
    # what the sorter executes depends on what it learned: test_implant.py has its budget
    assert [name for name, budget in BUDGET[core].items() if "instructions" not in budget] == ["sorter"]


def test_growth_is_printed():
    with pytest.raises(AssertionError, match=r"^band on cortex-m4: 27.8, 0.5 more than the 27.3 of firmware/budget.toml"):
        require_within(27.8, 27.3, "band on cortex-m4")
