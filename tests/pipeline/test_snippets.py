"""Snippets, against plain slicing, an exact parabola in floats, and signals whose value between the samples is known."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from pipeline.blocks import SampleFormat, Samples, Spikes, concatenate
from pipeline.checks import example_format, example_signal, random_bounds
from pipeline.errors import BitspikeError
from pipeline.neural.snippets import Snippets, SnippetsParameters


def spikes_at(sample, channel, start=0, stop=0, **columns):
    sample, channel = np.asarray(sample, np.int64), np.asarray(channel, np.int32)
    return Spikes(start, stop, sample, channel, np.arange(len(sample), dtype=np.int32) - 5, **columns)


def in_blocks(stage, x, spikes, bounds, delay=1):
    """Feed blocks; a spike comes `delay` frames after its peak."""
    parts = []
    for a, b in pairwise(bounds):
        known = (spikes.sample + delay >= a) & (spikes.sample + delay < b)
        columns = (spikes.sample[known], spikes.channel[known], spikes.amplitude[known])
        parts.append(stage.process(Samples(a, x[a:b]), Spikes(a, b, *columns)))
    return concatenate(parts)


def lagrange(values, d):
    """Return the polynomial through `values` at 0, 1, 2 ... at d, exactly."""
    total = Fraction(0)
    for t, value in enumerate(values):
        weight = Fraction(1)
        for m in range(len(values)):
            if m != t:
                weight *= Fraction(d - m) / (t - m)
        total += weight * int(value)
    return total


def brute(x, sample, channels, before, width, upsample):
    """Return one snippet [width, neighbours] in exact fractions, and the shift, from x with zeros around it."""
    pad = 300
    x = np.pad(x.astype(np.int64), ((pad, pad), (0, 0)))
    at = sample + pad
    left, now, right = (int(v) for v in x[at - 1 : at + 2, channels[0]])
    bend = left - 2 * now + right
    offset = Fraction(0) if bend == 0 else Fraction(left - right, 2 * bend)
    size = min(int(abs(offset) * upsample + Fraction(1, 2)), upsample // 2)
    shift = Fraction(size if offset > 0 else -size, upsample)
    whole, part = shift // 1, shift % 1
    out = []
    for i in range(width):
        row = at - before + i + int(whole)
        if part == 0:
            out.append([int(x[row, c]) if c >= 0 else 0 for c in channels])
        else:
            out.append([lagrange(x[row - 3 : row + 5, c], 3 + part) if c >= 0 else 0 for c in channels])
    return out, shift


@pytest.mark.parametrize("upsample", [1, 2, 4])
def test_cuts_what_exact_interpolation_gives(upsample):
    signal = example_format(6)
    x = example_signal(3000, signal, seed=4)
    stage = Snippets(SnippetsParameters(before_ms=0.4, after_ms=0.6, neighbours=4, upsample=upsample), signal)
    rng = np.random.default_rng(0)
    low = np.argwhere((x[1:-1] < -60) & (x[1:-1] < x[:-2]) & (x[1:-1] <= x[2:]))
    chosen = low[np.sort(rng.choice(len(low), 60, replace=False))]
    chosen = chosen[(chosen[:, 0] > 5) & (chosen[:, 0] < 2900)]
    spikes = spikes_at(chosen[:, 0] + 1, chosen[:, 1])
    got = in_blocks(stage, x, spikes, random_bounds(3000, rng))
    assert got.sample.tolist() == spikes.sample.tolist()
    assert got.amplitude.tolist() == spikes.amplitude.tolist()
    assert got.waveform.shape == (len(chosen), 24, 4)
    near = [
        sorted(range(6), key=lambda o: (np.hypot(*np.subtract(signal.positions_um[c], signal.positions_um[o])), o))
        for c in range(6)
    ]
    shifts = set()
    for i, (sample, channel) in enumerate(zip(spikes.sample, spikes.channel, strict=True)):
        mates = [c for c in near[channel] if signal.groups[c] == signal.groups[channel]][:4]
        expected, shift = brute(x, int(sample), [*mates, -1, -1][:4], 10, 24, upsample)
        exact = np.clip(np.array(expected, float), -32768, 32767)
        shifts.add(shift)
        assert np.abs(got.waveform[i] - exact).max() <= (0 if shift == 0 else 0.5 + 8 * 0.5 * 2048 / 32768)
    assert shifts == {Fraction(n, upsample) for n in range(-(upsample // 2), upsample // 2 + 1)}


def test_aligns_a_pulse_to_a_quarter_of_a_sample():
    signal = SampleFormat(24_000.0, 1, 0.0, 16)
    n = np.arange(2000)
    places = 100.0 + 64 * np.arange(25) + np.linspace(-0.5, 0.5, 25)
    x = -sum(8000 * np.exp(-0.5 * ((n - place) / 3.0) ** 2) for place in places)
    peaks = np.rint(places + 1e-9).astype(int)
    got = in_blocks(
        Snippets(SnippetsParameters(), signal), np.rint(x).astype(np.int16)[:, None], spikes_at(peaks, peaks * 0), [0, 2000]
    )
    ideal = -8000 * np.exp(-0.5 * ((np.arange(48) - 18) / 3.0) ** 2)
    unaligned = in_blocks(
        Snippets(SnippetsParameters(upsample=1), signal),
        np.rint(x).astype(np.int16)[:, None],
        spikes_at(peaks, peaks * 0),
        [0, 2000],
    )
    slope = 8000 / 3.0 * np.exp(-0.5)  # of the pulse at its steepest, a sample
    assert len(got) == 25
    assert np.abs(got.waveform[:, :, 0] - ideal).max() < slope * 0.14
    assert np.abs(unaligned.waveform[:, :, 0] - ideal).max() > slope * 0.45


@pytest.mark.parametrize("frequency_hz", [500.0, 3000.0, 6000.0])
def test_shifted_waveforms_keep_their_band(frequency_hz):
    """A sine between the samples is what it should be, 20 dB below its size or far less, up to half of the band."""
    signal = SampleFormat(24_000.0, 2, 0.0, 16)
    n = np.arange(4000)
    x = np.stack(
        [-10000 * np.exp(-0.5 * (((n % 100) - 50.26) / 2.5) ** 2), 10000 * np.cos(2 * np.pi * frequency_hz / 24000 * n)], 1
    )
    signal = signal.with_(groups=(0, 0))
    peaks = np.arange(150, 3800, 100)
    got = in_blocks(Snippets(SnippetsParameters(), signal), np.rint(x).astype(np.int16), spikes_at(peaks, peaks * 0), [0, 4000])
    where = peaks[:, None] - 18 + np.arange(48) + 0.25
    error = got.waveform[:, :, 1] - 10000 * np.cos(2 * np.pi * frequency_hz / 24000 * where)
    assert np.abs(error).max() < {500.0: 2, 3000.0: 12, 6000.0: 400}[frequency_hz]


def test_neighbours_by_geometry_by_group_or_none():
    x = np.tile(np.arange(8, dtype=np.int16) + 1, (400, 1))
    line = tuple((0.0, 40.0 * c) for c in range(8))
    for positions, groups, expected in (
        (line, (), [4, 3, 5, 2, 6]),
        ((), (0, 0, 0, 0, 1, 1, 1, 1), [4, 5, 6, 7]),
        ((), (), [4]),
        (line, (0, 0, 0, 0, 1, 1, 1, 1), [4, 5, 6]),
    ):
        stage = Snippets(SnippetsParameters(), SampleFormat(24_000.0, 8, 0.0, 16, positions, groups))
        got = in_blocks(stage, x, spikes_at([200], [4]), [0, 400])
        row = got.waveform[0, 20].tolist()
        assert row[: len(expected)] == [c + 1 for c in expected]
        assert not any(row[len(expected) :])


def test_before_the_start_and_after_a_gap_there_is_silence():
    signal = SampleFormat(24_000.0, 1, 0.0, 16)
    x = np.full((500, 1), 7, np.int16)
    stage = Snippets(SnippetsParameters(upsample=1), signal)
    first = stage.process(Samples(0, x[:60]), spikes_at([4], [0], 0, 60))
    assert first.waveform[0, :, 0].tolist() == [0] * 14 + [7] * 34
    again = stage.process(Samples(1000, x[:60]), spikes_at([1002], [0], 1000, 1060))
    assert again.waveform[0, :, 0].tolist() == [0] * 16 + [7] * 32


def test_late_spikes_are_cut_from_the_history_and_keep_their_unit():
    signal = SampleFormat(24_000.0, 3, 0.0, 16)
    x = np.random.default_rng(0).integers(-500, 500, (3000, 3)).astype(np.int16)
    stage = Snippets(SnippetsParameters(upsample=1, neighbours=1), signal)
    assert stage.reach == 256 - 18 - 4
    whole = np.arange(0, 2700, 37)
    for size in (1, 16, 500, 3000):
        stage.reset()
        got = in_blocks(stage, x, spikes_at(whole, whole % 3), [*range(0, 3000, size), 3000], delay=stage.reach)
        expected = [np.pad(x, ((18, 0), (0, 0)))[s : s + 48, s % 3] for s in whole]
        assert np.array_equal(got.waveform[:, :, 0], expected)
    stage.reset()
    one = spikes_at([50], [0], 0, 200, unit=np.array([3], np.int32))
    assert stage.process(Samples(0, x[:200]), one).unit.tolist() == [3]


def test_too_many_spikes_are_dropped_by_rule_and_counted():
    signal = SampleFormat(24_000.0, 2, 0.0, 16)
    x = np.random.default_rng(0).integers(-500, 500, (1000, 2)).astype(np.int16)
    sample = np.concatenate([np.repeat(np.arange(100, 140), 2), [700], [650], [710]])
    spikes = spikes_at(sample, np.arange(len(sample)) % 2)
    results = []
    for bounds in ([0, 1000], list(range(0, 1001, 10)), random_bounds(1000, np.random.default_rng(1))):
        stage = Snippets(SnippetsParameters(), signal)
        parts, given = [], 0
        for a, b in pairwise(bounds):
            ready = given
            while ready < len(sample) and max(sample[: ready + 1]) + 1 < b:
                ready += 1
            here = slice(given, ready)
            parts.append(
                stage.process(Samples(a, x[a:b]), Spikes(a, b, sample[here], spikes.channel[here], spikes.amplitude[here]))
            )
            given = ready
        got = concatenate(parts)
        results.append((got.sample.tolist(), got.waveform.tobytes(), int(stage.state["overflow"]), int(stage.state["late"])))
    assert results[0] == results[1] == results[2]
    samples, _, overflow, late = results[0]
    assert overflow == 80 - 36  # the list holds 36, and none of them is old enough to leave it before frame 140
    assert late == 1
    assert samples[-2:] == [700, 710]


def test_bad_input_is_refused():
    for values in ({"before_ms": -1.0}, {"after_ms": 0.0}, {"neighbours": 17}, {"upsample": 3}):
        with pytest.raises(BitspikeError, match=next(iter(values))):
            SnippetsParameters(**values)
    signal = SampleFormat(24_000.0, 2, 0.0, 16)
    for values in ({"after_ms": 6.0}, {"after_ms": 0.001}):
        with pytest.raises(BitspikeError, match="128"):
            Snippets(SnippetsParameters(**values), signal)
    x = np.zeros((100, 2), np.int16)
    for sample, channel, word in ((350, 2, "no channel"), (400, 0, "outside"), (60, 0, "outside")):
        with pytest.raises(BitspikeError, match=word):
            Snippets(SnippetsParameters(), signal).process(Samples(300, x), spikes_at([sample], [channel], 300, 400))
