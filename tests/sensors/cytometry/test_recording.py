"""The folder of a simulated cytometer: events, truth and parameters belong together, and nothing is left behind on errors."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pipeline.errors import BitspikeError
from sensors.cytometry.parameters import read_parameters
from sensors.cytometry.recording import simulate_cytometry
from sensors.cytometry.simulator import CytometerSimulator
from sensors.cytometry.truth import COLUMNS, read_particle_truth
from sensors.events import open_events


@pytest.fixture(scope="module")
def short(coarse):
    return coarse.with_(seconds=0.02)


@pytest.fixture(scope="module")
def written(short, tmp_path_factory):
    said = []
    made = simulate_cytometry(tmp_path_factory.mktemp("cytometry") / "run", short, progress=said.append)
    assert said == sorted(said)
    assert said[-1] == 1.0
    return made


def columns(path):
    blocks = list(open_events(path).blocks(5000))
    return [np.concatenate([getattr(block, name) for block in blocks]) for name in ("t_us", "x", "y", "p")]


def test_the_file_holds_the_simulators_events(written, short):
    blocks = list(CytometerSimulator(short).blocks())
    for found, name in zip(columns(written.recording), ("t_us", "x", "y", "p"), strict=True):
        assert (found == np.concatenate([getattr(block, name) for block in blocks])).all()
    assert open_events(written.recording).format.with_(pitch_um=60.0) == written.format
    assert written.events == sum(map(len, blocks))


def test_truth_and_parameters_stand_beside_it(written, short):
    truth = read_particle_truth(written.path / "truth.npz")
    assert all((getattr(truth, name) == getattr(written.truth, name)).all() for name in COLUMNS)
    assert len(truth) > 3
    assert read_parameters(written.path / "parameters.json") == short
    info = json.loads((written.path / "info.json").read_text())
    assert (info["events"], info["particles"], info["width"]) == (written.events, len(truth), 160)
    assert info["conditions"]["focus"] == written.run.focus
    assert sorted(p.name for p in written.path.iterdir()) == ["info.json", "parameters.json", "recording.raw", "truth.npz"]


def test_what_was_written_can_be_simulated_again(written, tmp_path):
    again = simulate_cytometry(tmp_path / "again", read_parameters(written.path / "parameters.json"))
    for name in ("truth.npz", "parameters.json", "info.json"):
        assert (again.path / name).read_bytes() == (written.path / name).read_bytes()
    assert all((a == b).all() for a, b in zip(columns(again.recording), columns(written.recording), strict=True))


def test_changes_are_taken(short, tmp_path):
    made = simulate_cytometry(tmp_path / "x", short, classes=(12, 18.5), rate=0, seconds=0.005)
    assert [c.diameter_um for c in made.parameters.classes] == [12.0, 18.5]
    assert len(made.truth) == 0
    assert made.figures["passages"] == 0


def test_only_its_own_folders_are_replaced(short, written, tmp_path):
    tiny = short.with_(rate=0, seconds=0.002)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(BitspikeError, match=r"mine: exists already: choose another name$"):
        simulate_cytometry(tmp_path / "mine", tiny, overwrite=True)
    simulate_cytometry(tmp_path / "run", tiny)
    with pytest.raises(BitspikeError, match="exists already: choose another name, or overwrite it"):
        simulate_cytometry(tmp_path / "run", tiny)
    simulate_cytometry(tmp_path / "run", tiny, overwrite=True, seed=3)
    assert read_parameters(tmp_path / "run" / "parameters.json").seed == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "run"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"volume": 11}, "unexpected keyword argument 'volume'; parameters are: seconds, rate, run"),
        ({"rate": -1}, "cytometer.rate: -1 cannot be simulated; choose 0 to 20000"),
        ({"classes": (16, 900)}, "class.diameter_um: 900.0 cannot be simulated; choose 2 to 60"),
    ],
)
def test_bad_parameters_leave_nothing_behind(tmp_path, changes, message):
    with pytest.raises(BitspikeError, match=message):
        simulate_cytometry(tmp_path / "x", **changes)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(short, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BitspikeError, match="cannot be written"):
        simulate_cytometry(tmp_path / "file" / "x", short.with_(rate=0, seconds=0.002))
