"""Local exclusion, against brute force over the whole list of candidates."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from pipeline.blocks import SampleFormat, Spikes, concatenate
from pipeline.checks import example_format, random_bounds
from pipeline.errors import BitspikeError
from pipeline.neural.exclusion import LAG, Exclusion, ExclusionParameters


def random_candidates(rng, frames, channels, count):
    """Return candidates in the order in which a detector of random delay would report them, with few distinct sizes."""
    sample = rng.integers(0, frames - LAG, count)
    known = sample + rng.integers(1, LAG + 1, count)
    order = np.lexsort((sample, known))
    channel = rng.integers(0, channels, count)
    amplitude = rng.choice([-1, 1], count) * rng.integers(80, 120, count)
    key = sample * channels + channel
    single = np.zeros(count, bool)
    single[np.unique(key, return_index=True)[1]] = True
    order = order[single[order]]
    return tuple(v[order] for v in (sample, known, channel, amplitude))


def blocks_of(candidates, bounds, base=0):
    sample, known, channel, amplitude = candidates
    for a, b in pairwise(bounds):
        here = (known >= a) & (known < b)
        yield Spikes(base + a, base + b, sample[here] + base, channel[here].astype(np.int32), amplitude[here].astype(np.int32))


def brute(candidates, near, sweep, refractory, rounds, rebound=0, ratio=4):
    """Return the kept (sample, channel, amplitude), by rounds over a matrix of all rivals, without undershoots."""
    sample, _, channel, amplitude = (v.astype(np.int64) for v in candidates)
    order = np.lexsort((channel, sample))
    sample, channel, amplitude = sample[order], channel[order], amplitude[order]
    apart = np.abs(sample[:, None] - sample)
    same = channel[:, None] == channel
    rival = ((apart <= sweep) & near[channel[:, None], channel]) | (same & (apart <= refractory))
    np.fill_diagonal(rival, False)
    size, index = np.abs(amplitude), np.arange(len(sample))
    larger = (size > size[:, None]) | ((size == size[:, None]) & (index < index[:, None]))
    left, kept = np.ones(len(sample), bool), np.zeros(len(sample), bool)
    for _ in range(rounds):
        new = left & ~(rival & larger & left).any(1)
        kept |= new
        left &= ~new & ~(rival & new).any(1)
    since = sample[:, None] - sample
    beside = near[channel[:, None], channel] | same
    before = (since <= rebound) & (index < index[:, None]) & beside
    kept &= ~(before & kept & (size > ratio * size[:, None])).any(1)
    return list(zip(sample[kept].tolist(), channel[kept].tolist(), amplitude[kept].tolist(), strict=True))


def greedy(candidates, near, sweep, refractory):
    """Return the kept candidates of plain greedy suppression, largest first."""
    sample, _, channel, amplitude = (v.tolist() for v in candidates)
    kept = []
    for i in sorted(range(len(sample)), key=lambda i: (-abs(amplitude[i]), sample[i], channel[i])):
        for j in kept:
            apart = abs(sample[i] - sample[j])
            if (apart <= sweep and near[channel[i], channel[j]]) or (channel[i] == channel[j] and apart <= refractory):
                break
        else:
            kept.append(i)
    return sorted((sample[i], channel[i], amplitude[i]) for i in kept)


def listed(spikes):
    return list(zip(spikes.sample.tolist(), spikes.channel.tolist(), spikes.amplitude.tolist(), strict=True))


def near_by_distance(signal, radius):
    near = np.zeros((signal.channels, signal.channels), bool)
    for i, a in enumerate(signal.positions_um):
        for j, b in enumerate(signal.positions_um):
            near[i, j] = np.hypot(a[0] - b[0], a[1] - b[1]) <= radius and signal.groups[i] == signal.groups[j]
    return near


@pytest.mark.parametrize("rounds", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [6, 40])
def test_keeps_what_brute_force_keeps(rounds, channels):
    signal = example_format(channels)
    p = ExclusionParameters(rounds=rounds, sweep_ms=0.5, radius_um=60.0, refractory_ms=0.8, rebound_ms=0.0)
    near = near_by_distance(signal, 60.0)
    frames = 6000
    for seed, count in enumerate((20, 300, 900)):
        rng = np.random.default_rng(seed)
        candidates = random_candidates(rng, frames, channels, count)
        expected = brute(candidates, near, 12, 19, rounds)
        stage = Exclusion(p, signal)
        bounds = [*random_bounds(frames, rng), frames + stage.latency + 1]
        assert listed(concatenate([stage.process(b) for b in blocks_of(candidates, bounds)])) == expected
        assert stage.state["overflow"] == 0
        assert stage.state["late"] == 0
        assert count < 900 or len(expected) < 0.9 * len(candidates[0])


@pytest.mark.parametrize("ratio", [2, 4])
def test_undershoots_of_larger_spikes_are_dropped(ratio):
    signal = example_format(6)
    p = ExclusionParameters(sweep_ms=0.25, refractory_ms=0.25, radius_um=30.0, rounds=2, rebound_ms=2.0, rebound_ratio=ratio)
    rng = np.random.default_rng(ratio)
    sample, known, channel, amplitude = random_candidates(rng, 6000, 6, 500)
    candidates = sample, known, channel, amplitude * rng.integers(1, 10, len(amplitude))
    near = near_by_distance(signal, 30.0)
    expected = brute(candidates, near, 6, 6, 2, 48, ratio)
    assert len(expected) < len(brute(candidates, near, 6, 6, 2))
    stage = Exclusion(p, signal)
    for bounds in ([0, 6000], random_bounds(6000, rng)):
        stage.reset()
        cut = [*bounds, 6000 + stage.latency + 1]
        assert listed(concatenate([stage.process(b) for b in blocks_of(candidates, cut)])) == expected


def test_enough_rounds_are_greedy_suppression_and_a_chain_shows_the_difference():
    signal = example_format(6)
    near = near_by_distance(signal, 75.0)
    candidates = random_candidates(np.random.default_rng(5), 9000, 6, 200)
    stage = Exclusion(ExclusionParameters(rounds=4, sweep_ms=0.5), signal)
    got = listed(concatenate([stage.process(b) for b in blocks_of(candidates, [0, 9000, 9500])]))
    assert got == greedy(candidates, near, 12, 12)
    times = np.array([100, 110, 120])
    chain = (times, times + 1, np.zeros(3, np.int64), np.array([-90, -80, -70]))
    for rounds, expected in ((1, [100]), (2, [100, 120])):
        stage = Exclusion(ExclusionParameters(rounds=rounds, sweep_ms=0.5), signal)
        assert concatenate([stage.process(b) for b in blocks_of(chain, [0, 9500])]).sample.tolist() == expected


def test_is_reported_within_the_latency():
    signal = example_format(6)
    for rounds in (1, 2):
        stage = Exclusion(ExclusionParameters(rounds=rounds, sweep_ms=0.25), signal)
        alone = tuple(np.array([v]) for v in (100, 101, 2, -50))
        when = [b.start for b in (stage.process(b) for b in blocks_of(alone, list(range(400)))) if len(b)]
        assert when == [100 + stage.latency]


def test_too_many_candidates_are_dropped_by_rule_and_counted():
    signal = SampleFormat(24_000.0, 2, 0.0, 16)
    n = 400
    sample = 50 + np.arange(n) // 10  # ten candidates a frame on two channels: far more than the list holds
    crowd = (sample, sample + 1, np.arange(n) % 2, -(100 + np.arange(n)))
    after = tuple(np.array([v]) for v in (900, 901, 1, -70))
    candidates = tuple(np.concatenate(pair) for pair in zip(crowd, after, strict=True))
    results = []
    for bounds in ([0, 1000], [0, 70, 71, 90, 1000], list(range(0, 1001, 8))):
        stage = Exclusion(ExclusionParameters(), signal)
        got = listed(concatenate([stage.process(b) for b in blocks_of(candidates, bounds)]))
        results.append((got, int(stage.state["overflow"])))
    assert results[0] == results[1] == results[2]
    assert results[0][1] == n - len(stage.state["when"])  # the list is full until the crowd is over
    assert results[0][0][-1] == (900, 1, -70)


def test_neighbours_follow_geometry_then_groups_then_number():
    at_once = (np.array([50, 50]), np.array([51, 51]), np.array([0, 3]), np.array([-60, -90]))
    row = tuple((20.0 * c, 0.0) for c in range(4))
    for positions, groups, kept in (
        (row, (), [3]),
        (row, (0, 0, 1, 1), [0, 3]),
        ((), (0, 0, 1, 1), [0, 3]),
        ((), (0, 0, 0, 0), [3]),
        ((), (), [3]),
        ((), None, [0, 3]),
    ):
        channels = 4 if groups is not None else 5
        stage = Exclusion(ExclusionParameters(), SampleFormat(24_000.0, channels, 0.0, 16, positions, groups or ()))
        assert concatenate([stage.process(b) for b in blocks_of(at_once, [0, 400])]).channel.tolist() == kept


def test_largest_negative_amplitude_counts_as_largest():
    ends = (np.array([50, 52]), np.array([53, 53]), np.array([0, 0]), np.array([-(2**31), 2**31 - 1]))
    stage = Exclusion(ExclusionParameters(), example_format(2))
    assert concatenate([stage.process(b) for b in blocks_of(ends, [0, 400])]).amplitude.tolist() == [-(2**31)]


def test_bad_input_is_refused():
    for values in ({"sweep_ms": -1.0}, {"radius_um": -1.0}, {"refractory_ms": 9.0}, {"rounds": 0}):
        with pytest.raises(BitspikeError, match=next(iter(values))):
            ExclusionParameters(**values)
    one = np.ones(1, np.int32)
    for sample, channel, word in ((50, 6, "no channel"), (50, -1, "no channel"), (50 - LAG - 1, 0, "outside"), (60, 0, "outside")):
        with pytest.raises(BitspikeError, match=word):
            Exclusion(ExclusionParameters(), example_format(6)).process(Spikes(50, 60, one * np.int64(sample), one * channel, one))
