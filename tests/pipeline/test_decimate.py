"""Decimation against plain convolution in exact integers, against sines of known fate, and its timing."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from pipeline.blocks import ARTEFACT, SATURATED, SampleFormat, Samples
from pipeline.checks import extreme_signals
from pipeline.errors import BitspikeError
from pipeline.neural.decimate import Decimate, DecimateParameters
from pipeline.neural.decimate_design import split


def definition(stage: Decimate, x: np.ndarray, start: int) -> np.ndarray:
    """Both filters as convolutions of the whole input, preceded by its first value for ever: int64 [outputs, channels]."""
    t = stage.tables
    order, ratio, keep, shift, scale = (int(t[name]) for name in ("order", "ratio", "keep", "shift", "scale"))
    taps = t["coefficients"][: int(t["taps"])].astype(np.int64)
    box = np.ones(1, np.int64)
    for _ in range(order):
        box = np.convolve(box, np.ones(ratio, np.int64))
    before = ratio * keep * 100  # of the first value; frame `start` comes at index `before`
    outputs = []
    for channel in x.T.astype(np.int64):
        long = np.concatenate([np.full(before, channel[0]), channel])
        sums = np.convolve(long, box)[: len(long)]
        index = np.arange(len(long))
        taken = index[(index - before + start) % ratio == 0]
        v = np.clip((sums[taken] + ((1 << shift) >> 1)) >> shift, -32768, 32767)
        total = np.convolve(v, taps)[: len(v)]
        y = np.clip((total + (1 << (scale - 1))) >> scale, -32768, 32767)
        wanted = (taken >= before) & ((taken - before + start) % (ratio * keep) == 0)
        outputs.append(y[wanted])
    return np.array(outputs).T


@pytest.mark.parametrize(
    "parameters",
    [
        DecimateParameters(),
        DecimateParameters(rate_hz=1600, order=2, fraction_bits=0),
        DecimateParameters(rate_hz=2300, passband_hz=900, order=3),
        DecimateParameters(rate_hz=4800, passband_hz=1500),
        DecimateParameters(rate_hz=400, passband_hz=150, order=1),
    ],
)
@pytest.mark.parametrize(("channels", "start"), [(1, 0), (3, 1), (8, 13), (11, 479), (16, 13), (20, 479)])
def test_equals_its_definition(parameters, channels, start):
    signal = SampleFormat(24_000, channels, bits=16)
    for _, x in extreme_signals(1000, signal):
        stage = Decimate(parameters, signal)
        result = stage.process(Samples(start, x))
        np.testing.assert_array_equal(result.data, definition(stage, x, start))
        assert result.start == -(-start // stage.factor)


@pytest.mark.parametrize("channels", [15, 16, 20])
def test_blocks_of_any_length_equal_the_definition(channels):
    x = np.random.default_rng(channels).integers(-(2**15), 2**15, (3000, channels)).astype(np.int16)
    stage = Decimate(DecimateParameters(rate_hz=4800, passband_hz=1500), SampleFormat(24_000, channels, bits=16))
    bounds = [0, 1, 2, 9, 33, 300, 301, 1100, 1104, 3000]
    blocks = [stage.process(Samples(first, x[first:last])).data for first, last in pairwise(bounds)]
    np.testing.assert_array_equal(np.concatenate(blocks), definition(stage, x, 0))


def test_noise_of_few_bits_equals_its_definition():
    signal = SampleFormat(30_000, 5, bits=9)
    x = np.random.default_rng(0).integers(-256, 256, (5000, 5)).astype(np.int16)
    stage = Decimate(DecimateParameters(), signal)
    result = stage.process(Samples(0, x))
    np.testing.assert_array_equal(result.data, definition(stage, x, 0))
    assert stage.output.uv_per_count == signal.uv_per_count / 2**6


def amplitude(stage: Decimate, hz: float, seconds: float = 2.0) -> float:
    """Amplitude of the output, in input counts, for a sine of 20,000 counts."""
    rate = stage.signal.rate_hz
    x = np.rint(20_000 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)).astype(np.int16)
    y = stage.process(Samples(0, x[:, None])).data[200:, 0]
    return float(np.sqrt(2) * np.std(y))


@pytest.mark.parametrize(("rate", "target"), [(24_000, 1000), (30_000, 1000), (40_000, 1000), (20_000, 2000), (5000, 1000)])
def test_passes_the_band_and_rejects_what_folds_into_it(rate, target):
    signal = SampleFormat(rate, 1, bits=16)
    stage = Decimate(DecimateParameters(rate_hz=target), signal)
    for hz in (3.0, 50.0, 151.0, 299.0):
        stage.reset()
        assert amplitude(stage, hz) == pytest.approx(20_000, rel=0.008)
    out = stage.output.rate_hz
    for hz in (out - 290, out + 100, 2 * out - 200, 3 * out - 299, rate / 2 - 7):
        stage.reset()
        assert amplitude(stage, hz) < 20_000 * 10 ** (-60 / 20) + 1  # and the rounding of the output


def test_a_constant_stays_what_it_is_from_the_first_frame_on():
    x = np.tile(np.array([2056, -32_768, 32_767, 0], np.int16), (500, 1))
    y = Decimate(DecimateParameters(), SampleFormat(15_000, 4)).process(Samples(0, x)).data
    assert np.abs(y.astype(int) - x[0]).max() <= 1


def test_proofs_hold_for_the_worst_input():
    """Signs that follow the whole response backwards drive it to its largest output without a wrap."""
    stage = Decimate(DecimateParameters(), SampleFormat(24_000, 1, bits=16))
    impulse = np.zeros((24 * 40, 1), np.int16)
    impulse[24] = 32_767
    response = []
    for shifted in range(24):  # the response of each phase
        fresh = Decimate(DecimateParameters(), stage.signal)
        response.append(fresh.process(Samples(0, np.roll(impulse, shifted, axis=0))).data[:, 0].astype(int))
    signs = np.where(np.array(response).T[::-1, ::-1].reshape(-1) >= 0, 32_767, -32_768).astype(np.int16)[:, None]
    np.testing.assert_array_equal(stage.process(Samples(0, signs)).data, definition(stage, signs, 0))


def test_time_is_absolute_across_blocks_and_gaps():
    signal = SampleFormat(24_000, 2)
    x = np.random.default_rng(0).integers(-9000, 9000, (4000, 2)).astype(np.int16)
    stage, position = Decimate(DecimateParameters(), signal), 5
    pieces = []
    for length in (1, 2, 18, 1, 0, 24, 23, 700, 3):
        pieces.append(stage.process(Samples(position, x[position : position + length])))
        assert pieces[-1].start == -(-position // 24)
        position += length
        assert pieces[-1].stop == -(-position // 24)
    joined = np.concatenate([piece.data for piece in pieces])
    np.testing.assert_array_equal(joined, definition(stage, x[5:position], 5))
    after = stage.process(Samples(3007, x[3007:3500]))  # the phase follows the frame number, not the count of frames seen
    assert after.start == 126
    np.testing.assert_array_equal(after.data, definition(stage, x[3007:3500], 3007))


def test_flags_of_all_frames_since_the_last_output():
    signal = SampleFormat(24_000, 1)
    flags = np.zeros(240, np.uint8)
    flags[24], flags[25], flags[100:130], flags[239] = SATURATED, ARTEFACT, SATURATED, ARTEFACT
    stage, got = Decimate(DecimateParameters(), signal), []
    for a, b in ((0, 10), (10, 26), (26, 99), (99, 240), (240, 250)):
        part = flags[a:b] if b <= 240 else None
        got.append(stage.process(Samples(a, np.zeros((b - a, 1), np.int16), part)).frame_flags)
    joined = np.concatenate(got)
    expected = [0, SATURATED, ARTEFACT, 0, 0, SATURATED, SATURATED, 0, 0, 0, ARTEFACT]
    assert joined.tolist() == expected


@pytest.mark.parametrize(
    ("rate", "target", "factor"),
    [
        (24_000, 1000, 24),
        (30_000, 1000, 30),
        (23_000, 1000, 22),
        (19_531, 1000, 20),
        (7000, 1000, 6),
        (1600, 1000, 2),
        (5000, 1000, 5),
    ],
)
def test_takes_the_nearest_factor_that_can_be_split(rate, target, factor):
    found, keep = split(rate, target)
    assert found == factor
    assert factor % keep == 0
    assert Decimate(DecimateParameters(rate_hz=target, passband_hz=200), SampleFormat(rate, 1)).output.rate_hz == rate / factor


@pytest.mark.parametrize("values", [{"rate_hz": 0.0}, {"passband_hz": 0.0}, {"order": 5}, {"fraction_bits": -2}])
def test_refuses_bad_parameters(values):
    with pytest.raises(BitspikeError, match=next(iter(values))):
        DecimateParameters(**values)


def test_refuses_what_the_recording_cannot_give():
    with pytest.raises(
        BitspikeError, match="stage decimate: rate_hz = 1000 leaves nothing to decimate at 1250 Hz; choose 625 or less"
    ):
        Decimate(DecimateParameters(), SampleFormat(1250, 1))
    with pytest.raises(BitspikeError, match=r"rate_hz = 0\.001 is too low at 24000 Hz; decimate in two stages"):
        Decimate(DecimateParameters(rate_hz=0.001, passband_hz=0.0003), SampleFormat(24_000, 1))
    with pytest.raises(BitspikeError, match="stage decimate: passband_hz = 480: choose up to 450"):
        Decimate(DecimateParameters(passband_hz=480), SampleFormat(24_000, 1))
    with pytest.raises(BitspikeError, match="the integrator-comb of order 4 and ratio 25 could need 35 bits and has 32"):
        Decimate(DecimateParameters(order=4), SampleFormat(100_000, 1))
    with pytest.raises(BitspikeError, match="a ratio of 600 in one step does not fit 32 bits; decimate in two stages"):
        Decimate(DecimateParameters(rate_hz=10, passband_hz=3), SampleFormat(24_000, 1))
