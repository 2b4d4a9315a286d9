"""Threshold detection and its noise estimate, against brute force and against the noise that was put in."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from pipeline.blocks import SampleFormat, Samples, concatenate
from pipeline.checks import example_signal, random_bounds
from pipeline.errors import BitspikeError
from pipeline.neural.threshold import Threshold, ThresholdParameters


def brute_peaks(x, level, polarity, flags, first=2):
    """List (frame, channel, amplitude) of local extrema beyond `level` [frames, channels], decided in the frame after the peak."""
    x = x.astype(np.int64)
    found = []
    for n in range(first, len(x)):
        for c in range(x.shape[1]):
            for sign in (1, -1):
                if polarity == ("negative" if sign > 0 else "positive"):
                    continue
                before, now, after = -sign * x[n - 2 : n + 1, c]
                if now < -level[n, c] and now < before and now <= after and not flags[n - 1]:
                    found.append((n - 1, c, x[n - 1, c]))
    return found


def listed(spikes):
    return [(int(s), int(c), int(a)) for s, c, a in zip(spikes.sample, spikes.channel, spikes.amplitude, strict=True)]


def brute_levels(x, flags, stride, learn, gain, factor):
    """Return the level in force at each frame, the first frame after learning, and the estimates: windows written out in Python."""
    frames, channels = x.shape
    level = np.zeros(x.shape, np.int64)
    size = np.abs(x.astype(np.int64))
    good = np.nonzero(flags == 0)[0]
    if len(good) < learn:
        return level, frames, None
    start = int(good[learn - 1]) + 1
    median = [max(1024, int(t) * 55401 * 4096 // (65536 * learn)) for t in size[good[:learn]].sum(0)]
    windows, looks, last = 1, [], [0] * channels

    def put(n):
        for c in range(channels):
            level[n:, c] = min(max((median[c] * factor + (1 << 19)) >> 20, 1), 32767)

    put(start)
    for n in range(start, frames, stride):
        if flags[n]:
            continue
        looks.append(n)
        if len(looks) == 64:
            for c in range(channels):
                count = 0
                for i, look in enumerate(looks):
                    count += int(size[look, c]) * 4096 + (i * 39 % 64) * 64 - 2048 > median[c]
                excess = count - 32
                far = min(excess, last[c]) > 12 or max(excess, last[c]) < -12
                g = 65536 if far else max(gain, 152_875 // (windows + 8))
                last[c] = excess
                step = (median[c] * g * excess + ((windows * 0x9E3779B1 % 2**32) >> 10)) >> 22
                median[c] = max(1024, median[c] + step)
            windows, looks = windows + 1, []
            put(n + 1)
    return level, start, median


@pytest.mark.parametrize("polarity", ["negative", "positive", "both"])
@pytest.mark.parametrize("channels", [1, 3, 68])
def test_fixed_threshold_finds_what_brute_force_finds(polarity, channels):
    signal = SampleFormat(24_000.0, channels, 0.5, 12)
    x = example_signal(1500, signal, seed=channels)
    flags = np.zeros(len(x), np.uint8)
    flags[700:705] = 2
    stage = Threshold(ThresholdParameters(threshold_uv=40.0, polarity=polarity), signal)
    expected = brute_peaks(x, np.full(x.shape, 80), polarity, flags)
    assert len(expected) > 20
    assert listed(stage.process(Samples(0, x, flags))) == expected


@pytest.mark.parametrize(("channels", "rate_hz"), [(2, 24_000.0), (5, 10_000.0)])
def test_adaptive_threshold_is_the_documented_arithmetic(channels, rate_hz):
    signal = SampleFormat(rate_hz, channels, 0.0, 16)
    x = example_signal(9000, signal, seed=2)
    x[6000:] *= 3
    flags = np.zeros(len(x), np.uint8)
    flags[100:150] = flags[5000:5100] = 1
    stage = Threshold(ThresholdParameters(threshold=3.0, polarity="both", noise_s=0.3), signal)
    stride, learn, gain, factor = (int(stage.tables[n]) for n in ("noise_stride", "noise_learn", "noise_gain", "factor"))
    level, start, median = brute_levels(x, flags, stride, 1 << learn, gain, factor)
    quiet = flags.copy()
    quiet[:start] = 1
    expected = brute_peaks(x, level, "both", quiet, start)
    assert len(expected) > 50
    bounds = random_bounds(len(x), np.random.default_rng(0))
    got = concatenate([stage.process(Samples(a, x[a:b], flags[a:b])) for a, b in pairwise(bounds)])
    assert listed(got) == expected
    assert stage.state["noise_median"].tolist() == median


@pytest.mark.parametrize("rate_hz", [10_000.0, 24_000.0, 40_000.0])
@pytest.mark.parametrize("sigma", [5.0, 50.0, 4000.0])
def test_noise_estimate_is_true_within_two_percent(rate_hz, sigma):
    signal = SampleFormat(rate_hz, 16, 0.0, 16)
    x = np.rint(np.random.default_rng(1).normal(0, sigma, (int(3 * rate_hz), 16))).astype(np.int16)
    stage = Threshold(ThresholdParameters(noise_s=1.0), signal)
    stage.process(Samples(0, x))
    estimate = stage.state["noise_median"] / 4096 / 0.6744897501960817
    # one channel's estimate scatters by 1.2 to 1.5 %: the mean of 16 shows the bias, the root mean square the scatter
    assert abs(estimate.mean() / sigma - 1) < 0.01
    assert np.sqrt(np.mean((estimate / sigma - 1) ** 2)) < 0.02
    level = np.rint(estimate * 4.5)
    assert np.abs(stage.state["level"] - level).max() <= 1


def test_noise_estimate_converges_within_fifty_milliseconds_and_follows():
    signal = SampleFormat(24_000.0, 32, 0.0, 16)
    rng = np.random.default_rng(2)
    stage = Threshold(ThresholdParameters(noise_s=0.5), signal)
    stage.process(Samples(0, np.rint(rng.normal(0, 100, (1200, 32))).astype(np.int16)))
    early = stage.state["noise_median"] / 4096 / 0.6745
    assert np.abs(early / 100 - 1).max() < 0.1
    stage.process(Samples(1200, np.rint(rng.normal(0, 800, (24_000, 32))).astype(np.int16)))
    later = stage.state["noise_median"] / 4096 / 0.6745
    assert np.abs(later / 800 - 1).max() < 0.15


def test_spikes_hardly_move_the_noise_estimate():
    signal = SampleFormat(24_000.0, 16, 0.0, 16)
    rng = np.random.default_rng(3)
    x = rng.normal(0, 50, (4 * 24_000, 16))
    for c in range(16):  # 30 spikes a second of 1 ms, 20 sigma deep
        for at in rng.integers(0, len(x) - 24, 120):
            x[at : at + 24, c] -= 1000 * np.exp(-0.5 * ((np.arange(24) - 8) / 3.0) ** 2)
    stage = Threshold(ThresholdParameters(), signal)
    stage.process(Samples(0, np.rint(x).astype(np.int16)))
    estimate = stage.state["noise_median"] / 4096 / 0.6745
    assert abs(estimate.mean() / 50 - 1) < 0.05
    assert x.std() > 1.8 * 50  # a plain standard deviation would be far off


def test_dead_time_is_counted_from_the_candidate_reported():
    signal = SampleFormat(10_000.0, 1, 1.0, 16)
    x = np.zeros((400, 1), np.int16)
    x[[20, 25, 29, 31, 60]] = -100
    stage = Threshold(ThresholdParameters(threshold_uv=50.0, refractory_ms=1.0), signal)
    blocks = [stage.process(Samples(n, x[n : n + 3])) for n in range(0, 399, 3)]
    assert concatenate(blocks).sample.tolist() == [20, 31, 60]


@pytest.mark.parametrize("polarity", ["negative", "positive", "both"])
def test_room_is_what_the_most_crowded_block_needs(polarity):
    signal = SampleFormat(24_000.0, 3, 0.5, 16)
    stage = Threshold(ThresholdParameters(threshold_uv=10.0, polarity=polarity), signal)
    n, rng = np.arange(4000), np.random.default_rng(4)
    x = (np.where(n % 2 == 0, -500, 500)[:, None] * np.ones(3)).astype(np.int16)
    x[2000:] = rng.choice([-500, -400, 400, 500], (2000, 3))
    full = 0
    for a, b in pairwise(random_bounds(len(x), rng)):
        found, room = len(stage.process(Samples(a, x[a:b]))), stage.room(b - a, 0)
        assert found <= room
        full += b > a and found == room
    assert full > 10


def test_a_long_block_is_cut_and_gives_the_same(monkeypatch):
    signal = SampleFormat(24_000.0, 4, 1.0, 16)
    x = example_signal(4000, signal)
    whole = Threshold(ThresholdParameters(), signal).process(Samples(7, x))
    monkeypatch.setattr("pipeline.neural.detection.CALL", 1000)
    cut = Threshold(ThresholdParameters(), signal).process(Samples(7, x))
    assert len(whole) > 10
    assert listed(cut) == listed(whole)
    assert (cut.start, cut.stop) == (whole.start, whole.stop)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"threshold": 0.5}, "threshold"),
        ({"threshold_uv": -1.0}, "threshold_uv"),
        ({"polarity": "down"}, "polarity"),
        ({"noise_s": 0.0}, "noise_s"),
        ({"refractory_ms": -1.0}, "refractory_ms"),
    ],
)
def test_bad_parameters_are_refused(values, word):
    with pytest.raises(BitspikeError, match=word):
        ThresholdParameters(**values)


@pytest.mark.parametrize(
    ("values", "uv_per_count"), [({"threshold_uv": 50.0}, 0.0), ({"threshold_uv": 1e6}, 0.5), ({"noise_s": 0.01}, 0.5)]
)
def test_designs_that_cannot_be_are_refused(values, uv_per_count):
    with pytest.raises(BitspikeError, match=next(iter(values))):
        Threshold(ThresholdParameters(**values), SampleFormat(24_000.0, 2, uv_per_count, 16))
