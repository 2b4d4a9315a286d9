"""Scores on the spike trains of wave_clus, counted by hand."""

from __future__ import annotations

import numpy as np

from benchmarks.resynthesis import scores
from sensors.truth import Truth


def truth_of(sample, unit, overlap):
    channel, facts = np.zeros(2, np.int32), np.full(2, 5.0)
    return Truth(np.array(sample, np.int64), np.array(unit, np.int32), channel, facts, facts, np.array(overlap))


def test_scores_are_counted_by_hand():
    truth = truth_of([100, 106, 300, 500, 700, 900], [0, 1, 0, 1, 0, 1], [True, True, False, False, False, False])
    sample = np.array([103, 301, 500, 712, 913, 2000])  # one for the two that overlap; the last but one is a frame too late
    unit = np.array([4, 4, 7, 7, 7, 4])
    detection, right, alone, accuracy = scores(truth, sample, unit, 12)
    assert (detection.true, detection.found, detection.false) == (6, 4, 2)
    assert detection.f1 == 8 / (8 + 2 + 2)
    assert (right, alone) == (3 / 4, 2 / 3)  # the spike of 700 went to the other unit
    assert accuracy == np.mean([2 / (2 + 1 + 1), 1 / (1 + 2 + 2)])


def test_what_is_left_unsorted_is_not_right():
    truth = truth_of([100, 300], [0, 1], [False, False])
    detection, right, alone, accuracy = scores(truth, np.array([100, 300]), np.array([0, -1]), 12)
    assert (detection.f1, right, alone, accuracy) == (1.0, 0.5, 0.5, 0.5)


def test_nothing_found():
    nothing = np.zeros(0, np.int64)
    detection, right, _, accuracy = scores(truth_of([100, 300], [0, 1], [False, False]), nothing, nothing, 12)
    assert (detection.true, detection.found, detection.false, detection.f1, accuracy) == (2, 0, 0, 0.0, 0.0)
    assert np.isnan(right)
