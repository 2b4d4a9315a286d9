"""Every kind of bad input to what takes events: one clear line on standard error, status 2, and nothing left behind."""

from __future__ import annotations

import errno
import gzip
import json
import os
import sys

import numpy as np
import pytest

from bitspike.main import run
from pipeline.checks import example_events, example_sensor
from sensors.events import write_events

SENSOR = example_sensor(80, 60)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a sound recording as every format has it."""
    folder, events = tmp_path_factory.mktemp("events"), example_events(3000, SENSOR)
    files = {}
    for name in ("made.raw", "made.dat", "made.es", "made.aedat", "made.npy", "made.csv"):
        write_events(folder / name, [events], sensor=SENSOR)
        files[name.rpartition(".")[2]] = folder / name
    return files


@pytest.fixture(params=["replay", "info"])
def command(request):
    return request.param


def test_missing_empty_and_folders(refused, command, tmp_path):
    assert "no such file" in refused(command, tmp_path / "none.aedat4")
    for name in ("a.raw", "a.es", "a.aedat4", "a.aedat", "a.csv", "a.h5"):
        (tmp_path / name).touch()
        assert refused(command, tmp_path / name) == f"{tmp_path / name}: is empty: 0 bytes"


@pytest.mark.parametrize(("kind", "end"), [("raw", b"% end\n"), ("csv", b"t,x,y,p\n")])
def test_a_header_without_events(refused, made, tmp_path, kind, end):
    whole = made[kind].read_bytes()
    (tmp_path / f"a.{kind}").write_bytes(whole[: whole.index(end) + len(end)])
    line = refused("replay", tmp_path / f"a.{kind}")
    assert line.startswith(f"{tmp_path / f'a.{kind}'}: ")
    assert "holds no events" in line


def test_damaged_beyond_use(refused, command, tmp_path):
    for name, content, says in (
        ("a.aedat4", b"#!AER-DAT4.0\r\n" + bytes(100), "not a whole AEDAT 4 file"),
        ("a.es", b"Event Strea", "not an Event Stream"),
        ("a.aedat", b"#!AER-DAT3.1\r\n" + bytes(100), "AEDAT 3 is not read; convert it to AEDAT 4"),
        ("a.csv", b"t,x,y,p\n1,2,a,1\n", "has no whole numbers t, x, y and p; mend the line"),
        ("b.csv", b"t,x,y,p\n5,2,3,1\n4,2,3,1\n", "t goes back from 5 to 4 us; sort the file by time"),
        ("c.csv", b"name,digit\n1,2\n", "events have t, x, y and p"),
        ("a.tar.xz", b"\xfd7zXZ\x00" + bytes(100), "is packed (xz); unpack it"),
        ("a.gz", gzip.compress(bytes(100)), "is packed (gzip); unpack it"),
        ("a.xyz", bytes(100), "unknown format"),
    ):
        (tmp_path / name).write_bytes(content)
        line = refused(command, tmp_path / name)
        assert line.startswith(f"{tmp_path / name}: ")
        assert says in line


@pytest.mark.parametrize("command", ["replay", "info"])
@pytest.mark.parametrize("name", ["a.raw", "a.dat", "a.bin"])
def test_no_header_may_be_of_either_kind(refused, command, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(np.random.default_rng(1).bytes(5003))
    line = refused(command, path)
    for says in ("begins with no header", "electrodes need --rate HZ and --channels N", "bitspike convert it with --format"):
        assert says in line
    if name != "a.bin":
        assert "no known event format; give format=" in refused("convert", path, "out.npy")


def test_a_raw_file_without_header_is_converted_as_said(made, tmp_path):
    whole = made["raw"].read_bytes()
    (tmp_path / "a.raw").write_bytes(whole[whole.index(b"% end\n") + 6 :])
    said = ("--format", "evt3", "--width", "80", "--height", "60")
    assert run(["convert", str(tmp_path / "a.raw"), str(tmp_path / "b.raw"), *said]) == 0
    assert (tmp_path / "b.raw").read_bytes() == whole


@pytest.mark.parametrize("command", ["replay", "info", "convert"])
def test_pipes_and_folders(refused, command, tmp_path):
    out = ["out.npy"] if command == "convert" else []
    for name in ("a.raw", "a"):
        os.mkfifo(tmp_path / name)
        line = refused(command, tmp_path / name, *out)
        assert line == f"{tmp_path / name}: is a pipe or a device; save the recording to a file first, and give that"
    (tmp_path / "b.raw").mkdir()
    assert f"{tmp_path / 'b.raw'}: a folder" in refused(command, tmp_path / "b.raw", *out)


@pytest.mark.parametrize("name", ["a.bs2", "a.bin"])
def test_five_byte_events_cut_short(capsys, tmp_path, name):
    events = example_events(3000, SENSOR)
    path = write_events(tmp_path / name, [events], sensor=SENSOR, from_zero=True)
    path.write_bytes(path.read_bytes()[:-2])
    assert run(["info", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["format"], found["events"], found["damage"]) == ("nmnist", len(events) - 1, {"cut": 3})


def test_bad_options(refused, made):
    raw = made["raw"]
    for options, says in (
        (("--chain", "probe"), "is for electrodes, and the recording is of events; choose another --chain"),
        (("--chain", "none"), "packaged chains: camera, cytometry"),
        (("--set", "tracker.bin_us=3"), "no stage is labelled 'tracker'; there are: hot_pixels, background"),
        (("--set", "background.window_us=0"), "window_us"),
        (("--start", "9"), "start: 9 s is not within the recording's 0.00"),
        (("--start", "nan"), "start: nan"),
        (("--stop", "inf"), "stop: inf s is no time; leave it out to go on to the recording's end"),
        (("--start", "0.001", "--stop", "0.001"), "stop: 0.001 s is not after the start"),
        (("--block-ms", "0"), "block_ms: 0; give a length"),
        (("--block-ms", "nan"), "block_ms: nan"),
        (("--speed", "3x"), "speed: '3x'; choose one of max, 1x"),
        (("--on", "toaster"), "on: 'toaster'; choose one of host"),
        (("--learn", "online"), "--learn: not for event recordings; leave it out"),
        (("--trained", "x"), "--trained: not for event recordings; leave it out"),
        (("--width", "20000", "--height", "3"), "20000 x 3 is no event camera"),
    ):
        assert says in refused("replay", raw, *options)
    assert "is of an event camera, and this takes samples" in refused("train", raw)


@pytest.mark.parametrize("where", ["bitspike.columns.Column.append", "bitspike.session.Session.checkpoint", "numpy.save"])
def test_full_disk(refused, made, monkeypatch, where):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("bitspike.playing.CHECKPOINT_EVERY_NS", 0)
    monkeypatch.setattr(where, full)
    line = refused("replay", made["raw"], "--out", "results/run")
    assert line == "results/run: the disk is full; free some space, or write to another disk"


def test_what_is_there_is_left_alone(refused, made, tmp_path):
    mine = tmp_path / "place" / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    assert "is not the result of a replay; choose another --out" in refused("replay", made["raw"], "--out", mine)
    assert np.array_equal([path.name for path in mine.iterdir()], ["thesis.txt"])


def test_runs_without_what_is_asked_for(refused, made, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    out = tmp_path / "run"
    assert run(["replay", str(made["raw"]), "--out", str(out)]) == 0
    capsys.readouterr()
    assert "has no truth.npz beside it; name the truth" in refused("score", out)
    assert "finds no particles; replay with --chain cytometry" in refused("score", out, tmp_path / "truth.npz")
    assert "--after: not for runs of events" in refused("score", out, "--after", 1)
    assert "no sorted units to export" in refused("export", out, "--phy", "phy")


@pytest.mark.parametrize(
    ("blocked", "arguments", "extra"),
    [
        ("matplotlib", ("replay", "{raw}", "--plot"), "plot"),
        ("dv_processing", ("replay", "{aedat4}"), "events"),
        ("dv_processing", ("info", "{aedat4}"), "events"),
    ],
)
def test_missing_extra(refused, made, monkeypatch, tmp_path, blocked, arguments, extra):
    (tmp_path / "a.aedat4").write_bytes(b"#!AER-DAT4.0\r\n" + bytes(100))
    for name in [module for module in sys.modules if module == blocked or module.startswith(f"{blocked}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, blocked, None)
    known = {"raw": made["raw"], "aedat4": tmp_path / "a.aedat4"}
    line = refused(*(argument.format(**known) for argument in arguments))
    assert f"needs the '{extra}' extra: pip install 'bitspike[{extra}]'" in line
