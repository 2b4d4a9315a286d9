"""NumPy arrays: integers to the bit, floats by the stated rule."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import BitspikeError
from sensors.recording import open_recording


def save(tmp_path, array, version=None):
    path = tmp_path / "array.npy"
    with path.open("wb") as file:
        np.lib.format.write_array(file, array, version=version)
    return path


@pytest.fixture
def values():
    return np.random.default_rng(5).integers(-32768, 32768, (3000, 4)).astype(np.int16)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<i4"])
def test_integers(tmp_path, values, version, order, dtype):
    recording = open_recording(save(tmp_path, np.array(values, dtype, order=order), version), 1000)
    assert (recording.source_format, recording.frames, recording.format.channels) == ("npy", 3000, 4)
    np.testing.assert_array_equal(recording.read(), values)
    np.testing.assert_array_equal(recording.read(11, 2222), values[11:2222])
    assert recording.read(0, 10).flags.c_contiguous


@pytest.mark.parametrize("order", ["C", "F"])
def test_channels_first_only_where_stated(tmp_path, values, order):
    path = save(tmp_path, np.array(values.T, order=order))
    np.testing.assert_array_equal(open_recording(path, 1000, 4).read(5, 50), values[5:50])
    with pytest.raises(BitspikeError, match=r"give --channels 4 .* if it is, or --channels 3000"):
        open_recording(path, 1000)
    assert open_recording(path, 1000, 3000).frames == 4


def test_floats_are_millivolts_in_steps_of_one_microvolt(tmp_path):
    millivolts = np.random.default_rng(6).normal(0, 1, 4000)
    recording = open_recording(save(tmp_path, millivolts), 1250)
    assert recording.format.uv_per_count == 1
    np.testing.assert_array_equal(recording.read()[:, 0], np.round(millivolts * 1000))


@pytest.mark.parametrize(("unit", "microvolts"), [("V", 1e6), ("mV", 1e3), ("uV", 1.0)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unit_and_step_may_be_stated(tmp_path, unit, microvolts, dtype):
    stored = (np.random.default_rng(7).normal(0, 300, (500, 2)) / microvolts).astype(dtype)
    recording = open_recording(save(tmp_path, stored), 1250, unit=unit, uv_per_count=0.25)
    assert recording.format.uv_per_count == 0.25
    assert np.abs(recording.read() * 0.25 - stored * microvolts).max() <= 0.125 + 1e-3


@pytest.mark.parametrize("bad", [np.nan, np.inf, 40.0, -32.77])
def test_what_is_no_number_or_does_not_fit_is_refused_with_its_place(tmp_path, bad, monkeypatch):
    monkeypatch.setattr("sensors.convert.PIECE_SAMPLES", 1000)
    values = np.random.default_rng(8).normal(0, 1, (3000, 2))
    values[2345, 1] = bad
    with pytest.raises(BitspikeError, match=r"array.npy: frame 2345, channel 1: ") as caught:
        open_recording(save(tmp_path, values), 1250)
    assert ("numbers only" if not np.isfinite(bad) else "does not fit 16 bits: floats are taken as mV") in str(caught.value)


def test_wide_integers_that_do_not_fit(tmp_path):
    values = np.zeros((100, 2), np.int32)
    values[42, 0] = 32768
    with pytest.raises(BitspikeError, match="frame 42, channel 0: 32768"):
        open_recording(save(tmp_path, values), 1250)


def test_floats_in_a_wrong_unit_are_noticed(tmp_path):
    volts = np.random.default_rng(9).normal(0, 1e-6, 1000)
    with pytest.raises(BitspikeError, match=r"span 0 counts only, taken as mV: give unit="):
        open_recording(save(tmp_path, volts), 1250)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3, 4), np.int16), "has 3 axes"),
        (np.zeros((0, 3), np.int16), "holds no samples"),
        (np.zeros(30, "S2"), r"dtype: samples of \|S2 are no numbers"),
        (np.zeros(30, complex), "dtype: samples of complex128 are no numbers"),
        (np.zeros(30, np.uint64), "dtype: samples of uint64 are not read; save them as integers of 8 to 32 bits, int64 or floats"),
    ],
)
def test_arrays_that_are_no_recording(tmp_path, array, message):
    with pytest.raises(BitspikeError, match=message):
        open_recording(save(tmp_path, array), 1000)


def test_damaged_files(tmp_path, values):
    path = save(tmp_path, values)
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    with pytest.raises(BitspikeError, match=f"is truncated: {len(whole) - 8} bytes of {len(whole)}"):
        open_recording(path, 1000)
    path.write_bytes(b"not an array")
    with pytest.raises(BitspikeError, match="not a readable"):
        open_recording(path, 1000)
    with pytest.raises(BitspikeError, match="rate_hz is not known"):
        open_recording(save(tmp_path, values))
    with pytest.raises(BitspikeError, match="channels is 4 by its shape, and 5 was given"):
        open_recording(save(tmp_path, values), 1000, 5)


def test_field_potentials(data):
    path = data / "lfp" / "bycycle_ca1.npy"
    recording = open_recording(path, 1250)
    np.testing.assert_array_equal(recording.read()[:, 0], np.rint(np.load(path) * 1000))
    path = data / "lfp" / "neurodsp_sample_data_2.npy"
    np.testing.assert_array_equal(open_recording(path, 1000).read()[:, 0], np.load(path))
