"""The sorter on made-up spikes of known units."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from classifiers.sorter import LEARN_STEP, Sorter, SorterParameters
from pipeline.blocks import SampleFormat, Samples, Spikes, concatenate
from pipeline.checks import random_bounds
from pipeline.errors import BitspikeError

RATE = 24_000.0
CHANNELS = 4
SIGNAL = SampleFormat(RATE, CHANNELS, 0.2, 16, tuple((0.0, 20.0 * c) for c in range(CHANNELS)))
NOISE = 30.0


def shapes():
    """Three units: waveforms float64 [3, channels, 48] with the trough at frame 12."""
    t = np.arange(48)
    one = -np.exp(-0.5 * ((t - 12) / 2.2) ** 2) + 0.45 * np.exp(-0.5 * ((t - 22) / 5.0) ** 2)
    two = -np.exp(-0.5 * ((t - 12) / 3.6) ** 2) + 0.25 * np.exp(-0.5 * ((t - 28) / 7.0) ** 2)
    three = -np.exp(-0.5 * ((t - 12) / 2.0) ** 2) + 0.8 * np.exp(-0.5 * ((t - 19) / 3.0) ** 2)
    spread = np.array([[1.0, 0.5, 0.2, 0.1], [0.4, 1.0, 0.6, 0.2], [0.1, 0.2, 0.5, 1.0]])
    return np.stack([900 * s[:, None] * w for s, w in zip(spread, (one, two, three), strict=True)])


def recording(seconds, seed=0, rates=(12.0, 12.0, 12.0), drift=0.0):
    """Return (samples int16, spike frames, units): Poisson trains with 3 ms refractory time, overlapping freely between units."""
    rng, wave = np.random.default_rng(seed), shapes()
    frames = int(seconds * RATE)
    x = rng.normal(0, NOISE, (frames, CHANNELS))
    when, unit = [], []
    for u, rate in enumerate(rates):
        gaps = rng.exponential(RATE / rate, int(3 * seconds * rate)) + 0.003 * RATE
        times = np.cumsum(gaps).astype(int)
        times = times[(times > 100) & (times < frames - 200)]
        when.append(times)
        unit.append(np.full(len(times), u))
        for t in times:
            x[t - 12 : t + 36] += wave[u].T * (1 + drift * t / frames)
    when, unit = np.concatenate(when), np.concatenate(unit)
    order = np.argsort(when, kind="stable")
    return np.rint(np.clip(x, -32768, 32767)).astype(np.int16), when[order], unit[order]


def detections(x, level=5 * NOISE, sweep=8):
    """Return the largest local minima of all channels within `sweep` frames, as exclusion would."""
    low = x.min(axis=1)
    n = np.flatnonzero(low < -level)
    keep = [i for i in n if sweep <= i < len(low) - sweep and low[i] == low[i - sweep : i + sweep + 1].min()]
    keep = np.array([i for k, i in enumerate(keep) if k == 0 or i - keep[k - 1] > sweep], np.int64)
    return keep, x[keep].argmin(axis=1).astype(np.int32)


def blocks(x, bounds):
    at, channel = detections(x)
    for a, b in pairwise(bounds):
        here = (at >= a) & (at < b)
        columns = at[here], channel[here], x[at[here], channel[here]].astype(np.int32)
        yield Samples(a, np.ascontiguousarray(x[a:b])), Spikes(a, b, *columns)


def run(sorter, x, bounds):
    out = concatenate([sorter.process(*block) for block in blocks(x, bounds)])
    order = np.argsort(out.sample, kind="stable")
    return out.sample[order], out.unit[order]


def accuracy(sample, label, when, unit, tolerance=6):
    """Return TP / (TP + FP + FN) of each unit with its best label."""
    scores = []
    for u in np.unique(unit):
        true, best = when[unit == u], 0.0
        for k in np.unique(label[label >= 0]):
            found = sample[label == k]
            hits = sum(np.any(np.abs(found - t) <= tolerance) for t in true)
            best = max(best, hits / (len(true) + len(found) - hits))
        scores.append(best)
    return np.array(scores)


@pytest.fixture(scope="module")
def trained():
    x, _, _ = recording(12, seed=1)
    sorter = Sorter(SorterParameters(), SIGNAL)
    return sorter.fit(blocks(x, [*range(0, len(x), 2400), len(x)]))


def test_finds_the_units_and_sorts_other_data(trained):
    assert trained.tables["units"] == 3
    x, when, unit = recording(10, seed=2)
    trained.reset()
    sample, label = run(trained, x, [0, len(x)])
    assert np.all(accuracy(sample, label, when, unit) > 0.97)


def test_overlapping_spikes_come_apart(trained):
    x, when, unit = recording(10, seed=3, rates=(60.0, 60.0, 60.0))
    near = np.zeros(len(when), bool)
    near[:-1] |= np.diff(when) < 24
    near[1:] |= np.diff(when) < 24
    assert near.mean() > 0.2
    trained.reset()
    sample, label = run(trained, x, [0, len(x)])
    assert np.all(accuracy(sample, label, when, unit) > 0.9)


def test_any_blocks_and_tables_reused_give_the_same(trained):
    x, _, _ = recording(4, seed=4, rates=(40.0, 40.0, 40.0))
    trained.reset()
    expected = run(trained, x, [0, len(x)])
    other = Sorter(SorterParameters(), SIGNAL, trained.tables)
    got = run(other, x, random_bounds(len(x), np.random.default_rng(5)))
    assert all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))


def test_learns_on_line_and_then_sorts():
    x, when, unit = recording(16, seed=6)
    sorter = Sorter(SorterParameters(learn=250), SIGNAL)
    sample, label = run(sorter, x, [*range(0, len(x), 777), len(x)])
    learned = sample[np.flatnonzero(label >= 0)[0]]
    heard = np.sum(when < learned)
    assert 250 <= heard <= 250 + LEARN_STEP * 36 / RATE + 30
    assert np.all(label[sample < learned - 200] == -1)
    late = when > learned + 200
    after = sample > learned + 200
    assert np.all(accuracy(sample[after], label[after], when[late], unit[late]) > 0.97)
    again = run(Sorter(SorterParameters(learn=250), SIGNAL), x, [0, len(x)])
    assert np.array_equal(again[0], sample)
    assert np.array_equal(again[1], label)


def test_follows_slow_drift():
    x, when, unit = recording(40, seed=7, drift=-0.35)
    head = x[: int(6 * RATE)]
    sorter = Sorter(SorterParameters(drift_spikes=64), SIGNAL).fit(blocks(head, [0, len(head)]))
    sample, label = run(sorter, x, [0, len(x)])
    end = when > 30 * RATE
    late = sample > 30 * RATE
    assert np.all(accuracy(sample[late], label[late], when[end], unit[end]) > 0.93)


def test_a_shape_never_seen_stays_unsorted(trained):
    rng = np.random.default_rng(8)
    x = rng.normal(0, NOISE, (24_000, CHANNELS))
    t = np.arange(48)
    strange = 700 * np.sin(t / 1.2) * np.exp(-t / 30)
    times = np.arange(500, 23_000, 900)
    for at in times:
        x[at : at + 48] += strange[:, None] * np.array([1.0, -1.0, 1.0, -1.0])
    trained.reset()
    _, label = run(trained, np.rint(x).astype(np.int16), [0, len(x)])
    assert len(label) >= len(times)
    assert np.mean(label == -1) > 0.8


def test_too_few_spikes_to_learn_from():
    x = np.random.default_rng(0).normal(0, NOISE, (4800, CHANNELS)).astype(np.int16)
    with pytest.raises(BitspikeError, match="too few"):
        Sorter(SorterParameters(), SIGNAL).fit(blocks(x, [0, len(x)]))


@pytest.mark.parametrize(
    ("name", "value"), [("neighbours", 0), ("features", 9), ("spikes", 3), ("learn", -1), ("after_ms", 9.0), ("drift_spikes", 1)]
)
def test_bad_parameters_are_named(name, value):
    with pytest.raises(BitspikeError, match=name):
        SorterParameters(**{name: value})


def test_windows_that_do_not_fit_are_refused():
    with pytest.raises(BitspikeError, match="288 frames at 48000 Hz; at most 96: shorten before_ms"):
        Sorter(SorterParameters(before_ms=2.0, after_ms=4.0), SIGNAL.with_(rate_hz=48_000.0))


def test_the_tail_is_cut_at_high_rates():
    tables = Sorter(SorterParameters(), SIGNAL.with_(rate_hz=50_000.0)).tables
    assert (tables["before"], tables["width"]) == (35, 96)


def test_a_damaged_checkpoint_is_refused(trained):
    with pytest.raises(BitspikeError, match="checkpoint"):
        trained.restore(trained.checkpoint()[:-8])
    with pytest.raises(BitspikeError, match="damaged"):
        Sorter(SorterParameters(learn=50), SIGNAL).restore(Sorter(SorterParameters(learn=50), SIGNAL).checkpoint()[:-20])


def test_what_is_left_of_a_spike_is_no_second_one_of_its_unit():
    """Spikes that are far larger and wider than those learned leave much behind when their template is taken off."""
    rng, frames = np.random.default_rng(8), int(4 * RATE)
    wide = np.repeat(shapes()[0], 2, axis=1)[:, :48] * 4
    x = rng.normal(0, NOISE, (frames, CHANNELS))
    for t in range(500, frames - 200, 311):
        x[t - 24 : t + 24] += wide.T
    x = np.rint(np.clip(x, -32768, 32767)).astype(np.int16)
    learned = recording(20)[0]
    found = {}
    for dead_ms in (0.0, 0.5):
        sorter = Sorter(SorterParameters(refractory_ms=dead_ms), SIGNAL).fit(blocks(learned, [0, len(learned)]))
        found[dead_ms] = run(sorter, x, [0, 40_000, 40_001, frames])
    dead = round(0.0005 * RATE)
    near = {d: sum(int((np.diff(s[u == k]) <= dead).sum()) for k in np.unique(u[u >= 0])) for d, (s, u) in found.items()}
    assert near[0.0] > 20
    assert near[0.5] == 0
    pairs_of = {d: list(zip(*map(np.ndarray.tolist, columns), strict=True)) for d, columns in found.items()}
    assert set(pairs_of[0.5]) < set(pairs_of[0.0])  # nothing else changes
