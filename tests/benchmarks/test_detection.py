"""The count of detections against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.detection import count
from pipeline.blocks import SampleFormat
from sensors.truth import Truth

SITES = ((0.0, 0.0), (0.0, 100.0), (0.0, 101.0), (0.0, 50.0))  # 0 and 1 are just near enough, 0 and 2 are not
SIGNAL = SampleFormat(24_000.0, 4, groups=(0, 0, 0, 1), positions_um=SITES)
SNR = np.array([9.0, 5.0, 4.9, 20.0])


def near(s, c, t, d, signal):
    """Half a millisecond is 12 frames; the rule as it is put in words."""
    away = np.hypot(*np.subtract(signal.positions_um[c], signal.positions_um[d])) if signal.positions_um else 0.0
    return abs(int(s) - int(t)) / 24_000 <= 0.0005 and signal.group_of[c] == signal.group_of[d] and away <= 100


@pytest.mark.parametrize("signal", [SIGNAL, SIGNAL.with_(positions_um=())], ids=["sites", "groups"])
@pytest.mark.parametrize("seed", range(12))
def test_f1_is_brute_force(seed, signal):
    rng = np.random.default_rng(seed)
    spikes, detections = rng.integers(0, 40, 2)
    unit = rng.integers(0, 4, spikes).astype(np.int32)
    home = rng.permutation(4).astype(np.int32)
    truth = Truth(np.sort(rng.integers(0, 800, spikes)), unit, home, SNR, np.ones(4))
    sample, channel = np.sort(rng.integers(0, 800, detections)), rng.integers(0, 4, detections)
    missed = found = 0
    for t, u in zip(truth.sample, unit, strict=True):
        if SNR[u] >= 5:
            hit = any(near(s, c, t, home[u], signal) for s, c in zip(sample, channel, strict=True))
            found, missed = found + hit, missed + (not hit)
    false = sum(
        not any(near(s, c, t, home[u], signal) for t, u in zip(truth.sample, unit, strict=True))
        for s, c in zip(sample, channel, strict=True)
    )
    counted = count(truth, signal, sample, channel)
    assert (counted.true - counted.found, counted.found, counted.false) == (missed, found, false)
    assert counted.f1 == (2 * found / (2 * found + missed + false) if found else 0)


def test_cases_by_hand():
    truth = Truth(np.array([100, 200, 300]), np.array([0, 1, 2], np.int32), np.array([0, 1, 2, 3], np.int32), SNR, np.ones(4))
    sample = np.array([100, 112, 213, 300])  # other group; 12 frames late; 13; of a weak unit: neither false nor counted as found
    counted = count(truth, SIGNAL, sample, np.array([3, 1, 1, 2]))
    assert (counted.true, counted.found, counted.false) == (2, 1, 2)
    assert counted.f1 == 2 / (2 + 1 + 2)
