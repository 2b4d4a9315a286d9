"""The examples run as they stand, and say what they should."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SAYS = {
    "01_replay_and_score": "sorting accuracy",
    "02_own_chain": "spikes",
    "03_train_once": "learned",
    "04_spikeinterface": "SpikeInterface sees",
    "05_particles": "particles found,",
}


def test_every_example_is_listed():
    assert sorted(path.stem for path in (ROOT / "examples").glob("*.py")) == sorted(SAYS)


@pytest.mark.parametrize("name", SAYS)
def test_example_runs(name, tmp_path):
    if name != "05_particles":
        pytest.importorskip("spikeinterface", reason="the examples simulate recordings of electrodes, which needs the ephys extra")
    script = ROOT / "examples" / f"{name}.py"
    run = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), "made"],
        cwd=tmp_path,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert SAYS[name] in run.stdout
