"""wave_clus files: scale, rate, and the truth tagged at each unit's peak."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat

from pipeline.errors import BitspikeError
from sensors.recording import open_recording

RATE, FRAMES = 24000, 120_000
PEAKS, SIGNS = (22, 17, 30), (1.0, 1.0, -0.8)


def cell(*arrays):
    """A MATLAB row of cells."""
    row = np.empty((1, len(arrays)), object)
    for i, array in enumerate(arrays):
        row[0, i] = np.atleast_2d(array)
    return row


@pytest.fixture(scope="module")
def benchmark():
    """A trace as in the benchmark: shapes of 64 samples, laid at their onsets, with some pairs that overlap."""
    rng = np.random.default_rng(12)
    onset = np.sort(rng.choice(np.arange(100, FRAMES - 200, 100), 600, replace=False))
    onset[50:100:2] = onset[51:101:2] - rng.integers(2, 40, 25)
    onset = np.sort(onset)
    unit = rng.integers(1, 4, 600)
    data = rng.normal(0, 0.05, FRAMES)
    t = np.arange(64)
    for first, u in zip(onset, unit, strict=True):
        data[first : first + 64] += SIGNS[u - 1] * np.exp(-(((t - PEAKS[u - 1]) / 4) ** 2))
    gaps = np.diff(onset)
    overlap = np.append(gaps < 64, False) | np.append(False, gaps < 64)
    return data, onset, unit, overlap


def save(path, benchmark, **changes):
    data, onset, unit, overlap = benchmark
    fields = {
        "data": data[None],
        "samplingInterval": 1000 / RATE,
        "spike_times": cell(onset + 1),
        "spike_class": cell(unit, overlap.astype(np.uint8), np.zeros(len(unit))),
        "chan": 1,
    }
    savemat(path, {name: value for name, value in {**fields, **changes}.items() if value is not None})
    return path


def test_trace_in_thousandths(tmp_path, benchmark):
    recording = open_recording(save(tmp_path / "C_Easy1_noise005.mat", benchmark))
    assert (recording.source_format, recording.frames) == ("wave_clus", FRAMES)
    assert (recording.format.rate_hz, recording.format.channels, recording.format.uv_per_count) == (RATE, 1, 0)
    np.testing.assert_array_equal(recording.read()[:, 0], np.rint(benchmark[0] * 1000))
    np.testing.assert_array_equal(recording.read(500, 600)[:, 0], np.rint(benchmark[0][500:600] * 1000))


def test_truth_is_tagged_at_the_peaks(tmp_path, benchmark):
    _, onset, unit, overlap = benchmark
    truth = open_recording(save(tmp_path / "a.mat", benchmark)).truth
    expected = sorted(zip((onset + np.array(PEAKS)[unit - 1]).tolist(), (unit - 1).tolist(), overlap.tolist(), strict=True))
    assert list(zip(truth.sample.tolist(), truth.unit.tolist(), truth.overlap.tolist(), strict=True)) == expected
    assert truth.snr == pytest.approx(np.abs(SIGNS) / 0.05, rel=0.1)
    assert truth.firing_hz == pytest.approx(np.bincount(unit - 1) * RATE / FRAMES)
    assert (truth.peak_channel == 0).all()


def test_unit_numbers_need_not_follow_each_other(tmp_path, benchmark):
    unit = benchmark[2] * 10
    truth = open_recording(save(tmp_path / "a.mat", benchmark, spike_class=unit)).truth
    assert truth.units == 3
    np.testing.assert_array_equal(np.bincount(truth.unit), np.bincount(benchmark[2] - 1))
    assert len(truth.overlap) == 0


def test_rate_as_sr_and_units_of_volts(tmp_path, benchmark):
    volts = benchmark[0] * 1e-4
    path = save(tmp_path / "a.mat", benchmark, data=volts, samplingInterval=None, sr=30000, spike_times=None)
    recording = open_recording(path, unit="V", uv_per_count=0.1)
    assert (recording.format.rate_hz, recording.format.uv_per_count, recording.truth) == (30000, 0.1, None)
    np.testing.assert_array_equal(recording.read()[:, 0], np.rint(volts * 1e7))


def test_integers_stay(tmp_path, benchmark):
    stored = np.random.default_rng(1).integers(-500, 500, (2, 3000)).astype(np.int16)
    recording = open_recording(save(tmp_path / "a.mat", benchmark, data=stored, spike_times=None))
    np.testing.assert_array_equal(recording.read(), stored.T)


def nan_at(data, where):
    copy = data.copy()
    copy[where] = np.nan
    return copy


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": None}, "has no field data, and so no trace; it holds samplingInterval"),
        ({"data": "abc"}, "is no trace"),
        ({"samplingInterval": None}, "rate_hz is not known"),
        ({"samplingInterval": -1}, "samplingInterval is no positive number"),
        ({"spike_class": cell([1, 2])}, "do not have one entry for each spike"),
        ({"spike_times": cell(np.full(600, FRAMES + 1))}, "spike_times go beyond the trace's 120000 samples"),
        ({"data": lambda data: nan_at(data, 4321)}, "frame 4321, channel 0: the sample is nan"),
        ({"data": lambda data: data * 30}, "does not fit 16 bits: floats become 1000 counts of one; give unit="),
    ],
)
def test_bad_files(tmp_path, benchmark, changes, message):
    ready = {name: value(benchmark[0]) if callable(value) else value for name, value in changes.items()}
    with pytest.raises(BitspikeError, match=message):
        open_recording(save(tmp_path / "a.mat", benchmark, **ready))


def test_damaged_and_later_versions(tmp_path, benchmark):
    path = save(tmp_path / "a.mat", benchmark)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BitspikeError, match=r"a.mat: not a readable MATLAB file"):
        open_recording(path)
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(600))
    with pytest.raises(BitspikeError, match=r"is a MATLAB file of version 7.3; save it with -v7"):
        open_recording(path)


def test_contradicted_rate(tmp_path, benchmark):
    with pytest.raises(BitspikeError, match=r"rate_hz is 24000.0 by its fields, and 30000 was given"):
        open_recording(save(tmp_path / "a.mat", benchmark), 30000)


def test_spikes_without_a_trace(data):
    with pytest.raises(BitspikeError, match="has no field data, and so no trace; it holds ec_threshold"):
        open_recording(data / "hc1_d533101" / "d533101.mat")
