"""The converter against its formula in Python integers, and against what a high-pass and a quantiser do in float64."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from scipy import signal as scipy_signal

from pipeline.blocks import SATURATED, SampleFormat, Samples
from pipeline.checks import extreme_signals
from pipeline.errors import BitspikeError
from pipeline.neural.adc import Adc, AdcParameters


def nearest(value: Fraction) -> int:
    """Round to nearest, halves up."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def formula(stage: Adc, x: np.ndarray) -> np.ndarray:
    """The formula of the module in exact fractions: int16 [frames, channels]."""
    t, y = stage.tables, np.zeros_like(x)
    scale, coupling = Fraction(int(t["gain"]), 2 ** int(t["shift"])), int(t["coupling"])
    for channel in range(x.shape[1]):
        level = int(x[0, channel]) * 2**14
        for n, value in enumerate(x[:, channel].tolist()):
            level += nearest(Fraction(value * 2**14 - level, 2**coupling))
            centred = value - nearest(Fraction(level, 2**14))
            y[n, channel] = min(max(nearest(centred * scale), int(t["low"])), int(t["top"]))
    return y


@pytest.mark.parametrize(
    ("parameters", "uv"),
    [
        (AdcParameters(), 0.5),
        (AdcParameters(bits=12, lsb_uv=0.195, coupling_hz=30), 0.195),
        (AdcParameters(bits=16, lsb_uv=0.01), 3.0),
        (AdcParameters(bits=2), 0.0),
        (AdcParameters(bits=16), 0.0),
    ],
)
def test_equals_its_formula(parameters, uv):
    for channels in (1, 11, 20):  # the last registers of 20 overlap
        signal = SampleFormat(24_000, channels, uv_per_count=uv)
        for _, x in extreme_signals(300, signal):
            np.testing.assert_array_equal(Adc(parameters, signal).process(Samples(0, x)).data, formula(Adc(parameters, signal), x))


@pytest.mark.parametrize("channels", [15, 20])
def test_blocks_of_any_length_equal_the_formula(channels):
    x = np.random.default_rng(channels).integers(-(2**15), 2**15, (500, channels)).astype(np.int16)
    stage = Adc(AdcParameters(bits=12, lsb_uv=0.195, coupling_hz=30), SampleFormat(24_000, channels, uv_per_count=0.195))
    blocks = [stage.process(Samples(first, x[first:last])).data for first, last in pairwise([0, 1, 3, 67, 131, 132, 500])]
    np.testing.assert_array_equal(np.concatenate(blocks), formula(stage, x))


def test_removes_a_constant_offset_from_the_first_frame_on():
    x = np.tile(np.array([2056, -30_000, 32_767, 0], np.int16), (1000, 1))
    assert not Adc(AdcParameters(), SampleFormat(15_000, 4)).process(Samples(0, x)).data.any()


def test_follows_drift_like_a_first_order_high_pass():
    rate, coupling = 24_000, 8
    stage = Adc(AdcParameters(bits=16, lsb_uv=1.0, coupling_hz=rate / (2 * np.pi * 2**coupling)), SampleFormat(rate, 1, 1.0))
    t = np.arange(rate)
    x = np.rint(8000 * np.sin(2 * np.pi * 3 * t / rate) + 3000 + 500 * np.sin(2 * np.pi * 700 * t / rate)).astype(np.int16)
    y = stage.process(Samples(0, x[:, None])).data[:, 0]
    a = 2.0**-coupling
    ideal = x - scipy_signal.lfilter([a], [1, a - 1], x - float(x[0])) - x[0]
    assert np.abs(y - ideal).max() <= 1.5  # rounding of the level and of its steps
    # and the corner is where the stage says that it is
    corner = stage.proofs["corner of the coupling, Hz"]
    frequencies, response = scipy_signal.freqz([1 - a, a - 1], [1, a - 1], worN=2**16, fs=rate)
    assert frequencies[np.argmin(np.abs(np.abs(response) - np.sqrt(0.5)))] == pytest.approx(corner, rel=0.02)


@pytest.mark.parametrize("bits", [9, 12])
@pytest.mark.parametrize("uv", [0.195, 2.34, 12.0])
def test_automatic_scale_reaches_640_uv(bits, uv):
    stage = Adc(AdcParameters(bits=bits), SampleFormat(30_000, 1, uv_per_count=uv))
    assert stage.output.bits == bits
    assert stage.output.uv_per_count == pytest.approx(640 / 2 ** (bits - 1), rel=1e-4)
    x = np.zeros((100, 1), np.int16)
    x[50:52, 0] = [round(-300 / uv), round(300 / uv)]
    codes = stage.process(Samples(0, x)).data[:, 0] * stage.output.uv_per_count
    lsb = stage.output.uv_per_count
    np.testing.assert_allclose(codes[50:52], x[50:52, 0] * uv, atol=0.51 * lsb + uv)
    x[50:52, 0] = [round(-700 / uv), round(700 / uv)]
    codes = Adc(AdcParameters(bits=bits), SampleFormat(30_000, 1, uv_per_count=uv)).process(Samples(0, x)).data[:, 0]
    assert codes[50:52].tolist() == [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1]


def test_without_microvolts_full_scale_stays_full_scale():
    signal = SampleFormat(20_000, 1, bits=12)
    stage = Adc(AdcParameters(bits=9), signal)
    x = np.array([[0], [8], [-8], [2040], [-2048], [3], [4]], np.int16)
    assert stage.process(Samples(0, x)).data[:, 0].tolist() == [0, 1, -1, 255, -256, 0, 1]
    assert stage.output.uv_per_count == 0
    narrow = Adc(AdcParameters(bits=12), signal.with_(bits=10))
    assert narrow.process(Samples(0, x)).data[:, 0].tolist() == x[:, 0].tolist()


def test_flags_pass():
    flags = np.array([0, SATURATED, 0], np.uint8)
    result = Adc(AdcParameters(), SampleFormat(20_000, 2)).process(Samples(7, np.zeros((3, 2), np.int16), flags))
    assert result.start == 7
    np.testing.assert_array_equal(result.frame_flags, flags)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bits": 1}, "bits = 1: choose 2 to 16"),
        ({"lsb_uv": -1.0}, r"lsb_uv = -1\.0"),
        ({"coupling_hz": 0.0}, r"coupling_hz = 0\.0"),
    ],
)
def test_refuses_bad_parameters(values, message):
    with pytest.raises(BitspikeError, match=message):
        AdcParameters(**values)


def test_refuses_what_does_not_fit_the_recording():
    with pytest.raises(BitspikeError, match="stage adc: lsb_uv: the recording does not say its microvolts per count"):
        Adc(AdcParameters(lsb_uv=2.0), SampleFormat(20_000, 1))
    with pytest.raises(BitspikeError, match="stage adc: lsb_uv: a count of the input would be 1e"):
        Adc(AdcParameters(lsb_uv=0.0001), SampleFormat(20_000, 1, uv_per_count=1.0))
    with pytest.raises(BitspikeError, match=r"stage adc: coupling_hz = 0.001: choose 0\.19 to 1\.6e\+03 at 20000 Hz"):
        Adc(AdcParameters(coupling_hz=0.001), SampleFormat(20_000, 1))
