"""Runs: what was learned on some of them is worth less on another, because the rings lie elsewhere and are of another size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sensors.cytometry.parameters import CytometerParameters, Drift, Pixel
from sensors.cytometry.runs import draw_conditions, under
from sensors.cytometry.simulator import CytometerSimulator

ROWS, COLUMNS = 24, 32
BESIDE_US = 100  # of a passage that are counted with it


def passages(parameters):
    """Return the true passages that are alone: events in each cell by polarity (float64 [passages, 1536]), and their classes."""
    simulator = CytometerSimulator(parameters)
    blocks, truth = list(simulator.blocks()), simulator.truth()
    t, x, y, p = (np.concatenate([getattr(block, c) for block in blocks]).astype(int) for c in ("t_us", "x", "y", "p"))
    cell = (p * ROWS + y * ROWS // parameters.pixel.height) * COLUMNS + x * COLUMNS // parameters.pixel.width
    alone = np.flatnonzero(~truth.overlap)
    spans = np.searchsorted(t, (truth.enter_us[alone] - BESIDE_US, truth.exit_us[alone] + BESIDE_US)).T
    counts = [np.bincount(cell[first:last], minlength=2 * ROWS * COLUMNS) for first, last in spans]
    return np.array(counts, float), truth.kind[alone]


def accuracies(runs):
    """Return the accuracies of logistic regression: of each run for itself, cross-validated, and held out from training."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, solver="liblinear", dual=True, max_iter=2000))
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    within = [cross_val_score(model, np.log1p(counts), kinds, cv=folds).mean() for counts, kinds in runs]
    counts, kinds = (np.concatenate(column) for column in zip(*runs, strict=True))
    run = np.repeat(np.arange(len(runs)), [len(kinds) for _, kinds in runs])
    return np.array(within), cross_val_score(model, np.log1p(counts), kinds, groups=run, cv=LeaveOneGroupOut())


@pytest.fixture(scope="module")
def drifted(coarse):
    """Passages of each run; a pixel of the coarse sensor is four of the instrument's."""
    drift = Drift(alignment_px=Drift.alignment_px / 4)
    return [passages(coarse.with_(seconds=0.1, seed=78, run=run, drift=drift)) for run in range(6)]


def test_a_run_that_was_held_out_is_harder(drifted):
    """A run is as easy as ever for what was trained on it; what was trained on others errs at least five times as often."""
    within, held_out = accuracies(drifted)
    assert within.mean() >= 0.97
    assert held_out.mean() < 0.95
    assert 1 - held_out.mean() > 5 * (1 - within.mean())


def test_without_drift_a_run_that_was_held_out_is_as_easy(coarse):
    none = Drift(0, 0, 0, 0, 0, 0, 0, 0, 0)
    _, held_out = accuracies([passages(coarse.with_(seconds=0.1, seed=78, run=run, drift=none)) for run in range(3)])
    assert held_out.mean() >= 0.97


def test_drift_changes_the_pattern_more_than_the_number_of_events(drifted):
    """Events per passage, which the drawn sizes and places change by a fifth, stay within a third of their mean over the runs."""
    events = np.array([counts.sum(axis=1).mean() for counts, _ in drifted])
    assert (np.abs(events / events.mean() - 1) < 1 / 3).all()


def test_run_0_is_as_it_is_whatever_is_mounted_later():
    """What a later run's mounting and trimming draw leaves run 0 alone, and its frozen draws as they were."""
    given = CytometerParameters(seed=3001)
    first = draw_conditions(given)
    assert draw_conditions(given.with_(drift=Drift(camera_um=0.0, distance_mm=0.0, trim=0.0))) == first
    assert first.distance == 1.0
    assert under(given, first).optics.sensor_mm == given.optics.sensor_mm
    rng = np.random.default_rng([3001, 0, 0, 0])
    factors = np.exp(rng.standard_normal(5) * (0.05, 0.03, 0.08, 0.03, 0.03))
    assert (first.illumination, first.focus, first.speed, first.on_threshold, first.off_threshold) == tuple(factors)
    assert first.beam_px == tuple(10.0 * rng.standard_normal(2))
    assert first.offset_um == tuple(4.0 * rng.standard_normal(2))


def test_later_runs_are_mounted_anew_and_trimmed():
    given = CytometerParameters(seed=2, pixel=replace(Pixel(), pitch_um=30.0))
    runs = [draw_conditions(given.with_(run=run)) for run in range(1, 401)]
    drift = given.drift
    for name in ("illumination", "focus", "speed", "on_threshold", "off_threshold"):
        spread = drift.threshold if name.endswith("threshold") else getattr(drift, name)
        assert np.std(np.log([getattr(r, name) for r in runs])) == pytest.approx((1 - drift.trim) * spread, rel=0.12)
    assert np.std(np.log([r.distance for r in runs])) * 48.0 == pytest.approx(drift.distance_mm, rel=0.12)
    spread = np.hypot(drift.alignment_px, drift.camera_um / 30.0)
    assert np.std([r.beam_px for r in runs], axis=0) == pytest.approx(spread, rel=0.12)
