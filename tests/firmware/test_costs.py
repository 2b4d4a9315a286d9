"""What a sample costs on each core, counted: a stage that grows past its budget fails, and the difference is printed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from firmware import build, has
from firmware.target import Target
from pipeline.blocks import SampleFormat, Samples, Spikes
from pipeline.chain import load_stages
from pipeline.checks import cut, example_format, example_signal
from pipeline.stage import REGISTRY

load_stages()


@dataclass(frozen=True)
class Budget:
    """Instructions a sample, or a spike, of 16 channels, at most: on the Cortex-M4, on RV32IMC."""

    cortex_m4: float
    rv32imc: float


BUDGETS = {  # by stage and number of its example
    ("adc", 0): Budget(22, 22),
    ("artefact", 0): Budget(19.5, 18),
    ("bandpass", 0): Budget(19, 30),
    ("bandpass", 1): Budget(27.3, 48),  # two sections: what CMSIS-DSP's arm_biquad_cascade_df1_q15 costs
    ("biquad", 0): Budget(26.5, 62),  # two sections, as it is CMSIS-DSP's own arithmetic: it costs 27.3 there
    ("components", 0): Budget(1980, 3300),
    ("decimate", 0): Budget(30.5, 31.5),
    ("energy", 0): Budget(14.8, 14.8),
    ("exclusion", 0): Budget(1850, 1380),
    ("extrema", 0): Budget(2170, 2440),
    ("reference", 0): Budget(17.5, 23),
    ("reference", 1): Budget(67, 57),
    ("snippets", 0): Budget(3340, 3550),
    ("threshold", 0): Budget(13.8, 13.1),
}


def quiet(frames: int, signal: SampleFormat) -> np.ndarray:
    """Return noise at a thirtieth of full scale, in which there are no spikes."""
    return np.rint(np.random.default_rng(0).normal(0, 2.0 ** (signal.bits - 1) / 60, (frames, signal.channels))).astype(np.int16)


def cost(name: str, example: int, core: str, channels: int = 16) -> float:
    """Return instructions a sample, of noise after the learning window, or a spike."""
    cls, signal = REGISTRY[name], example_format(channels)
    engine = Target(core, 24 if channels <= 24 else channels)
    running = cls(list(cls.examples())[example], signal, engine=engine)
    if cls.takes == (Samples,):
        x = quiet(2400, signal)
        running.process(Samples(0, x[:1800]))
        blocks, units = (Samples(1800, x[1800:]),), x[1800:].size
    else:
        (blocks,) = cut(cls, example_signal(3000, signal), [0, 3000], signal)
        units = sum(len(block) for block in blocks if isinstance(block, Spikes))
    with engine.counting() as counts:
        running.process(*blocks)
    return counts.total / units


@pytest.mark.parametrize("core", build.CORES)
@pytest.mark.parametrize(("name", "example"), BUDGETS)
def test_stage_stays_within_its_budget(name, example, core):
    budget = getattr(BUDGETS[name, example], core.replace("-", "_"))
    assert cost(name, example, core) <= budget


@pytest.mark.parametrize(("core", "most"), [("cortex-m4", 13.4), ("rv32imc", 13.5)])
def test_energy_of_68_channels(core, most):
    assert cost("energy", 0, core, 68) <= most


def test_every_stage_has_a_budget():
    sorter = {"sorter"}  # what it costs depends on what it learned: test_implant.py has its budget
    assert {name for name in REGISTRY if has(name)} - sorter == {name for name, _ in BUDGETS}
