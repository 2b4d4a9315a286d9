"""Second-order sections against their formula in Python integers, against SciPy in float64, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal as scipy_signal

from pipeline.across import TILE
from pipeline.blocks import SampleFormat, Samples
from pipeline.checks import extreme_signals
from pipeline.errors import BitspikeError
from pipeline.neural.bandpass import butterworth_sections
from pipeline.neural.biquad import MAX_SECTIONS, TERMS, Biquad, BiquadParameters

RATE = 24_000.0


def formula(p: BiquadParameters, x: np.ndarray) -> np.ndarray:
    """The formula of the module in Python integers, channel by channel: int16 [frames, channels]."""
    y = np.empty_like(x)
    for channel in range(x.shape[1]):
        values = [int(v) for v in x[:, channel]]
        for first in range(0, len(p.coefficients), TERMS):
            b0, _, b1, b2, a1, a2 = (int(v) for v in p.coefficients[first : first + TERMS])
            x1 = x2 = y1 = y2 = 0
            for n, now in enumerate(values):
                total = b0 * now + b1 * x1 + b2 * x2 + a1 * y1 + a2 * y2
                x2, x1 = x1, now
                y2, y1 = y1, min(max(total >> (15 - p.post_shift), -32768), 32767)
                values[n] = y1
        y[:, channel] = values
    return y


@pytest.mark.parametrize("parameters", [*Biquad.examples(), BiquadParameters(), BiquadParameters((-32768, 0, *4 * (-32768,)), 13)])
def test_equals_its_formula(parameters):
    signal = SampleFormat(RATE, 9)
    for _, x in extreme_signals(TILE + 45, signal):
        np.testing.assert_array_equal(Biquad(parameters, signal).process(Samples(0, x)).data, formula(parameters, x))


def test_usual_parameters_pass_everything():
    x = np.random.default_rng(0).integers(-32768, 32768, (300, 3)).astype(np.int16)
    np.testing.assert_array_equal(Biquad(BiquadParameters(), SampleFormat(RATE, 3)).process(Samples(0, x)).data, x)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_sections_become_coefficients(order):
    sos = scipy_signal.butter(order, [300, 6000], "bandpass", fs=RATE, output="sos")
    p = BiquadParameters.of(sos)
    rows = np.array(p.coefficients).reshape(-1, TERMS) / 2 ** (15 - p.post_shift)
    np.testing.assert_allclose(rows[:, [0, 2, 3]], sos[:, :3], rtol=0, atol=2.0 ** (p.post_shift - 16))
    np.testing.assert_allclose(rows[:, [4, 5]], -sos[:, 4:], rtol=0, atol=2.0 ** (p.post_shift - 16))
    assert max(map(abs, p.coefficients)) >= 1 << 14  # a smaller post_shift would not have held them


def test_close_to_scipy():
    sos = butterworth_sections(2, 300, 6000, RATE)
    x = np.rint(np.random.default_rng(0).normal(0, 4000, (24_000, 1))).astype(np.int16)
    y = Biquad(BiquadParameters.of(sos), SampleFormat(RATE, 1)).process(Samples(0, x)).data[:, 0]
    ideal = scipy_signal.sosfilt(sos, x[:, 0])
    assert 10 * np.log10(np.mean(ideal**2) / np.mean((y - ideal) ** 2)) > 45


def test_proofs_say_how_large_and_how_stable():
    p = BiquadParameters((100, 0, -200, 300, 16384, -8192), 1)
    proofs = Biquad(p, SampleFormat(RATE, 1)).proofs
    assert proofs["largest sum of products"] == f"{(100 + 200 + 300 + 16384 + 8192) * 2**15} of {2**33}"
    assert proofs["largest pole"] == pytest.approx(abs(np.roots([1, -1, 0.5])).max())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"coefficients": ()}, "give 6 numbers for each of 1 to 8 sections"),
        ({"coefficients": (1, 0, 2, 3, 4)}, "give 6 numbers for each of 1 to 8 sections"),
        ({"coefficients": (0,) * TERMS * (MAX_SECTIONS + 1)}, "give 6 numbers for each of 1 to 8 sections"),
        ({"coefficients": (1, 2, 3, 4, 5, 6)}, "the second number of each section must be 0"),
        ({"coefficients": (32768, 0, 0, 0, 0, 0)}, "choose whole numbers from -32768 to 32767"),
        ({"coefficients": (0.5, 0, 0, 0, 0, 0)}, "choose whole numbers"),
        ({"post_shift": 14}, "post_shift = 14: choose 0 to 13"),
        ({"post_shift": -1}, "post_shift = -1: choose 0 to 13"),
    ],
)
def test_refuses_bad_parameters(values, message):
    with pytest.raises(BitspikeError, match=message):
        BiquadParameters(**values)


def test_refuses_sections_that_no_shift_makes_fit():
    with pytest.raises(BitspikeError, match="coefficient 8192 is too large: scale the sections to less than 8192"):
        BiquadParameters.of(np.array([[8192.0, 0, 0, 1, 0, 0]]))
