"""The re-synthesis: the stated trains, peaks where the truth says, noise as loud as the name says, harder where it says so."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import signal

from pipeline.errors import BitspikeError
from sensors import waveclus_benchmark as benchmark
from sensors.recording import open_recording
from sensors.spike_shapes import random_shapes, sampled


@pytest.fixture(scope="module")
def trains(tmp_path_factory):
    """Trains of our own, in the form of the truth file: 900 spikes, some overlapping, the last cut off by the end."""
    path = tmp_path_factory.mktemp("trains") / "trains.npz"
    rng = np.random.default_rng(4)
    columns = {}
    for name in ("C_Easy1_noise005", "C_Easy1_noise02", "C_Difficult2_noise005"):
        onset = np.sort(rng.choice(np.arange(200, 1_430_000, 200), 900, replace=False))
        onset[::9] = onset[1::9][: len(onset[::9])] - 20
        onset = np.append(np.sort(onset), benchmark.FRAMES - 5)
        gap = np.diff(onset)
        columns[f"{name}__onset_sample_1based"] = (onset + 1).astype(np.int32)
        columns[f"{name}__unit"] = rng.integers(1, 4, len(onset)).astype(np.uint8)
        columns[f"{name}__overlap"] = (np.append(gap < 64, False) | np.append(False, gap < 64)).astype(np.uint8)
    np.savez(path, **columns)
    return path


@pytest.fixture(scope="module")
def made(trains, tmp_path_factory):
    told = []
    recordings = benchmark.write_waveclus_benchmark(trains, tmp_path_factory.mktemp("made"), seed=5, progress=told.append)
    assert told[-1] == 1
    return {r.name.removeprefix("resynthesis_"): r for r in recordings}


def test_facts(made, trains):
    assert list(made) == ["C_Difficult2_noise005", "C_Easy1_noise005", "C_Easy1_noise02"]
    for name, recording in made.items():
        assert (recording.frames, recording.format.rate_hz, recording.format.channels) == (1_440_000, 24000, 1)
        assert recording.format.uv_per_count == 0.1
        info = json.loads((recording.path / "info.json").read_text())
        assert info["label"].startswith("bitspike re-synthesis")
        assert (info["trains"], info["seed"]) == (name, 5)


def test_trains_are_those_given(made, trains):
    given = np.load(trains)
    for name, recording in made.items():
        unit, overlap = given[f"{name}__unit"], given[f"{name}__overlap"]
        onset = given[f"{name}__onset_sample_1based"].astype(int) - 1
        truth = recording.truth
        assert len(truth) == len(onset) - 1  # the last has its peak beyond the end
        for u in range(3):
            first, peak = onset[:-1][unit[:-1] == u + 1], truth.sample[truth.unit == u]
            offset = np.sort(peak) - first
            assert offset.max() - offset.min() <= 1  # the peak falls between two samples
            assert 10 <= offset.min() <= offset.max() <= 30
        assert truth.overlap.sum() == overlap[:-1].sum()


def test_spikes_peak_where_the_truth_says(made):
    for recording in made.values():
        x, truth = recording.read()[:, 0].astype(float), recording.truth
        for u in range(3):
            at = truth.sample[(truth.unit == u) & ~truth.overlap]
            mean = x[at[:, None] + np.arange(-30, 31)].mean(axis=0)
            assert np.abs(mean).argmax() == 30
            assert mean[30] == pytest.approx(1000, rel=0.06)


def test_noise_is_as_loud_as_the_name_says(made):
    for name, recording in made.items():
        level = benchmark.difficulty(name)[1]
        x = recording.read()[:, 0] / 1000
        clear = np.ones(len(x), bool)
        for sample in recording.truth.sample:
            clear[max(0, sample - 40) : sample + 70] = False
        clear[-100:] = False
        assert x[clear].std() == pytest.approx(level, rel=0.03)
        assert abs(x[clear].mean()) < 0.05 * level
        assert recording.truth.snr == pytest.approx(np.full(3, 1 / level), rel=0.1)
        frequency, power = signal.welch(x[clear], 24000, nperseg=1024)  # the noise has the spectrum of spikes, not a flat one
        spikes, hiss = power[(frequency > 500) & (frequency < 3000)].mean(), power[frequency > 9000].mean()
        assert spikes > 10 * hiss


def test_difficult_shapes_are_closer_and_noise_leaves_them_alone(made):
    closest = {n: min(json.loads((r.path / "info.json").read_text())["parameters"]["distances"]) for n, r in made.items()}
    assert closest["C_Easy1_noise005"] == closest["C_Easy1_noise02"] > 1.5 * closest["C_Difficult2_noise005"]


def test_same_seed_same_bytes(trains, made, tmp_path):
    (again,) = benchmark.write_waveclus_benchmark(trains, tmp_path, ["C_Easy1_noise02"], seed=5)
    (other,) = benchmark.write_waveclus_benchmark(trains, tmp_path / "other", ["C_Easy1_noise02"], seed=6)
    assert again.checksum() == made["C_Easy1_noise02"].checksum() != other.checksum()


def test_shapes_have_peak_one_and_end_at_zero():
    rng = np.random.default_rng(3)
    shapes = sampled(random_shapes(200, 0.3, rng), 24000, 4)
    assert shapes.shape == (200, 4, 65)
    peak = np.abs(shapes).max(axis=2)
    assert (peak <= 1 + 1e-4).all()  # the true peak is sought on a fine grid
    assert (peak > 0.9).all()
    assert np.abs(shapes[:, :, [0, -1]]).max() < 0.01
    fine = sampled(random_shapes(200, 0.3, np.random.default_rng(3)), 96000, 1)[:, 0]
    np.testing.assert_allclose(shapes[:, 1, 1:60], fine[:, 3:239:4], atol=1e-12)  # phase 1 is a quarter of a sample later


@pytest.mark.parametrize(
    ("name", "family", "level"),
    [("C_Easy1_noise005", "Easy1", 0.05), ("C_Difficult2_noise015", "Difficult2", 0.15), ("C_Easy1_noise04", "Easy1", 0.4)],
)
def test_names(name, family, level):
    assert benchmark.difficulty(name) == (family, level)


def test_bad_input(trains, tmp_path):
    with pytest.raises(BitspikeError, match=r"song: is no name of a wave_clus file"):
        benchmark.difficulty("song")
    with pytest.raises(BitspikeError, match=r"has no file 'C_Easy9'; it has C_Difficult2_noise005"):
        benchmark.write_waveclus_benchmark(trains, tmp_path, ["C_Easy9"])
    with pytest.raises(BitspikeError, match=r"nothing.npz: no such file"):
        benchmark.read_trains(tmp_path / "nothing.npz")
    bad = tmp_path / "bad.npz"
    bad.write_bytes(b"PK not at all")
    with pytest.raises(BitspikeError, match=r"bad.npz: not a readable .npz file"):
        benchmark.read_trains(bad)
    np.savez(bad, x=np.arange(3))
    with pytest.raises(BitspikeError, match=r"bad.npz: holds no spike trains"):
        benchmark.read_trains(bad)
    np.savez(bad, C_Easy1_noise01__onset_sample_1based=[1, 2])
    with pytest.raises(BitspikeError, match=r"bad.npz: no column C_Easy1_noise01__unit"):
        benchmark.read_trains(bad)
    columns = {"C__onset_sample_1based": [5, 2], "C__unit": [1, 1], "C__overlap": [0, 0]}
    np.savez(bad, **columns)
    with pytest.raises(BitspikeError, match=r"the columns of C do not belong together"):
        benchmark.read_trains(bad)
    np.savez(bad, **{**columns, "C__onset_sample_1based": [5, 1_440_001]})
    with pytest.raises(BitspikeError, match=r"C has onsets beyond its 1440000 samples"):
        benchmark.read_trains(bad)


def test_real_trains(data, tmp_path):
    trains = benchmark.read_trains(data / "quiroga_truth" / "quiroga16_gt.npz")
    assert len(trains) == 16
    assert sum(len(t.onset) for t in trains.values()) == 55_330
    assert sum(int(t.overlap.sum()) for t in trains.values()) == 12_639
    recording = benchmark.resynthesise(trains["C_Easy1_noise005"], tmp_path / "one")
    assert len(open_recording(tmp_path / "one").truth) == len(recording.truth) == 3514
