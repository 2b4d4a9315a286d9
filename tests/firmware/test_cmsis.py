"""Filters made for CMSIS-DSP give its bits: `biquad` on every engine against the package that the library's makers put on PyPI."""

from __future__ import annotations

import cmsisdsp
import numpy as np
import pytest

from firmware import build
from firmware.native import Native
from firmware.target import Target
from pipeline.blocks import SampleFormat
from pipeline.checks import extreme_signals, random_bounds, run
from pipeline.neural.bandpass import butterworth_sections
from pipeline.neural.biquad import MAX_POST_SHIFT, MAX_SECTIONS, TERMS, Biquad, BiquadParameters
from pipeline.stage import HOST

MOST, CHANNELS, FRAMES = 24, 3, 600


@pytest.fixture(scope="module", params=["host", "native", "native with DSP variants", *build.CORES])
def engine(request):
    if request.param == "host":
        return HOST
    if request.param in build.CORES:
        return Target(request.param, MOST)
    dsp = int("DSP" in request.param)
    return Native(build.host_library(["gcc", f"-DBS_DSP={dsp}"], "-O2", MOST))


def arm_biquad_cascade_df1_q15(p: BiquadParameters, x: np.ndarray) -> np.ndarray:
    """CMSIS-DSP's answer, channel by channel: int16 [frames, channels]."""
    sections = len(p.coefficients) // TERMS
    y = np.empty_like(x)
    for channel in range(x.shape[1]):
        instance = cmsisdsp.arm_biquad_casd_df1_inst_q15()
        coefficients, state = np.array(p.coefficients, np.int16), np.zeros(4 * sections, np.int16)
        cmsisdsp.arm_biquad_cascade_df1_init_q15(instance, sections, coefficients, state, p.post_shift)
        y[:, channel] = cmsisdsp.arm_biquad_cascade_df1_q15(instance, np.ascontiguousarray(x[:, channel]))
    return y


def require_same_bits(p, x, engine, seed=0):
    signal = SampleFormat(24_000, x.shape[1])
    got = run(Biquad(p, signal, engine=engine), x, random_bounds(len(x), np.random.default_rng(seed)), signal).data
    np.testing.assert_array_equal(got, arm_biquad_cascade_df1_q15(p, x))


@pytest.mark.parametrize("order", [1, 2, 4])
def test_band_passes(engine, order):
    p = BiquadParameters.of(butterworth_sections(order, 300, 6000, 24_000))
    for _, x in extreme_signals(FRAMES, SampleFormat(24_000, CHANNELS)):
        require_same_bits(p, x, engine)


@pytest.mark.parametrize("post_shift", range(MAX_POST_SHIFT + 1))
def test_coefficients_of_any_kind(engine, post_shift):
    """Also those of filters that blow up: every sum saturates then, and nothing else may happen."""
    rng = np.random.default_rng(post_shift)
    sections = int(rng.integers(1, MAX_SECTIONS + 1))
    rows = rng.integers(-32768, 32768, (sections, TERMS)) >> rng.integers(0, 6, (sections, TERMS))
    rows[rng.integers(0, 5, rows.shape) == 0] = -32768
    rows[:, 1] = 0
    x = rng.integers(-32768, 32768, (FRAMES, CHANNELS)).astype(np.int16)
    x[rng.integers(0, 5, x.shape) == 0] = -32768
    require_same_bits(BiquadParameters(tuple(rows.reshape(-1).tolist()), post_shift), x, engine, post_shift)


def test_the_largest_sums(engine):
    """All coefficients and values at the ends of their range, so that 33 bits and a sign are needed."""
    ends = np.array([-32768, 32767], np.int16)
    for number in range(32):
        rows = ends[number >> np.arange(5) & 1]
        p = BiquadParameters((int(rows[0]), 0, *map(int, rows[1:])), number % 3)
        x = ends[np.random.default_rng(number).integers(0, 2, (60, 1))]
        require_same_bits(p, x, engine, number)
