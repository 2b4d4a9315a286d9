"""The recordings that are measured on, made when first needed, and the chains."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.blocks import Samples
from pipeline.chain import Chain, ChainPlan, parse_chain
from pipeline.training import train
from sensors.folder import is_folder
from sensors.neural_simulator import simulate_neural
from sensors.recording import Recording, open_recording
from sensors.truth import Truth
from sensors.waveclus_benchmark import SpikeTrains, resynthesise

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "build" / "benchmarks"
RATE_HZ = 24_000
SEEDS = (101, 102, 103)  # of the recordings that accuracy is measured on: nothing was ever tuned on these
SPEED_SEED = 201
NOISES_UV = (5, 10, 15, 20)
MISSING = "The data are not here: set BITSPIKE_DATA."

FRONT = """
[[stage]]
name = "bandpass"
low_hz = 300
high_hz = 6000

[[stage]]
name = "reference"
kind = "{kind}"

[[stage]]
name = "threshold"
threshold = 5

[[stage]]
name = "exclusion"
radius_um = 75
"""


def kept(name: str, make: Callable[[Path], object]) -> Recording:
    """Return a recording that is made when first needed, and kept under `name` from run to run."""
    path = FOLDER / "recordings" / name
    if not is_folder(path):
        shutil.rmtree(path, ignore_errors=True)
        make(path)
    return open_recording(path)


def simulated(name: str, **parameters: Any) -> Recording:
    """Return a simulated recording."""
    return kept(name, partial(simulate_neural, **parameters))


def speed_recording() -> Recording:
    """Return 20 s of 68 channels with 34 cells."""
    return simulated("speed", channels=68, units=34, seconds=20.0, seed=SPEED_SEED)


def dense_recording(seed: int, seconds: float) -> Recording:
    """Return 64 channels with 32 cells."""
    return simulated(f"dense-{seed}-{seconds:g}", channels=64, units=32, seconds=seconds, seed=seed)


def single_recording(seed: int, noise_uv: int, seconds: float) -> Recording:
    """Return one channel with three cells."""
    name = f"single-{seed}-{noise_uv}-{seconds:g}"
    return simulated(name, channels=1, units=3, layout="wires", noise_uv=float(noise_uv), seconds=seconds, seed=seed)


def resynthesised(trains: SpikeTrains) -> Recording:
    """Return shapes and noise of our own on the true spike trains of a wave_clus file."""
    return kept(f"resynthesis-{trains.name}-{SEEDS[0]}", partial(resynthesise, trains, seed=SEEDS[0]))


def data_folder(name: str) -> Path | None:
    """Return a folder of neural data that came from elsewhere; None where it is not there."""
    data = os.environ.get("BITSPIKE_DATA")
    folder = Path(data or "") / "neural" / name
    return folder if data and folder.is_dir() else None


def truth_of(recording: Recording) -> Truth:
    """Return the truth of a simulated recording."""
    assert recording.truth is not None
    return recording.truth


def front_plan(kind: str) -> ChainPlan:
    """Return filter, reference and detection as a chain."""
    return parse_chain(FRONT.format(kind=kind), "front")


def trained(plan: ChainPlan, recording: Recording) -> Chain:
    """Return a chain that has learned from all of a recording."""
    step = round(0.1 * recording.format.rate_hz)
    learns = any(hasattr(one.stage, "fit") for one in plan.steps)
    return plan.build(recording.format, train(plan, recording.format, lambda: recording.blocks(step)) if learns else None)


def cut(data: np.ndarray, ms: float, rate_hz: float = RATE_HZ) -> list[Samples]:
    """Return a signal in blocks of `ms`."""
    size = round(ms * rate_hz / 1000)
    return [Samples(first, data[first : first + size]) for first in range(0, len(data), size)]
