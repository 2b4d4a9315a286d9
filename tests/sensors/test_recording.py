"""Reading at any place, in blocks of any size, with memory that does not grow."""

from __future__ import annotations

import hashlib
import json
import tracemalloc

import numpy as np
import pytest

from pipeline.errors import BitspikeError
from sensors.recording import Recording, Source, open_recording

RATE = 24000


@pytest.fixture
def values():
    return np.random.default_rng(3).integers(-32768, 32768, (5000, 3)).astype(np.int16)


@pytest.fixture
def raw(tmp_path, values):
    path = tmp_path / "walk.raw"
    path.write_bytes(values.astype("<i2").tobytes())
    return path


def test_facts_of_a_raw_file(raw, values):
    recording = open_recording(raw, RATE, 3, uv_per_count=0.5)
    assert isinstance(recording, Recording)
    assert isinstance(recording, Source)
    assert recording.finite
    assert (recording.name, recording.path, recording.source_format) == ("walk", raw, "raw int16")
    assert (recording.frames, recording.seconds) == (5000, 5000 / RATE)
    signal = recording.format
    assert (signal.rate_hz, signal.channels, signal.uv_per_count, signal.bits) == (RATE, 3, 0.5, 16)
    assert recording.truth is None
    np.testing.assert_array_equal(recording.read(), values)
    np.testing.assert_array_equal(recording.read(17, 4001), values[17:4001])


@pytest.mark.parametrize("size", [1, 7, 24, 999, 5000, 100_000])
@pytest.mark.parametrize("piece", [10, 1000, 1 << 21])
def test_blocks_follow_each_other(raw, values, size, piece, monkeypatch):
    monkeypatch.setattr("sensors.source.PIECE_SAMPLES", piece)
    start, stop = 123, 4567
    at, parts = start, []
    for block in open_recording(raw, RATE, 3).blocks(size, start, stop):
        assert block.start == at
        assert len(block.data) == min(size, stop - at)
        assert block.data.dtype == np.int16
        assert block.data.flags.c_contiguous
        parts.append(block.data)
        at = block.stop
    np.testing.assert_array_equal(np.concatenate(parts), values[start:stop])


def test_blocks_may_be_written_to(raw, values):
    recording = open_recording(raw, RATE, 3)
    for block in recording.blocks(100):
        block.data[:] = 0
    np.testing.assert_array_equal(recording.read(), values)


def test_memory_does_not_depend_on_length(tmp_path):
    path = tmp_path / "long.raw"
    with path.open("wb") as file:
        file.truncate(RATE * 60 * 68 * 2)  # sparse: 196 MB of zeros
    recording = open_recording(path, RATE, 68)
    tracemalloc.start()
    frames = sum(len(block.data) for block in recording.blocks(24))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert frames == RATE * 60
    assert peak < 20e6


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 4), (0, 5001)])
def test_range_must_lie_within(raw, start, stop):
    recording = open_recording(raw, RATE, 3)
    with pytest.raises(BitspikeError, match=r"walk.raw: frames .* are not within its 5000"):
        recording.read(start, stop)
    with pytest.raises(BitspikeError, match="are not within"):
        recording.blocks(10, start, stop)


def test_block_size_must_be_positive(raw):
    with pytest.raises(BitspikeError, match="block size: 0 frames"):
        open_recording(raw, RATE, 3).blocks(0)


def test_checksum_of_a_file_is_its_digest(raw):
    assert open_recording(raw, RATE, 3).checksum() == hashlib.sha256(raw.read_bytes()).hexdigest()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", ">i2", "uint16", "int32", "uint32"])
def test_stored_integers(tmp_path, dtype):
    rng = np.random.default_rng(1)
    small = np.dtype(dtype).itemsize == 1
    expected = rng.integers(-128, 128, (600, 2)) if small else rng.integers(-32768, 32768, (600, 2))
    offset = {"u": 1 << (8 * np.dtype(dtype).itemsize - 1)}.get(np.dtype(dtype).kind, 0)
    path = tmp_path / "x.bin"
    path.write_bytes(b"head" + (expected + offset).astype(np.dtype(dtype)).tobytes())
    recording = open_recording(path, RATE, 2, dtype, skip_bytes=4)
    np.testing.assert_array_equal(recording.read(), expected)
    assert recording.format.bits == (8 if small else 16)


def test_offset_and_bits_of_a_converter(tmp_path):
    stored = np.random.default_rng(2).integers(0, 4096, (500, 4)).astype("<i2")
    path = tmp_path / "adc.dat"
    path.write_bytes(stored.tobytes())
    recording = open_recording(path, RATE, 4, offset=2048, bits=12)
    assert recording.format.bits == 12
    np.testing.assert_array_equal(recording.read(), stored.astype(int) - 2048)
    with pytest.raises(BitspikeError, match=r"adc.dat: frame \d+, channel \d: .* does not fit 12 bits"):
        open_recording(path, RATE, 4, bits=12)


def test_sidecar_states_what_the_file_does_not(raw, values):
    (raw.parent / "info.json").write_text(json.dumps({"sample_rate": 15000.0, "shape": [-1, 3], "dtype": "int16"}))
    recording = open_recording(raw)
    assert (recording.format.rate_hz, recording.format.channels) == (15000, 3)
    np.testing.assert_array_equal(recording.read(), values)


def test_sidecar_of_the_same_name_wins_and_states_geometry(raw):
    (raw.parent / "info.json").write_text('{"sample_rate": 1, "shape": [-1, 1]}')
    sites = [[0, 0], [0, 20], [0, 40]]
    raw.with_suffix(".json").write_text(json.dumps({"rate_hz": RATE, "channels": 3, "positions_um": sites, "groups": [0, 0, 1]}))
    signal = open_recording(raw).format
    assert signal.positions_um == ((0.0, 0.0), (0.0, 20.0), (0.0, 40.0))
    assert signal.groups == (0, 0, 1)


BAD = [  # arguments, the file's bytes, the sidecar, what the message says
    pytest.param({"channels": 3}, b"123456", None, "rate_hz is not known from the file; give --rate HZ", id="no rate"),
    pytest.param({"rate_hz": 1e4}, b"123456", None, "channels is not known from the file; give --channels N", id="no channels"),
    pytest.param({"rate_hz": 1e4, "channels": 3}, b"", None, "is empty: 0 bytes", id="empty"),
    pytest.param({"rate_hz": 1e4, "channels": 3}, b"12345678", None, "8 bytes are no whole number of frames of 3", id="truncated"),
    pytest.param(
        {"rate_hz": 1e4, "channels": 3, "skip_bytes": 6}, b"123456", None, "is empty: 6 bytes after a header", id="header"
    ),
    pytest.param({"rate_hz": 1e4, "channels": 3, "dtype": "int12"}, b"123456", None, "dtype: 'int12'; choose", id="dtype"),
    pytest.param({"rate_hz": 1e4, "channels": 3, "dtype": "c8"}, b"123456", None, "dtype: 'c8'; choose", id="complex"),
    pytest.param(
        {"rate_hz": 1e4, "channels": 2}, b"123456", '{"shape": [-1, 3]}', "channels is 3 by info.json, and 2", id="channels"
    ),
    pytest.param({"rate_hz": 1e4}, b"123456", '{"shape": [3]}', "info.json: shape = ", id="shape"),
    pytest.param({"rate_hz": 1e4}, b"123456", '{"shape": ', "info.json: not readable as JSON", id="broken sidecar"),
    pytest.param({"rate_hz": -1, "channels": 3}, b"123456", None, "rate_hz: -1 is not a number from 0.001 to", id="rate"),
    pytest.param({"rate_hz": 1e4, "channels": 0}, b"123456", None, "channels: 0 is not a whole number", id="zero"),
    pytest.param({"rate_hz": 1e4, "channels": 3, "offset": 1 << 32}, b"123456", None, "from -2147483648 to 42949", id="offset"),
    pytest.param({"rate_hz": 1e4, "channels": 3, "unit": "A"}, b"123456", None, "unit: 'A'; choose one of V, mV, uV", id="unit"),
]


@pytest.mark.parametrize(("stated", "content", "sidecar", "message"), BAD)
def test_bad_raw_files(tmp_path, stated, content, sidecar, message):
    path = tmp_path / "bad.raw"
    path.write_bytes(content)
    if sidecar:
        (tmp_path / "info.json").write_text(sidecar)
    with pytest.raises(BitspikeError, match=message) as caught:
        open_recording(path, **stated)
    assert "\n" not in str(caught.value)


def test_file_that_shrinks_while_it_is_read(raw):
    recording = open_recording(raw, RATE, 3)
    raw.write_bytes(raw.read_bytes()[:600])
    with pytest.raises(BitspikeError, match="was cut short meanwhile"):
        recording.read(90, 120)


def test_missing_and_unknown(tmp_path):
    with pytest.raises(BitspikeError, match=r"nowhere.raw: no such file or folder"):
        open_recording(tmp_path / "nowhere.raw")
    odd = tmp_path / "song.mp3"
    odd.write_bytes(b"x")
    with pytest.raises(BitspikeError, match=r"song.mp3: unknown format"):
        open_recording(odd)
    (tmp_path / "song.raw").write_bytes(b"x")
    with pytest.raises(BitspikeError, match=r"open one of song.raw"):
        open_recording(tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(BitspikeError, match=r"none: a folder without a recording$"):
        open_recording(tmp_path / "none")


def test_locust(data):
    recording = open_recording(data / "locust" / "locust_trial_01.raw")
    stored = np.fromfile(data / "locust" / "locust_trial_01.raw", "<i2").reshape(-1, 4)
    assert (recording.format.rate_hz, recording.frames) == (15000, 431548)
    np.testing.assert_array_equal(recording.read(100_000, 200_000), stored[100_000:200_000])
