"""Gathered waveforms against slices of the whole signal, for any blocks, gaps and interruptions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from bitspike.columns import Columns
from bitspike.waveforms import EXAMPLES, Waveforms, neighbours, peak
from pipeline.blocks import SampleFormat, Samples, Spikes

SIGNAL = SampleFormat(20_000.0, 3, groups=(0, 0, 1))
BEFORE, WIDTH = 20, 50  # 1 ms, and 1.5 ms after, at 20 kHz


@pytest.fixture(scope="module")
def stream():
    """Samples, and spikes with the frame at which each becomes known: up to 90 frames late, and not in order of time."""
    rng = np.random.default_rng(0)
    data = rng.integers(-1000, 1000, (40_000, 3)).astype(np.int16)
    sample = np.sort(rng.integers(0, 40_000, 600))
    known = sample + rng.integers(0, 90, 600)
    order = np.argsort(known, kind="stable")
    unit = rng.choice([-1, 0, 1, 2, 5], 600, p=[0.1, 0.3, 0.3, 0.28, 0.02]).astype(np.int32)
    channel = np.where(unit == 5, 2, rng.integers(0, 2, 600)).astype(np.int32)
    return data, sample[order], channel[order], unit[order], known[order]


def gathered(stream, bounds, folder, restart=None, hole=None):
    data, sample, channel, unit, known = stream
    columns = Columns(folder)
    waveforms = Waveforms(columns, SIGNAL, 90)
    for number, (a, b) in enumerate(pairwise(bounds)):
        if hole and hole[0] <= a < hole[1]:
            continue
        mine = (known >= a) & (known < b)
        if hole:
            mine &= ~((sample >= hole[0]) & (sample < hole[1]))
        zero = np.zeros(mine.sum(), np.int32)
        waveforms.take(Samples(a, data[a:b]), Spikes(a, b, sample[mine], channel[mine], zero, unit[mine]))
        if number == restart:
            state, held = waveforms.checkpoint(), columns.state()
            waveforms.take(Samples(b, data[b : b + 5000]), Spikes(b, b + 5000))  # what comes after is forgotten
            columns.close()
            columns = Columns(folder, held)
            waveforms = Waveforms(columns, SIGNAL, 90, {name: np.array(value) for name, value in state.items()})
    mean = waveforms.mean()
    columns.close()
    return mean, waveforms, np.load(folder / "snippets/waveform.npy"), np.load(folder / "snippets/unit.npy")


def expected(stream, hole=None):
    data, sample, channel, unit, known = stream
    examples, near = {}, {}
    for s, c, u, k in zip(sample, channel, unit, known, strict=True):
        crosses = s - BEFORE < 0 or s - BEFORE + WIDTH > len(data)
        if hole:
            crosses |= s - BEFORE < hole[1] and s - BEFORE + WIDTH > hole[0]
            crosses |= hole[0] <= k < hole[1]  # lost with its block
        if u >= 0 and not crosses and k < len(data) and len(examples.setdefault(u, [])) < EXAMPLES:
            near.setdefault(u, neighbours(SIGNAL)[c])
            examples[u].append(data[s - BEFORE : s - BEFORE + WIDTH])
    return examples, near


@pytest.mark.parametrize("seed", range(4))
def test_means_and_snippets_are_slices(stream, tmp_path, seed):
    rng = np.random.default_rng(seed)
    cuts = np.unique(rng.integers(1, 40_000, (3, 40, 900, 20_000)[seed]))
    bounds = [0, *cuts.tolist(), 40_000]
    mean, waveforms, snippets, owners = gathered(stream, bounds, tmp_path, restart=1)
    examples, near = expected(stream)
    for unit in range(6):
        mine = np.array(examples.get(unit, np.zeros((0, WIDTH, 3))))
        assert waveforms.count[unit] == len(mine) == (owners == unit).sum()
        if len(mine):
            np.testing.assert_allclose(mean[unit], mine.mean(axis=0), rtol=1e-6)
            channels = near[unit]
            assert waveforms.channels[unit].tolist() == channels.tolist()
            np.testing.assert_array_equal(snippets[owners == unit], np.where(channels >= 0, mine[:, :, channels], 0))
    assert max(len(found) for found in examples.values()) == EXAMPLES


def test_windows_do_not_reach_over_a_gap(stream, tmp_path):
    hole = (12_000, 15_000)
    mean, waveforms, *_ = gathered(stream, list(range(0, 40_001, 500)), tmp_path, hole=hole)
    examples, _ = expected(stream, hole)
    for unit, mine in examples.items():
        assert waveforms.count[unit] == len(mine)
        np.testing.assert_allclose(mean[unit], np.mean(mine, axis=0), rtol=1e-6)


def test_neighbours_share_a_group_and_stand_in_order():
    assert neighbours(SIGNAL).tolist() == [[0, 1], [0, 1], [2, -1]]
    sites = tuple((0.0, 30.0 * c) for c in range(20))
    near = neighbours(SampleFormat(20_000.0, 20, positions_um=sites))
    assert near.shape == (20, 5)
    assert near[0].tolist() == [0, 1, 2, -1, -1]
    assert near[10].tolist() == [8, 9, 10, 11, 12]


def test_peak_is_the_largest_deflection():
    mean = np.zeros((2, 5, 3), np.float32)
    mean[0, 2, 1], mean[0, 3, 0] = -9, 8
    mean[1, 4, 2] = 3
    everywhere = np.ones((2, 3), bool)
    channel, value = peak(mean, everywhere)
    assert (channel.tolist(), value.tolist()) == ([1, 2], [-9, 3])
    assert len(peak(mean[:0], everywhere[:0])[0]) == 0
    channel, value = peak(mean, np.array([[True, False, True], [True, True, False]]))
    assert (channel.tolist(), value.tolist()) == ([0, 0], [8, 0])
