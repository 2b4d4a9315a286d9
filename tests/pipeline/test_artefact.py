"""Flags against a plain frame-by-frame evaluation of their definition, and against signals made to raise them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from pipeline.blocks import ARTEFACT, SATURATED, SampleFormat, Samples
from pipeline.errors import BitspikeError
from pipeline.neural.artefact import AT_ONCE, Artefact, ArtefactParameters

RATE = 24_000


def definition(p: ArtefactParameters, signal: SampleFormat, x: np.ndarray, given: np.ndarray) -> np.ndarray:
    """The definition of the module for a fixed level, frame by frame: uint8 [frames]."""
    values = x.astype(np.int64)
    hold = round(p.hold_ms * signal.rate_hz / 1000)
    rails = (values <= -(2 ** (signal.bits - 1))) | (values >= 2 ** (signal.bits - 1) - 1)
    flags = given.copy()
    for n in range(len(x)):
        if n >= p.rail_samples - 1:
            saturated = rails[n - p.rail_samples + 1 : n + 1].all(axis=0)
            if saturated.sum() >= p.rail_fraction * signal.channels:
                flags[n : n + hold + 1] |= SATURATED
        if n > 0:
            stepped = np.abs(values[n] - values[n - 1]) * signal.uv_per_count > p.step_uv
            if stepped.sum() >= p.step_fraction * signal.channels:
                flags[n : n + hold + 1] |= ARTEFACT
    return flags


@pytest.mark.parametrize("channels", [1, 5, 20])
@pytest.mark.parametrize("hold_ms", [0.0, 0.2, 3.0])
def test_equals_its_definition(channels, hold_ms):
    signal = SampleFormat(RATE, channels, uv_per_count=2.0, bits=10)
    rng = np.random.default_rng(channels)
    x = np.clip(rng.normal(0, 60, (4000, channels)), -512, 511).astype(np.int16)
    for at in rng.integers(0, 4000, 40):  # steps and rails of random length on a random part of the channels
        some = rng.random(channels) < rng.choice([0.1, 0.5, 1.0])
        x[at : at + rng.integers(1, 6), some] = rng.choice([-512, 511, 300])
    given = (rng.random(4000) < 0.01).astype(np.uint8) * ARTEFACT
    for rail_samples, fraction in ((1, 0.01), (3, 0.25), (4, 1.0)):
        p = ArtefactParameters(rail_samples, fraction, step_uv=500.0, step_fraction=fraction, hold_ms=hold_ms)
        result = Artefact(p, signal).process(Samples(0, x, given))
        expected = definition(p, signal, x, given)
        assert all((expected & bit).any() for bit in (SATURATED, ARTEFACT))
        assert not expected.all()
        np.testing.assert_array_equal(result.frame_flags, expected)
        np.testing.assert_array_equal(result.data, x)


@pytest.mark.parametrize("channels", [15, 20])
def test_slow_changes_beyond_the_level_are_no_steps_in_blocks_of_any_length(channels):
    signal = SampleFormat(RATE, channels, uv_per_count=1.0)
    x = np.tile((np.abs(np.arange(-1000, 1000)) * 10).astype(np.int16)[:, None], (1, channels))
    x[700:, channels - 1] += 11  # while the others fall: no step of it is beyond 20
    x[1500:, channels - 1] += 11
    p = ArtefactParameters(step_uv=20.0, step_fraction=0.01, hold_ms=0.0)
    stage, bounds = Artefact(p, signal), [0, 1, 2, 40, 699, 700, 701, 1300, 1500, 2000]
    flags = np.concatenate([stage.process(Samples(first, x[first:last])).frame_flags for first, last in pairwise(bounds)])
    np.testing.assert_array_equal(np.flatnonzero(flags), [1500])
    np.testing.assert_array_equal(flags, definition(p, signal, x, np.zeros(2000, np.uint8)))


def test_largest_steps_are_measured_without_wrapping():
    p = ArtefactParameters(step_uv=32_800.0, hold_ms=0.0, rail_samples=200)
    x = np.zeros((60, 2), np.int16)
    x[20:40], x[40:] = -32_768, 32_767
    result = Artefact(p, SampleFormat(RATE, 2, uv_per_count=1.0)).process(Samples(0, x))
    assert np.flatnonzero(result.frame_flags).tolist() == [40]


def test_running_level_is_a_multiple_of_the_steps_deviation():
    channels, sigmas = 8, np.array([3, 5, 10, 20, 40, 80, 160, 320])
    stage = Artefact(ArtefactParameters(step=20.0), SampleFormat(RATE, channels))
    x = np.rint(np.random.default_rng(0).normal(0, 1, (4 * RATE, channels)) * sigmas).astype(np.int16)
    stage.process(Samples(0, x))
    np.testing.assert_allclose(stage.state["level"], 20 * np.sqrt(2) * sigmas, rtol=0.12)


def test_common_steps_are_flagged_and_spikes_are_not():
    channels = 16
    rng = np.random.default_rng(1)
    x = rng.normal(0, 10, (RATE, channels))
    for at in range(3000, RATE, 1000):
        x[at : at + 10, at // 1000 % channels] -= 600  # far beyond the level, on one channel
    x[15_500:] += 1500
    flags = Artefact(ArtefactParameters(hold_ms=1.0), SampleFormat(RATE, channels)).process(Samples(0, x.astype(np.int16))).flags
    assert np.flatnonzero(flags).tolist() == list(range(15_500, 15_525))


def test_no_artefacts_while_learning_and_the_level_survives_a_gap():
    stage = Artefact(ArtefactParameters(hold_ms=0.0), SampleFormat(RATE, 4))
    x = np.random.default_rng(2).normal(0, 10, (6000, 4)).astype(np.int16)
    x[500:] += 2000
    x[5000:] -= 2000
    assert np.flatnonzero(stage.process(Samples(0, x)).frame_flags).tolist() == [5000]
    level = stage.state["level"].copy()
    x = np.zeros((AT_ONCE, 4), np.int16)
    x[5:] = 3000
    assert np.flatnonzero(stage.process(Samples(100_000, x)).frame_flags).tolist() == [5]
    np.testing.assert_array_equal(stage.state["level"], level)


def test_the_first_frame_is_no_step_and_quiet_blocks_carry_no_flags():
    stage = Artefact(ArtefactParameters(step_uv=5.0), SampleFormat(RATE, 2, 1.0))
    assert stage.process(Samples(0, np.full((10, 2), 9000, np.int16))).flags is None
    assert stage.process(Samples(10, np.full((10, 2), -9000, np.int16))).frame_flags[0] == ARTEFACT


@pytest.mark.parametrize(
    "values",
    [
        {"rail_samples": 0},
        {"rail_fraction": 0.0},
        {"step": 1.0},
        {"step_uv": -1.0},
        {"step_fraction": 1.5},
        {"hold_ms": -1.0},
        {"noise_s": 0.0},
    ],
)
def test_refuses_bad_parameters(values):
    with pytest.raises(BitspikeError, match=next(iter(values))):
        ArtefactParameters(**values)


def test_refuses_microvolts_where_there_are_none():
    with pytest.raises(BitspikeError, match="stage artefact: step_uv: the recording does not say its microvolts per count"):
        Artefact(ArtefactParameters(step_uv=100.0), SampleFormat(RATE, 2))
