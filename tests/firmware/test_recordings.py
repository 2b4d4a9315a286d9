"""Real recordings through the packaged chains: every output of every stage with a C twin is the host's, to the bit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import firmware
from firmware.build import CORES
from firmware.native import Native
from firmware.target import Target
from pipeline.blocks import Spikes
from pipeline.chain import read_chain
from pipeline.checks import require_same
from pipeline.stage import HOST
from sensors.recording import open_recording

SAMPLES, BLOCK = 100_000, 1000


@pytest.fixture(scope="module", params=["locust/locust_trial_01.raw", "n1_implant/0d08cc99-4ea4-4728-a3c3-6ba5631ee6f9.wav"])
def recording(request):
    folder = os.environ.get("BITSPIKE_DATA")
    if not folder:
        pytest.skip("BITSPIKE_DATA is not set: it names the folder of real recordings")
    return open_recording(Path(folder) / "neural" / request.param)


@pytest.mark.parametrize("chain", ["psoc68", "probe"])
@pytest.mark.parametrize("name", ["native", *CORES])
def test_recording_gives_the_same_bits(recording, chain, name):
    plan, engine = read_chain(chain), Native() if name == "native" else Target(name, 24)
    here = plan.build(recording.format)
    there = plan.build(recording.format, engine=lambda stage: engine if firmware.has(stage.name) else HOST)
    spikes = 0
    for block in recording.blocks(BLOCK, stop=min(recording.frames, SAMPLES // recording.format.channels)):
        expected, got = here.process(block), there.process(block)
        for label in expected:
            require_same(label, f"{recording.name} on {name} from frame {block.start}", got[label], expected[label])
        spikes += sum(len(output) for output in expected.values() if isinstance(output, Spikes))
    assert spikes > 0
