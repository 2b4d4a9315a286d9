"""Simulated recordings that the tests share."""

from __future__ import annotations

import pytest

from sensors.cytometry.parameters import CytometerParameters, Drift, Pixel
from sensors.cytometry.simulator import CytometerSimulator

COARSE = Pixel(width=160, height=120, pitch_um=60.0, hot_pixels=2)  # the same sensor with a sixteenth of the pixels


@pytest.fixture(scope="session")
def coarse():
    """Parameters of a recording that is quick to simulate: few pixels, many particles."""
    return CytometerParameters(seconds=0.15, rate=500.0, seed=11, pixel=COARSE)


@pytest.fixture(scope="session")
def made(coarse):
    """The simulator, its labelled blocks, and its truth."""
    simulator = CytometerSimulator(coarse)
    blocks = list(simulator.labelled_blocks())
    return simulator, blocks, simulator.truth()


@pytest.fixture(scope="session")
def full():
    """A sixth of a second of the instrument as it is, undrifted."""
    simulator = CytometerSimulator(CytometerParameters(seconds=0.16, seed=1, drift=Drift(0, 0, 0, 0, 0, 0)))
    return simulator, list(simulator.blocks()), simulator.truth()
