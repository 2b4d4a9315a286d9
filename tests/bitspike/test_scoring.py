"""Scores against SpikeInterface's own, brute force, and cases counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat

from bitspike.runner import replay
from bitspike.scoring import (
    between,
    find_truth,
    mean_accuracy,
    score,
    score_detection,
    score_sorting,
    without_overlaps,
)
from pipeline.errors import BitspikeError
from sensors.recording import open_recording
from sensors.truth import Truth

RATE_HZ = 24_000.0


def truth_of(sample, unit, channels=(0, 1, 2), overlap=()):
    order = np.argsort(sample, kind="stable")
    n = len(channels)
    flags = np.array(overlap, bool)[order] if len(overlap) else np.empty(0, bool)
    sample, unit = np.asarray(sample, np.int64)[order], np.asarray(unit, np.int32)[order]
    return Truth(sample, unit, np.array(channels, np.int32), np.full(n, 8.0), np.full(n, 5.0), flags)


def sorted_like(truth, rng, lost=0.1, extra=40, jitter=6):
    """Sort a truth with faults: spikes lost, moved, given to other units and made up."""
    kept = rng.random(len(truth)) > lost
    sample = truth.sample[kept] + rng.integers(-jitter, jitter + 1, kept.sum())
    names = rng.permutation(truth.units) + 3
    unit = names[truth.unit[kept]]
    wrong = rng.random(len(unit)) < 0.05
    unit[wrong] = names[rng.integers(0, truth.units, wrong.sum())]
    sample = np.concatenate([sample, rng.integers(0, truth.sample[-1], extra)])
    unit = np.concatenate([unit, rng.integers(-1, truth.units + 5, extra)])
    order = np.argsort(sample, kind="stable")
    return sample[order].astype(np.int64), unit[order].astype(np.int32)


@pytest.mark.parametrize("seed", range(4))
def test_sorting_is_scored_as_spikeinterface_does(seed):
    comparison = pytest.importorskip("spikeinterface.comparison")
    core = pytest.importorskip("spikeinterface.core")
    rng = np.random.default_rng(seed)
    steps = 60 + rng.exponential(4000, (5, 300)).astype(np.int64)  # refractory: beyond the tolerance, so all matchings agree
    trains = np.cumsum(steps, axis=1)
    truth = truth_of(trains.ravel(), np.repeat(np.arange(5), 300), channels=range(5))
    sample, unit = sorted_like(truth, rng)
    mine = {u.unit: u for u in score_sorting(truth, sample, unit, int(0.4e-3 * RATE_HZ), 0.5)}
    true = core.NumpySorting.from_samples_and_labels([truth.sample], [truth.unit], RATE_HZ)
    known = unit >= 0
    tested = core.NumpySorting.from_samples_and_labels([sample[known]], [unit[known]], RATE_HZ)
    theirs = comparison.compare_sorter_to_ground_truth(true, tested, delta_time=0.4).get_performance()
    for u in range(5):
        assert mine[u].accuracy == pytest.approx(theirs.accuracy[u], abs=2e-3)
        assert mine[u].recall == pytest.approx(theirs.recall[u], abs=2e-3)
        assert mine[u].precision == pytest.approx(theirs.precision[u], abs=2e-3)
    assert np.mean([u.accuracy for u in mine.values()]) > 0.7


def test_units_are_counted_by_hand():
    truth = truth_of([100, 200, 300, 400, 1000, 1100], [0, 0, 0, 0, 1, 1], channels=(0, 1))
    sample, unit = np.array([101, 205, 299, 700, 1001, 5000]), np.array([7, 7, 7, 7, 9, -1])
    one, other = score_sorting(truth, sample, unit, 5, 0.5)
    assert (one.partner, one.tp, one.fn, one.fp) == (7, 3, 1, 1)
    assert one.accuracy == 3 / 5
    assert (other.partner, other.tp, other.fn, other.fp) == (9, 1, 1, 0)
    (strict,) = [u for u in score_sorting(truth, sample, unit, 5, 0.55) if u.unit == 1]
    assert (strict.partner, strict.tp, strict.accuracy) == (-1, 0, 0.0)


def test_detection_is_counted_by_brute_force():
    rng = np.random.default_rng(5)
    group_of = np.array([0, 0, 1, 1])
    channels = np.array([0, 3, 2])
    truth = truth_of(rng.integers(0, 60_000, 500), rng.integers(0, 3, 500), channels)
    good = np.array([True, False, True])
    sample, channel = np.sort(rng.integers(0, 60_000, 400)), rng.integers(0, 4, 400)
    found = score_detection(truth, good, sample, channel, group_of[:, None] == group_of, 12)
    true_group = group_of[channels[truth.unit]]
    hits = [
        any(abs(s - t) <= 12 and group_of[c] == g for s, c in zip(sample, channel, strict=True))
        for t, u, g in zip(truth.sample, truth.unit, true_group, strict=True)
        if good[u]
    ]
    false = sum(
        not any(abs(s - t) <= 12 and group_of[c] == g for t, g in zip(truth.sample, true_group, strict=True))
        for s, c in zip(sample, channel, strict=True)
    )
    assert (found.true, found.found, found.false) == (len(hits), sum(hits), false)
    assert found.f1 == 2 * sum(hits) / (2 * sum(hits) + len(hits) - sum(hits) + false)


def test_overlapping_spikes_and_what_matches_them_are_left_out():
    truth = truth_of([100, 104, 300, 500], [0, 1, 0, 1], channels=(0, 1), overlap=[True, True, False, False])
    sample, unit = np.array([101, 105, 300, 900]), np.array([0, 1, 0, 1])
    left, kept, units = without_overlaps(truth, sample, unit, 12)
    assert left.sample.tolist() == [300, 500]
    assert (kept.tolist(), units.tolist()) == ([300, 900], [0, 1])


def test_only_good_units_are_averaged_and_unknown_ones_all():
    truth = truth_of([10, 20], [0, 1], channels=(0, 1))
    units = score_sorting(truth, np.array([10]), np.array([0]), 2, 0.5)
    assert mean_accuracy(units) == 0.5
    weak = Truth(truth.sample, truth.unit, truth.peak_channel, np.array([8.0, 3.0]), truth.firing_hz)
    assert mean_accuracy(score_sorting(weak, np.array([10]), np.array([0]), 2, 0.5)) == 1.0
    unknown = Truth(truth.sample, truth.unit, truth.peak_channel, np.array([np.nan, np.nan]), truth.firing_hz)
    assert mean_accuracy(score_sorting(unknown, np.array([10]), np.array([0]), 2, 0.5)) == 0.5


def test_a_run_is_scored(finished, recording):
    found = score(finished)
    assert found.good_units == 4
    assert found.detection.f1 > 0.98
    assert found.accuracy > 0.9
    assert found.document()["detection"]["missed"] == found.detection.true - found.detection.found
    if found.spikeinterface:
        assert found.accuracy == pytest.approx(np.mean(list(found.spikeinterface.values())), abs=2e-3)
    later = score(finished, recording.path, after_s=4.0)
    assert 0.3 * found.detection.true < later.detection.true < 0.7 * found.detection.true


def test_what_does_not_belong_together_is_refused(finished, recording, tmp_path):
    truth = recording.truth
    with pytest.raises(BitspikeError, match=r"holds no spikes in the stretch.*other recording"):
        score(finished, between(truth, 0, 0))
    wide = Truth(truth.sample, truth.unit, truth.peak_channel + 8, truth.snr, truth.firing_hz)
    with pytest.raises(BitspikeError, match="truth: names channel 14, the run has 8 channels"):
        score(finished, wide)
    wide.write(tmp_path / "wide.npz")
    with pytest.raises(BitspikeError, match=r"wide.npz: names channel 14, the run has 8 channels"):
        score(finished, tmp_path / "wide.npz")
    plain = tmp_path / "plain.npy"
    np.save(plain, np.zeros((100, 2), np.int16))
    plain.with_suffix(".json").write_text('{"rate_hz": 24000}')
    for path in (plain, tmp_path):
        with pytest.raises(BitspikeError, match=r"holds no ground truth; give TRUTH: a truth.npz, a simulated folder or"):
            find_truth(path)
    with pytest.raises(BitspikeError, match=r"none.raw: no such file or folder"):
        find_truth(tmp_path / "none.raw")


def test_a_run_of_a_raw_file_is_scored_with_the_truth_that_is_given(recording, plan, tmp_path):
    raw = tmp_path / "bare.raw"
    raw.write_bytes((recording.path / "recording.raw").read_bytes())
    run = replay(open_recording(raw, recording.format.rate_hz, recording.format.channels), plan, tmp_path / "run", stop_s=2.0)
    with pytest.raises(BitspikeError, match=r"bare.raw: holds no ground truth; give TRUTH: a truth.npz"):
        score(run)
    assert score(run, recording.path).detection.true > 50


def test_a_recording_that_is_not_found_from_here_is_named_with_its_run(plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(1).normal(0, 30, (24_000, 8)).astype(np.int16)
    np.save("here.npy", x)
    run = replay(open_recording("here.npy", rate_hz=24_000), plan, tmp_path / "run", stop_s=0.5)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    with pytest.raises(BitspikeError, match=r"run: its recording here.npy is not found from here; give TRUTH"):
        score(run)


@pytest.mark.parametrize("inside", ["", "recording.raw"])
def test_truth_is_found_in_a_folder_and_by_its_samples(recording, inside):
    assert len(find_truth(recording.path / inside)) == len(recording.truth)


def test_truth_of_a_file_that_does_not_say_its_rate(tmp_path):
    x = np.random.default_rng(0).normal(0, 0.1, 4000)
    savemat(tmp_path / "a.mat", {"data": x, "spike_times": np.array([[100, 900]]), "spike_class": np.array([[1, 1]])})
    assert len(find_truth(tmp_path / "a.mat", RATE_HZ)) == 2
