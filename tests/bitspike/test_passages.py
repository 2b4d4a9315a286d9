"""Simulated particles at a thousand a second through the packaged chain: all are found, and what overlaps is flagged."""

from __future__ import annotations

import numpy as np

from pipeline.blocks import DOUBLET, concatenate
from pipeline.chain import read_chain
from sensors.cytometry.parameters import CytometerParameters
from sensors.cytometry.simulator import CytometerSimulator


def test_passages_are_found():
    simulator = CytometerSimulator(CytometerParameters(seconds=0.04, rate=1000, seed=5))
    chain = read_chain("cytometry").build(simulator.format)
    parts = [chain.process(block)["tracker"] for block in simulator.blocks(1000)] + [chain.finish()["tracker"]]
    found, truth = concatenate(parts), simulator.truth()
    inside = (truth.centre_us > 400) & (truth.centre_us < 39_000)
    covered = (found.first_us[:, None] - 20 <= truth.centre_us) & (truth.centre_us <= found.last_us[:, None])
    several = covered.sum(1) > 1
    assert inside.sum() > 20
    assert covered.any(0)[inside].mean() >= 0.95
    assert np.count_nonzero(~covered.any(1)) <= 1
    assert np.mean((found.flags[several] & DOUBLET) != 0) >= 0.75
    assert np.all(found.closed_us - found.last_us <= 1000)
