"""`bitspike tables` and `bitspike cost` of a chain of events: it compiles, sums are sums, what does not fit is said."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace

import pytest

from bitspike.costing import UW_PER_MHZ, cost
from bitspike.generating import tables
from bitspike.main import run
from firmware import build
from firmware.tables import read_image
from pipeline.chain import parse_chain
from pipeline.checks import example_events, example_sensor
from pipeline.errors import BitspikeError
from sensors.events import open_events, write_events

SENSOR = example_sensor(64, 48)
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
PLAN = parse_chain(CHAIN, "small")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """The same events in both formats that there is a decoder for, and in another."""
    folder, events = tmp_path_factory.mktemp("events"), example_events(12_000, SENSOR, seed=3)
    names = {"evt2": "two.raw", "evt3": "three.raw", "dat": "made.dat"}
    return {kind: write_events(folder / name, [events], kind, sensor=SENSOR) for kind, name in names.items()}


@pytest.fixture(scope="module")
def found(recordings):
    return cost(PLAN, recordings["evt3"], seconds=0.005, on=["cortex-m4"])


def test_instructions_of_every_stage(found):
    (core,) = found.cores
    decoder, hot, background, tracker = core.stages
    assert [stage.label for stage in core.stages] == ["decoder", "hot_pixels", "background", "tracker"]
    assert decoder.stage == found.decoder == "evt3"
    assert 40 < decoder.instructions / decoder.samples < 100  # the host's encoder sends each event's row and time
    assert 40 < hot.instructions / hot.samples < 80
    assert 80 < background.instructions / background.samples < 110
    assert tracker.spikes < hot.spikes == hot.samples  # the tracker takes what the filters leave
    assert 100 < tracker.instructions / tracker.spikes < 300
    for stage in core.stages:
        assert stage.instructions < stage.cycles < 4 * stage.instructions
        assert min(stage.code_bytes, stage.table_bytes, stage.state_bytes, stage.stack_bytes) > 0


def test_sums(found):
    (core,) = found.cores
    about = core.document()
    assert about["instructions_per_event"] == pytest.approx(sum(s["instructions_per_event"] for s in about["stages"]))
    assert about["uw"] == pytest.approx(UW_PER_MHZ * about["cycles_per_event"] * about["events_per_s"] / 1e6)
    assert about["events_per_s_in_25_mhz"] * about["cycles_per_event"] == pytest.approx(25e6, rel=1e-3)
    assert core.memory.stack < core.memory.stack_room
    assert core.memory.ram > sum(stage.state_bytes for stage in core.stages) + core.memory.rings + core.memory.stack_room
    assert core.fits


def test_command_says_what_does_not_fit(capsys, recordings, tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(CHAIN)
    some = ["cost", str(path), "--seconds", "0.002", "--on", "cortex-m4"]
    assert run([*some, str(recordings["evt2"]), "--ram", "30"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for word in (
        "cortex-m4: instructions, counted",
        "decoder of EVT2",
        "events a second",
        "does NOT fit in 30 KiB; crop",
        "64 x 48",
    ):
        assert word in text
    assert run([*some, str(recordings["dat"]), "--json"]) == 0
    (core,) = json.loads(capsys.readouterr().out)["cores"]
    assert [stage["label"] for stage in core["stages"]] == ["hot_pixels", "background", "tracker"]
    assert core["fits"] is True


@pytest.mark.parametrize("kind", ["evt2", "dat"])
def test_tables_compile_and_hold_the_decoders_too(recordings, tmp_path, kind):
    made = tables(PLAN, tmp_path / "out", like=open_events(recordings[kind]))
    root, sent = build.ROOT.parent, "evt2" if kind == "evt2" else "evt3"
    (tmp_path / "objects").mkdir()
    command = made.command().replace("firmware/", f"{root}/firmware/").replace("src/*.c", f"src/{sent}.c")
    subprocess.run(f"{command} -Wall -Wextra -Wconversion -Werror", shell=True, check=True, cwd=tmp_path / "objects")
    image = read_image(made.files["image"])
    assert image.entries[sent, "decoder"] == bytes([64, 0, 0, 0, 48, 0, 0, 0])
    assert set(image.tables(made.generated.chain)) == {"hot_pixels", "background", "tracker"}
    about = made.document()
    assert (about["width"], about["height"], about["decoder"]) == (64, 48, sent)
    assert [stage["label"] for stage in about["stages"]] == ["decoder", "hot_pixels", "background", "tracker"]
    assert about["capacity"]["columns"] == 64


def test_a_region_saves_memory(tmp_path):
    """What only the stages behind the region hold is laid out for the region."""
    region = '[[stage]]\nname = "region"\nleft = 8\nwidth = 24\nheight = 20\n\n'
    cropped = parse_chain(CHAIN.replace("[[stage]]", region + "[[stage]]", 1), "cropped")
    whole, part = (tables(plan, tmp_path / plan.name, like=SENSOR) for plan in (PLAN, cropped))
    assert (part.capacity.columns, part.capacity.rows) == (24, 20)
    sizes = [{s["label"]: s["ram_bytes"] for s in made.stages()} for made in (whole, part)]
    assert sizes[0]["background"] == 8 + 4 * 66 * 50
    assert sizes[1]["background"] == 8 + 4 * 26 * 22


def test_tables_for_a_stated_sensor(capsys, tmp_path):
    assert run(["tables", "cytometry", "--width", "32", "--height", "24", "-o", str(tmp_path)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for word in ("32 x 24 pixels, of a camera that sends EVT3", "cytometry_decode", "BS_MAX_COLUMNS=32", "time surface"):
        assert word in text


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["cost", "cytometry", "{raw}", "--seconds", "0"], "seconds: 0; choose up to 60"),
        (["cost", "cytometry", "{raw}", "--ram", "0"], "ram: 0 KiB; choose 1"),
        (["cost", "cytometry", "{raw}", "--start", "5"], "start: 5 s is not within the recording's"),
        (["cost", "psoc68", "{raw}"], "three.raw"),
        (["tables", "cytometry", "--events", "3"], "events: 3; choose 12 to 65536"),
        (["tables", "cytometry", "--width", "30"], "width, height: give both"),
        (["tables", "cytometry", "--like", "none.raw"], "none.raw: no such file"),
    ],
)
def test_bad_input_is_one_line(capsys, recordings, tmp_path, monkeypatch, arguments, complaint):
    monkeypatch.chdir(tmp_path)
    assert run([a.format(raw=recordings["evt3"]) for a in arguments]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


def test_nothing_to_count(tmp_path):
    events = example_events(600, SENSOR)
    late = replace(events, start=900_000, stop=900_600, t_us=events.t_us + 900_000)
    path = write_events(tmp_path / "gap.raw", [events, late], sensor=SENSOR)
    with pytest.raises(BitspikeError, match=r"gap.raw: no events in the stretch to count; choose another --start"):
        cost(PLAN, open_events(path), start_s=0.3, seconds=0.1)
