"""Detection by energy, against brute force in wide integers and against the noise that was put in."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from pipeline.blocks import SampleFormat, Samples, concatenate
from pipeline.checks import example_signal, extreme_signals, random_bounds
from pipeline.errors import BitspikeError
from pipeline.neural.energy import Energy, EnergyParameters


def energies(x, k):
    """Return psi [frames, channels] in Python-wide integers, known at each frame; the first 2k rows mean nothing."""
    x = x.astype(np.int64)
    psi = np.zeros(x.shape, np.int64)
    psi[2 * k :] = x[k:-k] ** 2 - x[: -2 * k] * x[2 * k :]
    return psi


def brute(x, k, level, polarity, flags, first, dead):
    """List (frame, channel, amplitude) as they become known, from frame `first` on, with the level [frames, channels] in force."""
    psi, x, found, ready = energies(x, k), x.astype(np.int64), [], {}
    for n in range(max(first, 2 * k + 2), len(x)):
        for c in range(x.shape[1]):
            before, now, after = psi[n - 2 : n + 1, c]
            support = slice(n - 1 - 2 * k, n)
            if not (now > level[n, c] and now > before and now >= after) or flags[support].any():
                continue
            at = support.start + int(np.argmax(np.abs(x[support, c])))
            sign = np.sign(x[at, c])
            wanted = {"negative": (-1,), "positive": (1,), "both": (-1, 1)}[polarity]
            if sign in wanted and at >= ready.get(c, -1):
                ready[c] = at + dead
                found.append((at, c, int(x[at, c])))
    return found


def brute_levels(x, flags, k, stride, learn, gain, factor):
    """Return the level in force at each frame, the first frame whose energy lies after learning, and the medians."""
    frames, channels = x.shape
    level, size = np.zeros(x.shape, np.int64), np.minimum(np.abs(energies(x, k)), 2**26 - 1)
    good = [n for n in range(2 * k, frames) if not flags[n]]
    start = good[learn - 1] + 1
    median = [max(4, int(t) * 41386 * 16 // (65536 * learn)) for t in size[good[:learn]].sum(0)]
    windows, looks, last = 1, [], [0] * channels

    def put(n):
        for c in range(channels):
            level[n:, c] = min(max((median[c] * factor + 2048) >> 12, 1), 2**31 - 1)

    put(start)
    for n in range(start, frames, stride):
        if flags[n]:
            continue
        looks.append(n)
        if len(looks) == 64:
            for c in range(channels):
                count = 0
                for i, look in enumerate(looks):
                    count += int(size[look, c]) * 16 + (i * 39 % 64) // 4 - 8 > median[c]
                excess = count - 32
                far = min(excess, last[c]) > 12 or max(excess, last[c]) < -12
                g = 65536 if far else max(gain, 152_875 // (windows + 8))
                last[c] = excess
                step = (median[c] * g * excess + ((windows * 0x9E3779B1 % 2**32) >> 10)) >> 22
                median[c] = min(max(4, median[c] + step), 2**30)
            windows, looks = windows + 1, []
            put(n + 1)
    return level, start + 2 * k + 1, median


def listed(spikes):
    return list(zip(spikes.sample.tolist(), spikes.channel.tolist(), spikes.amplitude.tolist(), strict=True))


@pytest.mark.parametrize("polarity", ["negative", "positive", "both"])
@pytest.mark.parametrize(("channels", "k", "rate_hz"), [(1, 1, 24_000.0), (3, 2, 10_000.0), (5, 8, 24_000.0)])
def test_finds_what_brute_force_finds(polarity, channels, k, rate_hz):
    signal = SampleFormat(rate_hz, channels, 0.0, 16)
    x = example_signal(7000, signal, seed=channels)
    x[4500:] //= 3
    flags = np.zeros(len(x), np.uint8)
    flags[100:150] = flags[5000:5100] = flags[3333] = 1
    stage = Energy(EnergyParameters(threshold=6.0, spacing=k, polarity=polarity, noise_s=0.3, refractory_ms=0.5), signal)
    stride, learn, gain, factor = (int(stage.tables[n]) for n in ("noise_stride", "noise_learn", "noise_gain", "factor"))
    level, first, median = brute_levels(x, flags, k, stride, 1 << learn, gain, factor)
    expected = brute(x, k, level, polarity, flags, first, round(0.0005 * rate_hz))
    assert len(expected) > 30
    bounds = random_bounds(len(x), np.random.default_rng(0))
    got = concatenate([stage.process(Samples(a, x[a:b], flags[a:b])) for a, b in pairwise(bounds)])
    assert listed(got) == expected
    assert stage.state["noise_median"].tolist() == median


@pytest.mark.parametrize("k", [1, 3])
def test_full_scale_does_not_overflow(k):
    signal = SampleFormat(24_000.0, 3, 0.0, 16)
    for _, ends in extreme_signals(1500, signal):
        quiet = np.random.default_rng(0).integers(-3, 4, (2000, 3)).astype(np.int16)
        x = np.concatenate([quiet, ends, np.array([[-32768], [32767], [-32768], [-32768], [32767]] * 20, np.int16).repeat(3, 1)])
        stage = Energy(EnergyParameters(spacing=k, polarity="both"), signal)
        stride, learn, gain, factor = (int(stage.tables[n]) for n in ("noise_stride", "noise_learn", "noise_gain", "factor"))
        flags = np.zeros(len(x), np.uint8)
        level, first, _ = brute_levels(x, flags, k, stride, 1 << learn, gain, factor)
        assert listed(stage.process(Samples(0, x))) == brute(x, k, level, "both", flags, first, 1)


@pytest.mark.parametrize("sigma", [8.0, 300.0, 5000.0])
def test_median_of_energy_is_true(sigma):
    signal = SampleFormat(24_000.0, 16, 0.0, 16)
    x = np.rint(np.clip(np.random.default_rng(1).normal(0, sigma, (72_000, 16)), -32768, 32767)).astype(np.int16)
    stage = Energy(EnergyParameters(), signal)
    stage.process(Samples(0, x))
    true = np.median(np.abs(energies(x, 3)[6:]))
    estimate = stage.state["noise_median"] / 16
    assert abs(estimate.mean() / true - 1) < 0.02
    assert np.abs(estimate / true - 1).max() < 0.08  # a channel's scatter is 2.2 %, twice that of an amplitude
    assert np.abs(stage.state["level"] / (estimate * 30) - 1).max() < 0.01


def test_chooses_its_spacing_by_the_rate():
    for rate_hz, k in ((8_000.0, 1), (24_000.0, 3), (30_000.0, 4), (200_000.0, 8)):
        stage = Energy(EnergyParameters(), SampleFormat(rate_hz, 1))
        assert stage.tables["spacing"] == k
        assert stage.latency == 2 * k + 1


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"threshold": 0.5}, "threshold"),
        ({"spacing": 9}, "spacing"),
        ({"polarity": "down"}, "polarity"),
        ({"noise_s": 0.0}, "noise_s"),
        ({"refractory_ms": -1.0}, "refractory_ms"),
    ],
)
def test_bad_parameters_are_refused(values, word):
    with pytest.raises(BitspikeError, match=word):
        EnergyParameters(**values)
