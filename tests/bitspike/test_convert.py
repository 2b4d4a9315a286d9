"""``bitspike convert`` and ``bitspike info`` of event recordings."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import bitspike
from bitspike.main import app, run

COLUMNS = ("t_us", "x", "y", "p")


@pytest.fixture
def recording(tmp_path):
    """300 events on 64 x 48 pixels, as EVT3."""
    rng = np.random.default_rng(9)
    t = np.sort(rng.integers(5000, 90_000, 300))
    columns = (rng.integers(0, n, 300).astype(k) for n, k in ((64, np.uint16), (48, np.uint16), (2, np.uint8)))
    events = bitspike.Events(0, 0, t, *columns)
    return bitspike.open_events(bitspike.write_events(tmp_path / "a.raw", [events], sensor=bitspike.EventFormat(64, 48)))


def document(capsys, *arguments):
    assert run([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refusal(capsys, *arguments):
    assert run(list(map(str, arguments))) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def test_through_every_format_and_back(tmp_path, recording, capsys):
    pytest.importorskip("dv_processing", reason="AEDAT 4 goes through the events extra")
    pytest.importorskip("h5py", reason="HDF5 goes through the events extra")
    at, steps = recording.path, ["b.aedat4", "c.dat", "d.aedat", "e.es", "f.bin", "g.npy", "h.csv", "i.h5", "j.raw"]
    for step in steps:
        found = document(capsys, "convert", at, tmp_path / step, "--width", 64, "--height", 48)
        assert (found["events"], found["damage"]) == (300, {})
        at = tmp_path / step
    for column in COLUMNS:
        np.testing.assert_array_equal(getattr(bitspike.open_events(at).read(), column), getattr(recording.read(), column))
    assert at.read_bytes() == recording.path.read_bytes()


def test_formats_by_name(tmp_path, recording, capsys):
    for name in ("evt2", "evt21", "dat1"):
        out = tmp_path / ("b.dat" if name == "dat1" else f"{name}.raw")
        assert document(capsys, "convert", recording.path, out, "--to", name)["format"] == name
        assert document(capsys, "info", out)["format"] == name
    assert run(["convert", str(recording.path), str(tmp_path / "zero.raw"), "--from-zero"]) == 0
    assert "zero.raw: 300 events as evt3" in " ".join(capsys.readouterr().out.split())
    assert document(capsys, "info", tmp_path / "zero.raw")["first_us"] == 0


def test_info(recording, capsys):
    events = recording.read()
    found = document(capsys, "info", recording.path)
    expected = {
        "kind": "events",
        "path": str(recording.path),
        "format": "evt3",
        "width": 64,
        "height": 48,
        "size_from": "the header",
        "events": 300,
        "brighter": int(events.p.sum()),
        "first_us": int(events.t_us[0]),
        "last_us": int(events.t_us[-1]),
        "damage": {},
        "ignored": {},
    }
    assert {key: found[key] for key in expected} == expected
    assert found["rate_hz"] == pytest.approx(300 / (int(events.t_us[-1] - events.t_us[0]) / 1e6))
    assert run(["info", str(recording.path)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for text in ("evt3", "64 x 48 pixels, by the header", "300: ", "damage none"):
        assert text in shown


def test_info_reports_damage(recording, capsys):
    content = recording.path.read_bytes()
    recording.path.write_bytes(content + np.array([0xB000, 0xA101, 0x202F, 0x207F], "<u2").tobytes() + b"\x00")
    found = document(capsys, "info", recording.path)
    assert found["damage"] == {"outside": 1, "unknown": 1, "cut": 1}
    assert found["ignored"] == {"triggers": 1}
    assert found["events"] == 301
    assert run(["info", str(recording.path)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "1 events outside the sensor; 1 words of no known type; 1 bytes left over at the end" in shown
    assert "1 external triggers" in shown


def test_refusals(tmp_path, recording, capsys):
    assert "exists already" in refusal(capsys, "convert", recording.path, recording.path)
    assert "--overwrite" in CliRunner().invoke(app, ["convert", "--help"]).stdout
    assert "not clear from the name" in refusal(capsys, "convert", recording.path, tmp_path / "b.xyz")
    assert "no such file" in refusal(capsys, "convert", tmp_path / "none.raw", tmp_path / "b.dat")
    assert "64 x 48 by the header" in refusal(capsys, "info", recording.path, "--width", "9", "--height", "9")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.raw"]


def test_samples_are_still_samples(tmp_path, capsys):
    np.random.default_rng(1).normal(0, 300, 8000).astype("<i2").tofile(tmp_path / "a.raw")
    found = document(capsys, "info", tmp_path / "a.raw", "--rate", 1000, "--channels", 4)
    assert (found["kind"], found["frames"]) == ("recording", 2000)


def test_real_files(tmp_path, capsys):
    folder = os.environ.get("BITSPIKE_DATA")
    if not folder:
        pytest.skip("BITSPIKE_DATA is not set: it names the folder of real recordings")
    pytest.importorskip("dv_processing", reason="AEDAT 4 goes through the events extra")
    source = Path(folder) / "events" / "evt3" / "evt3_sample.raw"
    for name, kind in (("a.aedat4", None), ("b.dat", None), ("c.raw", "evt3"), ("d.raw", "evt21"), ("e.raw", "evt2")):
        document(capsys, "convert", source, tmp_path / name, *(("--to", kind) if kind else ()))
        source = tmp_path / name
    original, back = (
        bitspike.open_events(Path(folder) / "events" / "evt3" / "evt3_sample.raw").read(),
        bitspike.open_events(source).read(),
    )
    for column in COLUMNS:
        np.testing.assert_array_equal(getattr(original, column), getattr(back, column))
