"""`bitspike verify` of a chain of events: no difference where there is none, and a difference named by event and particle."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from bitspike.event_decoding import compare_decoders
from bitspike.event_verifying import generated_events
from bitspike.main import run
from bitspike.verifying import verify
from firmware import build
from firmware.comparing import Comparison, Tally, compare
from firmware.native import Native
from pipeline.chain import parse_chain
from pipeline.checks import example_events, example_sensor
from sensors.events import open_events, write_events

SENSOR = example_sensor(64, 48)
EVENTS = example_events(6000, SENSOR, seed=3)
CHAIN = """
[sensor]
kind = "events"

[[stage]]
name = "hot_pixels"
learn_ms = 2

[[stage]]
name = "background"
window_us = 150

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


@pytest.fixture
def chain(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(CHAIN)
    return str(path)


def test_recording_on_all_twins(capsys, chain, tmp_path):
    path = write_events(tmp_path / "made.npy", [EVENTS], sensor=SENSOR)
    assert run(["verify", chain, str(path), "--width", "64", "--height", "48", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["differences"], found["events"], found["width"], found["without"]) == (0, len(EVENTS), 64, [])
    assert {s["engine"] for s in found["stages"]} == {"native", "cortex-m4", "rv32imc"}
    counts = {s["label"]: s["samples"] for s in found["stages"]}
    assert counts["hot_pixels"] > counts["background"] > 500
    assert counts["tracker"] > 3
    assert "decoder" not in counts


@pytest.mark.parametrize("kind", ["evt2", "evt3"])
def test_the_decoder_too_where_the_recording_is_of_words(kind, tmp_path):
    path = write_events(tmp_path / "made.raw", [EVENTS], kind, sensor=SENSOR)
    found = verify(parse_chain(CHAIN), path)
    assert [(t.label, t.stage, t.engine) for t in found.tallies[:2]] == [
        ("decoder", kind, "native"),
        ("decoder", kind, "cortex-m4"),
    ]
    assert found.differences == 0
    assert found.tallies[0].samples == found.frames == len(EVENTS)


def test_a_decoder_that_is_wrong_is_named(tmp_path):
    root = tmp_path / "firmware"
    shutil.copytree(build.ROOT, root, ignore=shutil.ignore_patterns("__pycache__", "harden"))
    source = root / "src/evt3.c"
    for other in build.sources(root):
        if other.stem not in ("evt3", "version"):
            other.unlink()
    text = source.read_text()
    recording = open_events(write_events(tmp_path / "made.raw", [EVENTS], sensor=SENSOR))
    for old, new, place in (
        ("line = place;", "line = place ^ 1u;", "event at 0 us, y: "),
        ("state->unknown++;", "state->others++;", "unknown: 0, on the host 1"),
    ):
        source.write_text(text.replace(old, new))
        engine = Native(build.host_library(["gcc"], "-O0", 24, root))
        if "unknown" in old:
            recording.path.write_bytes(recording.path.read_bytes() + b"\x00\xb0")
            recording = open_events(recording.path)
        (tally,) = compare_decoders(recording, [engine])
        assert tally.differences > 0
        assert tally.first.startswith(f"decoder (evt3) on native: {place}")


def test_generated_events(capsys, chain):
    assert run(["verify", chain, "--generated", "30000", "--width", "50", "--height", "40", "--on", "native"]) == 0
    text = capsys.readouterr().out
    assert "events of 50 x 40 pixels" in text
    assert text.count("decoder ") == 2  # of both formats, on damaged words


def test_generated_events_are_what_they_say():
    blocks = list(generated_events(SENSOR, 60_000, 1))
    assert sum(map(len, blocks)) >= 60_000
    assert all(a.stop <= b.start for a, b in pairwise(blocks))
    assert len({b.stop - b.start for b in blocks}) > 20
    t = np.concatenate([b.t_us for b in blocks])
    assert (np.diff(t) >= 0).all()
    assert max(int(b.x.max(initial=0)) for b in blocks) > SENSOR.width  # what lies outside is among them
    again = np.concatenate([b.x for b in generated_events(SENSOR, 60_000, 1)])
    np.testing.assert_array_equal(again, np.concatenate([b.x for b in blocks]))


def test_the_stage_that_is_wrong_is_named(tmp_path):
    root = tmp_path / "firmware"
    shutil.copytree(build.ROOT, root, ignore=shutil.ignore_patterns("__pycache__", "harden"))
    source = root / "src/background.c"
    assert "near >= tables->neighbours" in source.read_text()
    source.write_text(source.read_text().replace("near >= tables->neighbours", "near > tables->neighbours"))
    engine = Native(build.host_library(["gcc"], "-O0", 24, root))
    comparison = Comparison(parse_chain(CHAIN), SENSOR, [engine])
    comparison.take(EVENTS)
    hot, background, _ = comparison.tallies
    assert hot.differences == 0
    assert background.differences > 100
    assert background.first.startswith("background (background) on native: block at 0: t_us is (")
    assert "window = 150" in background.first


def test_the_place_is_an_event_or_a_particle():
    chain = parse_chain(CHAIN).build(SENSOR)
    outputs = chain.process(EVENTS)
    events, particles = outputs["background"], outputs["tracker"]
    moved, slower = events.y.copy(), particles.velocity.copy()
    moved[7] += 1
    slower[2, 1] -= 4
    for label, got, expected, place in (
        ("background", replace(events, y=moved), events, f"event at {events.t_us[7]} us, y: {moved[7]}, on the host {events.y[7]}"),
        (
            "tracker",
            replace(particles, velocity=slower),
            particles,
            f"particle {particles.track[2]}, velocity[1]: {slower[2, 1]}, ",
        ),
    ):
        tally = Tally(label, label, "native")
        compare(tally, got, expected, label, chain.stages[label].tables)
        assert tally.differences == 1
        assert f"{label} on native: {place}" in tally.first


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["cytometry"], "verify: name a RECORDING, or say how many samples shall be --generated"),
        (["cytometry", "none.raw"], "none.raw: no such file"),
        (["cytometry", "--generated", "10", "--width", "2000", "--height", "2"], "native: compiled for at most 1280 columns"),
        (["cytometry", "--generated", "10", "--on", "mips"], "on: 'mips'; choose one of native, cortex-m4, rv32imc"),
    ],
)
def test_bad_input_is_one_line(capsys, arguments, complaint):
    assert run(["verify", *arguments]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
