"""bitspike's own recording folders, and the truth in them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.blocks import SampleFormat
from pipeline.errors import BitspikeError
from sensors.folder import write_folder
from sensors.recording import open_recording
from sensors.truth import Truth, read_truth

SIGNAL = SampleFormat(24000, 3, 0.195, 12, ((0.0, 0.0), (0.0, 20.0), (5.0, 40.0)), (0, 0, 1))
VALUES = np.random.default_rng(1).integers(-2048, 2048, (1000, 3)).astype(np.int16)
TRUTH = Truth(
    sample=np.array([5, 5, 700, 999]),
    unit=np.array([0, 1, 1, 0], np.int32),
    peak_channel=np.array([2, 0], np.int32),
    snr=np.array([7.5, np.nan]),
    firing_hz=np.array([48.0, 48.0]),
    overlap=np.array([True, True, False, False]),
)


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "made", SIGNAL, [VALUES[:300], VALUES[300:]], TRUTH, {"seed": 7})


@pytest.mark.parametrize("inside", ["", "recording.raw", "info.json"])
def test_round_trip(folder, inside):
    recording = open_recording(folder / inside)
    assert (recording.name, recording.source_format, recording.path) == ("made", "bitspike", folder)
    assert recording.format == SIGNAL
    np.testing.assert_array_equal(recording.read(), VALUES)
    assert recording.truth.units == 2
    for name in ("sample", "unit", "peak_channel", "snr", "firing_hz", "overlap"):
        read, written = getattr(recording.truth, name), getattr(TRUTH, name)
        assert read.dtype == written.dtype
        np.testing.assert_array_equal(read, written)
    assert json.loads((folder / "info.json").read_text())["seed"] == 7


def test_samples_are_little_endian_frames(folder):
    assert (folder / "recording.raw").read_bytes() == VALUES.astype("<i2").tobytes()
    assert sorted(p.name for p in folder.parent.iterdir()) == ["made"]


def test_checksum_is_that_of_the_list_of_digests(folder):
    lines = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in ("info.json", "recording.raw", "truth.npz")]
    assert open_recording(folder).checksum() == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_same_values_same_bytes(folder, tmp_path):
    again = write_folder(tmp_path / "again", SIGNAL, [VALUES], TRUTH, {"seed": 7})
    assert open_recording(again).checksum() == open_recording(folder).checksum()


def test_nothing_is_overwritten_unless_asked(folder, tmp_path):
    with pytest.raises(BitspikeError, match="made: exists already: choose another name, or overwrite it"):
        write_folder(folder, SIGNAL, [VALUES])
    write_folder(folder, SIGNAL, [VALUES[:10]], overwrite=True)
    assert open_recording(folder).frames == 10
    assert open_recording(folder).truth is None
    (tmp_path / "mine").mkdir()
    with pytest.raises(BitspikeError, match=r"mine: exists already: choose another name$"):
        write_folder(tmp_path / "mine", SIGNAL, [VALUES], overwrite=True)


def test_a_failure_leaves_nothing_behind(tmp_path):
    def chunks():
        yield VALUES
        raise BitspikeError("no more")

    with pytest.raises(BitspikeError, match="no more"):
        write_folder(tmp_path / "made", SIGNAL, chunks())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk(tmp_path, monkeypatch):
    class Full:
        """A file on a disk without room."""

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def write(self, data):
            with open("/dev/full", "wb", buffering=0) as file:  # noqa: PTH123
                file.write(data)

    monkeypatch.setattr("pathlib.Path.open", lambda self, *args, **kwargs: Full())
    with pytest.raises(BitspikeError, match="made: cannot be written: No space left on device"):
        write_folder(tmp_path / "made", SIGNAL, [VALUES])
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def edit(folder, **changes):
    info = json.loads((folder / "info.json").read_text())
    (folder / "info.json").write_text(json.dumps({**info, **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "info.json: version 2, and this bitspike reads version 1"),
        ({"format": "other"}, 'info.json: does not say "format": "bitspike recording"'),
        ({"frames": 2000}, "recording.raw: is truncated, or shape is wrong: 1000 frames, and info.json says 2000"),
        ({"shape": [-1, 4], "positions_um": None, "groups": None}, "shape is wrong: 750 frames"),
        ({"groups": [0, 1]}, "groups: 2 entries for 3 channels"),
        ({"bits": 11}, r"frame \d+, channel \d: .* does not fit 11 bits"),
        ({"shape": [-1, 1], "positions_um": None, "groups": None, "frames": 3000}, "truth.npz: peak_channel goes beyond"),
    ],
)
def test_damaged_info(folder, changes, message):
    edit(folder, **changes)
    with pytest.raises(BitspikeError, match=message):
        open_recording(folder)


def test_broken_json(folder):
    (folder / "info.json").write_text("{")
    with pytest.raises(BitspikeError, match=r"info.json: not readable as JSON"):
        open_recording(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unit": np.array([0], np.int32)}, "unit has 1 entries for 4 spikes"),
        ({"unit": np.array([0, 1, 2, 0], np.int32)}, "unit goes from 0 to 2 where there are 2 units"),
        ({"overlap": np.array([True])}, "overlap has 1 entries for 4 spikes"),
        ({"snr": np.zeros(3)}, "snr and firing_hz must have one entry for each of the 2 units"),
        ({"sample": np.array([9, 5, 700, 999])}, "sample is not ascending"),
        ({"sample": np.array(9)}, r"sample is of shape \[\]; write one row of numbers"),
        ({"sample": TRUTH.sample[:, None]}, r"sample is of shape \[4, 1\]; write one row of numbers"),
        ({"peak_channel": np.array([2, -1], np.int32)}, "peak_channel is -1 for a unit; count channels from 0"),
        ({"peak_channel": np.array([2, 3], np.int32)}, "peak_channel goes beyond the recording's 3 channels"),
        ({"sample": np.array([5, 5, 700, 1000])}, "sample goes beyond the recording's 1000 frames"),
    ],
)
def test_damaged_truth(folder, changes, message):
    columns = {name: getattr(TRUTH, name) for name in TRUTH.__dataclass_fields__}
    Truth(**{**columns, **changes}).write(folder / "truth.npz")
    with pytest.raises(BitspikeError, match=f"truth.npz: {message}"):
        open_recording(folder)


def test_unreadable_truth(folder):
    truth = folder / "truth.npz"
    whole = truth.read_bytes()
    truth.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BitspikeError, match=r"truth.npz: not a readable truth file"):
        open_recording(folder)
    np.savez(truth, sample=TRUTH.sample)
    with pytest.raises(BitspikeError, match=r"truth.npz: no column unit"):
        open_recording(folder)
    with pytest.raises(BitspikeError, match="no such file"):
        read_truth(folder / "nothing.npz")
