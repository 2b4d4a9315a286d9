"""Every real recording, beside figures that other software made of it: `benchmarks.oracles`."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from sensors.events import open_events

FIGURES = json.loads((Path(__file__).parents[2] / "fixtures" / "events" / "digests.json").read_text(encoding="utf-8"))
COLUMNS = {"t_us": "<i8", "x": "<u2", "y": "<u2", "p": "u1"}


@pytest.mark.parametrize("name", FIGURES)
def test_same_as_other_readers(data, name, tmp_path):
    if "aedat4" in name:
        pytest.importorskip("dv_processing", reason="AEDAT 4 is read through the events extra")
    path = data / name
    if path.suffix == ".xz":
        with tarfile.open(path) as archive:
            archive.extractall(tmp_path, filter="data")
        path = next(tmp_path.iterdir())
    if path.is_dir():
        paths = sorted(path.iterdir(), key=lambda p: int(p.stem))
        parts = [open_events(one, 34, 34).read() for one in paths]
    else:
        parts = [open_events(path).read()]
    found = {c: np.concatenate([getattr(part, c) for part in parts]).astype(kind) for c, kind in COLUMNS.items()}
    expected = FIGURES[name]
    assert len(found["t_us"]) == expected["events"]
    assert [int(c[0]) for c in found.values()] == expected["first"]
    assert [int(c[-1]) for c in found.values()] == expected["last"]
    assert [hashlib.sha256(c.tobytes()).hexdigest() for c in found.values()] == list(expected["sha256"].values())


def test_sensors_are_known(data):
    sizes = {
        "evt2/evt2_sample.raw": ((640, 480), "the camera's name"),
        "evt3/evt3_sample.raw": ((1280, 720), "the camera's name"),
        "dat/sample_ncars.dat": ((128, 128), "the events"),
        "es/dvs.es": ((320, 240), "the header"),
        "aedat2/IMU_rotDisk.aedat": ((240, 180), "the header"),
        "nmnist/train/1.bin": ((34, 34), "the events"),
        "dvs_gesture/1.bs2": ((128, 128), "the events"),
    }
    for name, (size, source) in sizes.items():
        recording = open_events(data / name)
        assert ((recording.format.width, recording.format.height), recording.size_from) == (size, source), name


def test_what_is_passed_over_is_counted(data):
    """The DAVIS recording holds samples of frames and motion besides; counted here from its records by NumPy."""
    path = data / "aedat2" / "IMU_rotDisk.aedat"
    content = path.read_bytes()
    skip = 0
    while content[skip : skip + 1] == b"#":
        skip = content.index(b"\n", skip) + 1
    address = np.frombuffer(content[skip:], ">u4")[::2]
    plain = (address & 0x80000400) == 0
    recording = open_events(path)
    assert recording.summary().events == plain.sum()
    assert recording.counts["others"] == (~plain).sum()
