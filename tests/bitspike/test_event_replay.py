"""Replay of events: what a run holds, and that it does not depend on how it was run."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bitspike.event_replay import replay_events
from bitspike.event_runs import is_event_run
from bitspike.main import run
from pipeline.blocks import EVENT_COLUMNS, PARTICLE_COLUMNS
from pipeline.chain import parse_chain
from pipeline.checks import example_events, example_sensor
from pipeline.errors import BitspikeError
from sensors.events import open_events, write_events

CHAIN = """
[sensor]
kind = "events"

[[stage]]
name = "background"
window_us = 150
save = true

[[stage]]
name = "tracker"
seed_px = 4
seed_events = 6
reach_px = [12, 12]
least_events = 60
busy_events = 2
grid = [8, 6, 4]
cell_px = 5
follow = true
"""
SENSOR = example_sensor(80, 60)
EVENTS = example_events(20_000, SENSOR, seed=2)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("events") / "made.raw"
    write_events(path, [EVENTS], sensor=SENSOR)
    return path


def replayed(recording, folder, **how):
    return replay_events(recording, parse_chain(CHAIN, "small"), folder, **how)


def test_a_run_is_what_the_chain_gives(recording, tmp_path):
    done = replayed(recording, tmp_path / "run")
    chain = parse_chain(CHAIN).build(open_events(recording).format)
    events = open_events(recording).read()
    outputs, rest = chain.process(events), chain.finish()
    assert is_event_run(done.path)
    assert done.sensor.width == SENSOR.width
    for name in EVENT_COLUMNS:
        assert np.array_equal(getattr(done.events("background"), name), getattr(outputs["background"], name))
    assert len(done.particles) == len(outputs["tracker"]) + len(rest["tracker"]) > 5
    for name in PARTICLE_COLUMNS:
        expected = np.concatenate([getattr(outputs["tracker"], name), getattr(rest["tracker"], name)])
        assert np.array_equal(getattr(done.particles, name), expected), name
    counts = done.manifest.counts
    assert counts["events"] == len(EVENTS)
    assert counts["kept"] == {"background": len(outputs["background"])}
    assert counts["particles"] == len(done.particles)


def test_the_result_depends_on_the_recording_and_the_chain_only(recording, tmp_path):
    results = []
    for block_ms, on in ((1.0, "host"), (0.137, "host"), (10.0, "native")):
        done = replayed(recording, tmp_path / "run", block_ms=block_ms, on=on)
        files = {
            p.relative_to(done.path).as_posix(): p.read_bytes() for p in sorted(done.path.rglob("*.npy")) if "tables" not in p.parts
        }
        results.append((files, done.manifest.counts))
    assert results[0] == results[1] == results[2]
    assert "particles/tensor.npy" in results[0][0]


def test_a_stretch_of_it(recording, tmp_path):
    done = replayed(recording, tmp_path / "run", start_s=0.005, stop_s=0.012)
    first = int(EVENTS.t_us[0])
    assert done.manifest.counts["events"] == np.count_nonzero((EVENTS.t_us >= first + 5000) & (EVENTS.t_us < first + 12_000))
    assert done.seconds == pytest.approx(0.007)


def test_on_the_command_line(recording, tmp_path, capsys):
    command = ["replay", str(recording), "--chain", "cytometry", "--out", str(tmp_path / "run")]
    assert run([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["counts"]["events"] == len(EVENTS)
    assert run(["info", str(tmp_path / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"] == found["counts"]
    assert run(command) == 0
    assert "particles" in capsys.readouterr().out


@pytest.mark.parametrize("option", [("--resume",), ("--learn", "online"), ("--trained", "x"), ("--plot",)])
def test_options_for_samples_are_refused(recording, option, capsys):
    if option == ("--plot",):
        pytest.importorskip("matplotlib")
    assert run(["replay", str(recording), "--chain", "cytometry", *option]) == 2
    assert "not for event recordings" in capsys.readouterr().err


def test_what_cannot_be_replayed_is_refused(recording, tmp_path):
    for how, words in (
        ({"start_s": 9.0}, "start"),
        ({"start_s": 0.01, "stop_s": 0.005}, "stop"),
        ({"block_ms": 0.0}, "block_ms"),
        ({"speed": "2x"}, "speed"),
        ({"on": "toaster"}, "on"),
    ):
        with pytest.raises(BitspikeError, match=words):
            replayed(recording, tmp_path / "run", **how)
    with pytest.raises(BitspikeError, match="is for electrodes"):
        replay_events(recording, "probe", tmp_path / "run")
    with pytest.raises(BitspikeError, match="saved no events"):
        replayed(recording, tmp_path / "run").events("tracker")
    assert list(tmp_path.iterdir()) == [tmp_path / "run"]
    text = '[sensor]\nkind = "events"\n[[stage]]\nname = "polarity"\n'
    without = replay_events(recording, parse_chain(text), tmp_path / "other")
    with pytest.raises(BitspikeError, match="finds no particles"):
        _ = without.particles
