"""Simulated recordings: their truth is where the spikes are, and the same seed gives the same bytes."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from pipeline.errors import BitspikeError, MissingExtraError
from sensors.neural_simulator import simulate_neural
from sensors.recording import open_recording
from sensors.sites import electrode_sites

pytest.importorskip("spikeinterface")


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """One cell at each of four wires, hardly any noise."""
    folder = tmp_path_factory.mktemp("quiet") / "quiet"
    return simulate_neural(folder, channels=4, units=4, seconds=5, noise_uv=0.1, layout="wires", amplitude_uv=(80, 200), seed=3)


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dense") / "dense"
    return simulate_neural(folder, channels=12, units=5, seconds=10.7, rate_hz=32000, noise_uv=9, amplitude_uv=(60, 300), seed=11)


def test_every_spike_is_tagged_at_its_trough(quiet):
    x, truth = quiet.read(), quiet.truth
    assert len(truth) > 50
    assert (truth.peak_channel == [0, 1, 2, 3]).all()
    for sample, unit in zip(truth.sample, truth.unit, strict=True):
        around = np.arange(max(0, sample - 12), min(len(x), sample + 13))
        assert around[np.argmin(x[around, truth.peak_channel[unit]])] == sample


def test_no_spike_goes_untold(quiet):
    x, truth = quiet.read().astype(int), quiet.truth
    found = [
        (n, c) for c in range(4) for n in np.flatnonzero(x[1:-1, c] < -200) + 1 if x[n, c] == x[max(0, n - 12) : n + 13, c].min()
    ]
    told = set(zip(truth.sample.tolist(), truth.peak_channel[truth.unit].tolist(), strict=True))
    assert {(int(n), c) for n, c in found} <= told
    assert len(found) > 0.95 * len(truth)


def test_mean_waveforms(dense):
    x, truth = dense.read() * dense.format.uv_per_count, dense.truth
    for unit in range(truth.units):
        at = truth.sample[truth.unit == unit]
        at = at[(at > 40) & (at < len(x) - 40)]
        mean = x[at[:, None] + np.arange(-40, 40)].mean(axis=0)
        frame, channel = np.unravel_index(mean.argmin(), mean.shape)
        assert (frame, channel) == (40, truth.peak_channel[unit])
        assert -mean[frame, channel] / 9 == pytest.approx(truth.snr[unit], rel=0.15)
        assert truth.firing_hz[unit] == pytest.approx((truth.unit == unit).sum() / 10.7)


def test_facts(dense):
    signal = dense.format
    assert (signal.rate_hz, signal.channels, signal.uv_per_count, signal.bits) == (32000, 12, 0.195, 16)
    assert dense.frames == round(10.7 * 32000)
    assert signal.positions_um[:3] == ((0.0, 0.0), (20.0, 0.0), (0.0, 20.0))
    info = json.loads((dense.path / "info.json").read_text())
    assert info["seed"] == 11
    assert info["parameters"]["noise_uv"] == 9
    assert info["generator"].startswith("spikeinterface 0.")


def test_noise_is_as_loud_as_asked(dense):
    x = dense.read() * dense.format.uv_per_count
    clear = np.ones(len(x), bool)
    for sample in dense.truth.sample:
        clear[max(0, sample - 40) : sample + 100] = False
    assert x[clear].std(axis=0) == pytest.approx(np.full(12, 9.0), rel=0.02)
    assert abs(np.corrcoef(x[clear].T) - np.eye(12)).max() < 0.05


def test_same_seed_same_bytes(tmp_path):
    made = [simulate_neural(tmp_path / name, channels=3, seconds=2.5, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    assert made[0].checksum() == made[1].checksum() != made[2].checksum()
    assert open_recording(tmp_path / "a").truth.units == 3


@pytest.mark.parametrize("jitter", [1, 4])
def test_layouts(tmp_path, jitter):
    progress = []
    recording = simulate_neural(
        tmp_path / "t", channels=8, units=4, seconds=1.5, layout="tetrodes", jitter=jitter, seed=5, progress=progress.append
    )
    assert recording.format.groups == (0, 0, 0, 0, 1, 1, 1, 1)
    assert progress[-1] == 1.0
    assert progress == sorted(progress)
    assert (recording.truth.peak_channel // 4 == [0, 1, 0, 1]).all()


def test_one_channel(tmp_path):
    recording = simulate_neural(tmp_path / "one", channels=1, seconds=1, seed=5)
    assert recording.format.channels == 1
    assert recording.truth.units == 3


def test_sites_are_distinct():
    for layout in ("probe", "tetrodes", "wires"):
        sites, groups = electrode_sites(layout, 70)
        assert len(set(sites)) == len(sites) == len(groups) == 70
        for a in range(70):
            for b in range(a):
                far = np.hypot(sites[a][0] - sites[b][0], sites[a][1] - sites[b][1])
                assert far >= (20 if groups[a] == groups[b] else 150)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"channels": 0}, "channels: 0 cannot be simulated; choose 1 to 4096"),
        ({"seconds": 0}, "seconds: 0 cannot"),
        ({"noise_uv": -1}, "noise_uv: -1 cannot"),
        ({"layout": "ring"}, "layout: ring cannot be simulated; choose one of probe, tetrodes, wires"),
        ({"firing_hz": (5, 2)}, "firing_hz"),
        ({"volume": 11}, "unexpected keyword argument 'volume'; parameters are: channels, "),
        ({"channels": 2, "seconds": 1, "uv_per_count": 1e-4}, "does not fit 16 bits: choose a larger uv_per_count"),
    ],
)
def test_bad_parameters(tmp_path, parameters, message):
    with pytest.raises(BitspikeError, match=message):
        simulate_neural(tmp_path / "x", **parameters)
    assert list(tmp_path.iterdir()) == []


def test_missing_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "spikeinterface", None)
    with pytest.raises(MissingExtraError, match="needs the 'ephys' extra"):
        simulate_neural(tmp_path / "x", channels=2, seconds=1)
