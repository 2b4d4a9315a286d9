"""The band-pass against its formula in Python integers, against SciPy in float64, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal as scipy_signal

from pipeline.across import TILE
from pipeline.blocks import SampleFormat, Samples
from pipeline.checks import extreme_signals
from pipeline.errors import BitspikeError
from pipeline.neural.bandpass import Bandpass, BandpassParameters, butterworth_sections


def formula(stage: Bandpass, x: np.ndarray) -> np.ndarray:
    """The formula of the module in Python integers, channel by channel: int16 [frames, channels]."""
    t = stage.tables
    gain, scale, shift = (int(t[name]) for name in ("gain", "scale", "shift"))
    y = np.zeros(x.shape, np.int16)
    for channel in range(x.shape[1]):
        values = [int(v) for v in x[:, channel]]
        changes = [gain * (v - older) >> scale for v, older in zip(values, [values[0]] * 2 + values, strict=False)]
        for c1, c2 in zip(t["c1"][: t["sections"]].tolist(), t["c2"].tolist(), strict=False):
            values = []
            y1 = y2 = 0
            for change in changes:
                y1, y2 = change + (c1 * y1 + c2 * y2 >> 29), y1
                assert -(2**30) <= y1 < 2**30  # so that changes stay within 32 bits
                values.append(y1)
            changes = [v - older for v, older in zip(values, [0, 0, *values], strict=False)]
        y[:, channel] = [min(max((v + (1 << (shift - 1))) >> shift, -32768), 32767) for v in values]
    return y


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 7, 8, 13, 17, 20, 23, 36])
def test_equals_its_formula(order, channels):
    stage = Bandpass(BandpassParameters(order=order), SampleFormat(24_000, channels, bits=12))
    x = np.random.default_rng(order).integers(-2048, 2048, (2 * TILE + 45, channels)).astype(np.int16)
    np.testing.assert_array_equal(stage.process(Samples(0, x)).data, formula(stage, x))


@pytest.mark.parametrize("bits", [9, 16])
def test_equals_its_formula_at_full_scale_and_never_leaves_32_bits(bits):
    signal = SampleFormat(30_000, 2, bits=bits)
    parameters = BandpassParameters(order=3, low_hz=500, high_hz=5000)
    for _, x in extreme_signals(700, signal):
        stage = Bandpass(parameters, signal)
        np.testing.assert_array_equal(stage.process(Samples(0, x)).data, formula(stage, x))


def test_worst_input_for_a_section_stays_within_32_bits():
    """The input whose signs follow the impulse response backwards drives the output to the proved bound, and no further."""
    signal = SampleFormat(24_000, 1, bits=16)
    stage = Bandpass(BandpassParameters(order=2, fraction_bits=0), signal)
    t = stage.tables
    sos = np.array([[1, 0, -1, 1, -t["c1"][s] / 2**29, -t["c2"][s] / 2**29] for s in range(2)])
    impulse = np.zeros(2000)
    impulse[0] = 1
    response = scipy_signal.sosfilt(sos, impulse)
    x = np.where(response[::-1] >= 0, 32767, -32768).astype(np.int16)
    x = np.concatenate([np.zeros(1, np.int16), x])[:, None]
    np.testing.assert_array_equal(stage.process(Samples(0, x)).data, formula(stage, x))  # asserts the range of every value
    whole = t["gain"] / 2.0 ** (t["scale"] + t["shift"])
    assert np.abs(response).sum() * whole > 1  # the bound is beyond full scale, so the headroom is needed


@pytest.mark.parametrize(("rate", "low", "high", "order"), [(24_000, 300, 6000, 2), (30_000, 300, 6000, 4), (15_000, 500, 3000, 1)])
def test_close_to_scipy(rate, low, high, order):
    signal = SampleFormat(rate, 1, uv_per_count=1.0, bits=9)
    stage = Bandpass(BandpassParameters(low, high, order), signal)
    x = np.clip(np.rint(np.random.default_rng(0).normal(0, 40, rate)), -256, 255).astype(np.int16)[:, None]
    y = stage.process(Samples(0, x)).data[:, 0] * stage.output.uv_per_count
    sos = scipy_signal.butter(order, [low, high], "bandpass", fs=rate, output="sos")
    ideal = scipy_signal.sosfilt(sos, x[:, 0] - float(x[0, 0]))
    noise = np.mean((y - ideal) ** 2)
    assert noise < 1 / 12  # below the quantisation noise of the input
    assert 10 * np.log10(np.mean(ideal**2) / noise) > 50


@pytest.mark.parametrize(("rate", "low", "high"), [(24_000, 300, 6000), (30_000, 500, 3000), (1000, 1, 100), (24_000, 50, 11_000)])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_sections_are_those_of_scipy(order, rate, low, high):
    zeros, poles, gain = scipy_signal.sos2zpk(butterworth_sections(order, low, high, rate))
    expected_zeros, expected_poles, expected_gain = scipy_signal.butter(order, [low, high], "bandpass", fs=rate, output="zpk")
    np.testing.assert_allclose(np.sort_complex(poles), np.sort_complex(expected_poles), rtol=0, atol=1e-9)
    np.testing.assert_allclose(np.sort(zeros.real), np.sort(expected_zeros.real), rtol=0, atol=1e-12)
    assert gain == pytest.approx(expected_gain, rel=1e-9)


def test_proved_bound_is_the_sum_of_absolute_impulse_responses():
    sos, bounds = butterworth_sections(2, 300, 6000, 24_000), []
    response = np.zeros(4096)
    response[0] = np.prod(sos[:, 0])
    for section in sos:
        response = scipy_signal.sosfilt([[1, 0, -1, *section[3:]]], response)
        bounds.append(np.abs(response).sum())
    proofs = Bandpass(BandpassParameters(), SampleFormat(24_000, 1, bits=9)).proofs
    full_scale = 2.0 ** (8 + proofs["fractional bits of the state"])
    assert proofs["largest value in any section"] == f"{full_scale * max(bounds):.0f} of {2**31}"


@pytest.mark.parametrize("bits", [9, 12, 16])
@pytest.mark.parametrize(("rate", "low", "high", "order"), [(24_000, 300, 6000, 2), (48_000, 500, 3000, 4), (20_000, 300, 6000, 1)])
def test_gain_in_the_middle_of_the_band_is_one(rate, low, high, order, bits):
    stage = Bandpass(BandpassParameters(low, high, order), SampleFormat(rate, 1, bits=bits))
    middle = rate / np.pi * np.arctan(np.sqrt(np.prod(np.tan(np.pi * np.array([low, high]) / rate))))
    gains = stage.responses(np.array([middle]))
    assert gains["ideal"] == pytest.approx(1)
    assert 2**14 <= stage.tables["gain"] < 2**15
    assert gains["quantised"] == pytest.approx(1, abs=2**-14)


def test_report_measures_the_noise():
    report = Bandpass(BandpassParameters(), SampleFormat(24_000, 4, bits=9)).report()
    assert report["SNDR against float64, dB"] > 60
    assert report["noise over the input's quantisation noise, dB"] < -5


def test_a_constant_gives_silence_from_the_first_sample():
    stage = Bandpass(BandpassParameters(), SampleFormat(24_000, 3))
    assert not stage.process(Samples(0, np.full((500, 3), 20_000, np.int16))).data.any()


def test_output_format_follows_the_fraction_bits():
    signal = SampleFormat(24_000, 2, uv_per_count=2.0, bits=12)
    assert Bandpass(BandpassParameters(fraction_bits=3), signal).output == signal.with_(
        bits=16, uv_per_count=0.25, input_counts=0.125
    )
    assert Bandpass(BandpassParameters(), signal).output.uv_per_count == 2.0 / 2**3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"order": 0}, "order = 0: choose 1 to 4"),
        ({"low_hz": -1.0}, "low_hz = -1.0: must lie between"),
        ({"low_hz": 7000.0}, "low_hz = 7000.0: must lie between 0 and high_hz"),
        ({"fraction_bits": 11}, "fraction_bits = 11"),
    ],
)
def test_refuses_bad_parameters(values, message):
    with pytest.raises(BitspikeError, match=message):
        BandpassParameters(**values)


def test_refuses_what_the_rate_cannot_carry():
    with pytest.raises(BitspikeError, match="stage bandpass: high_hz = 6000 must be below half the sampling rate, 5000"):
        Bandpass(BandpassParameters(), SampleFormat(10_000, 1))
    with pytest.raises(BitspikeError, match="low_hz = 1 is too low for 32-bit state at 1000 Hz: raise it, or decimate first"):
        Bandpass(BandpassParameters(low_hz=1, high_hz=100, order=4), SampleFormat(1000, 1))
    with pytest.raises(BitspikeError, match=r"low_hz = 0\.001 is too low for 32-bit state at 24000 Hz"):
        Bandpass(BandpassParameters(low_hz=0.001, high_hz=1, order=1), SampleFormat(24_000, 1))
    with pytest.raises(BitspikeError, match="low_hz = 10 is too low for 32-bit state at 24000 Hz: raise it"):
        Bandpass(BandpassParameters(low_hz=10), SampleFormat(24_000, 1))
    with pytest.raises(BitspikeError, match="low_hz = 1 is too low"):  # its rounding would be heard
        Bandpass(BandpassParameters(low_hz=1, high_hz=3000, order=3), SampleFormat(24_000, 1, bits=9))


@pytest.mark.parametrize(("rate", "high"), [(24_000, 6000), (10_000, 4000)])
def test_follows_the_rate(rate, high):
    followed = Bandpass(BandpassParameters(follow_rate=True), SampleFormat(rate, 1))
    expected = Bandpass(BandpassParameters(high_hz=high), SampleFormat(rate, 1))
    assert followed.tables.tobytes() == expected.tables.tobytes()
    assert followed.report()["noise over the input's quantisation noise, dB"] < 0


def test_does_not_follow_the_rate_into_field_potentials():
    with pytest.raises(BitspikeError, match=r"a rate of 1250 Hz leaves no band above low_hz = 300: .* choose the chain field"):
        Bandpass(BandpassParameters(follow_rate=True), SampleFormat(1250, 1))


@pytest.mark.parametrize(("low", "order", "bits"), [(5, 2, 9), (20, 2, 16), (20, 3, 16), (5, 1, 16)])
def test_low_corners_that_are_taken_have_little_noise(low, order, bits):
    assert (
        Bandpass(BandpassParameters(low, 3000, order), SampleFormat(24_000, 1, bits=bits)).report()[
            "noise over the input's quantisation noise, dB"
        ]
        < 0
    )
