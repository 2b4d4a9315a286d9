"""``bitspike simulate cytometry``: what it writes and prints."""

from __future__ import annotations

import json

import pytest

import bitspike
from bitspike.cytometry import diameters
from bitspike.main import run

COARSE = "rate = 300\nseconds = 0.04\n[pixel]\nwidth = 160\nheight = 120\npitch_um = 60.0\n"


@pytest.fixture
def parameters(tmp_path):
    file = tmp_path / "coarse.toml"
    file.write_text(COARSE)
    return str(file)


def test_a_recording_with_its_figures_beside_measured_ones(capsys, parameters, tmp_path):
    out = str(tmp_path / "a")
    arguments = [
        "simulate",
        "cytometry",
        "--out",
        out,
        "--parameters",
        parameters,
        "--classes",
        "16,20",
        "--run",
        "2",
        "--seed",
        "5",
    ]
    assert run([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    truth = bitspike.read_particle_truth(tmp_path / "a" / "truth.npz")
    assert found["particles"] == len(truth) > 4
    assert (found["run"], found["seed"], found["seconds"]) == (2, 5, 0.04)
    assert found["measured"]["events"] == [1000, 4000]
    assert set(found["figures"]["classes"]) <= {"0", "1"}
    recording = bitspike.open_events(found["recording"])
    assert sum(len(block) for block in recording.blocks(10_000)) == found["events"]
    assert run([*arguments, "--overwrite"]) == 0
    text = capsys.readouterr().out
    for word in ("Simulated beside measured", "ON:OFF", "ring's radius", "1,000 to 4,000", "mean rate"):
        assert word in text


def test_what_is_given_overrules_the_file(capsys, parameters, tmp_path):
    given = ["--seconds", "0.005", "--rate", "0", "--classes", "12.5"]
    assert run(["simulate", "cytometry", "--out", str(tmp_path / "a"), "--parameters", parameters, *given, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["seconds"], found["particles"]) == (0.005, 0)
    made = json.loads((tmp_path / "a" / "parameters.json").read_text())
    assert [one["diameter_um"] for one in made["classes"]] == [12.5]
    assert made["pixel"]["width"] == 160


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--classes", "big"], "classes: 'big' is no list of diameters"),
        (["--rate", "-3"], "cytometer.rate: -3.0 cannot be simulated; choose 0 to 20000"),
        (["--parameters", "/nowhere.toml"], "/nowhere.toml: no such file"),
    ],
)
def test_bad_input_is_one_line(capsys, tmp_path, arguments, message):
    assert run(["simulate", "cytometry", "--out", str(tmp_path / "a"), *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "a").exists()


def test_diameters():
    assert diameters("16, 20,7.5") == (16.0, 20.0, 7.5)
