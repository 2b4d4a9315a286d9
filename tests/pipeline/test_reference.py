"""The common reference against sorting and exact fractions, for every shape of group."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from pipeline.blocks import ARTEFACT, SampleFormat, Samples
from pipeline.checks import extreme_signals
from pipeline.errors import BitspikeError
from pipeline.neural.reference import Reference, ReferenceParameters, _divider


def definition(kind: str, groups: tuple[int, ...], x: np.ndarray) -> np.ndarray:
    """Sort, or divide exactly: int16 [frames, channels]."""
    y = x.astype(np.int64)
    for group in set(groups):
        members = np.flatnonzero(np.array(groups) == group)
        count = len(members)
        if count == 1:
            continue
        if kind == "median":
            centre = np.sort(x[:, members], axis=1)[:, (count - 1) // 2].astype(np.int64)
        else:
            sums = x[:, members].sum(axis=1, dtype=np.int64)
            centre = np.array([int((Fraction(int(total), count) + Fraction(1, 2)).__floor__()) for total in sums])
        y[:, members] -= centre[:, None]
    return np.clip(y, -32768, 32767).astype(np.int16)


GROUPS = {
    "one channel": (0,),
    "two": (0, 0),
    "one group of 7": (0,) * 7,
    "one group of 68": (0,) * 68,
    "tetrodes": tuple(c // 4 for c in range(20)),
    "interleaved": tuple(c % 3 for c in range(17)),
    "a loner among others": (5, 5, 9, 5, 5, 5, 5, 5, 5, 2, 2),
}


@pytest.mark.parametrize("kind", ["median", "mean"])
@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
@pytest.mark.parametrize("frames", [1, 15, 16, 50])
def test_equals_its_definition(kind, groups, frames):
    signal = SampleFormat(24_000, len(groups), groups=groups)
    rng = np.random.default_rng(frames)
    inputs = [x for _, x in extreme_signals(frames, signal)]
    inputs += [rng.normal(100, scale, (frames, len(groups))).astype(np.int16) for scale in (1, 30, 5000)]
    for x in inputs:
        result = Reference(ReferenceParameters(kind), signal).process(Samples(0, x))
        np.testing.assert_array_equal(result.data, definition(kind, groups, x))


@pytest.mark.parametrize(
    "groups", [(0,) * 16, (0,) * 17 + (1,) * 20, (0,) * 68, (0, 1) * 66], ids=["16", "17 and 20", "68", "2 x 66"]
)
@pytest.mark.parametrize("noise", [0, 1, 20, 3000])
def test_medians_are_found_wherever_they_go(groups, noise):
    """What the channels share stays, drifts, jumps to the ends of the range and back, and leaves for a single frame."""
    signal, rng = SampleFormat(24_000, len(groups), groups=groups), np.random.default_rng(noise)
    shared = np.repeat(rng.integers(-32768, 32768, 40), 40).astype(np.int64)
    shared[320:480] = 32767
    shared[480:640] = -32768
    shared[640:800] = 0
    shared[800:1000] += np.arange(200) * 3
    alone = rng.integers(0, len(shared), 60)
    shared[alone] += rng.choice([-4000, -130, -33, -17, -9, -5, -3, -2, 2, 3, 5, 9, 17, 33, 130, 4000], 60)
    x = np.clip(shared[:, None] + np.rint(rng.normal(0, noise, (len(shared), len(groups)))), -32768, 32767).astype(np.int16)
    running = Reference(ReferenceParameters("median"), signal)
    expected = definition("median", groups, x)
    np.testing.assert_array_equal(running.process(Samples(0, x)).data, expected)
    for a in range(0, len(x), 100):
        np.testing.assert_array_equal(running.process(Samples(len(x) + a, x[a : a + 100])).data, expected[a : a + 100])


def test_removes_what_all_share_and_leaves_spikes():
    rng = np.random.default_rng(0)
    own = rng.normal(0, 5, (2000, 32))
    own[1000, 3] -= 400
    hum = 3000 * np.sin(np.arange(2000) / 50)
    y = Reference(ReferenceParameters(), SampleFormat(24_000, 32)).process(Samples(0, (own + hum[:, None]).astype(np.int16))).data
    assert abs(y.astype(float)).std() < 8
    assert y[1000, 3] < -380


@pytest.mark.parametrize("count", [1, 2, 3, 4, 31, 32, 68, 127, 1000, 8191, 8192])
def test_division_is_exact_where_it_could_first_fail(count):
    multiplier, shift = _divider(count)
    divisor, largest = 2 * count, 2 * 65535 * count + count
    assert multiplier < 2**32
    near = [q * divisor + r for q in (*range(300), *range(65_000, 65_536)) for r in (-1, 0, 1)]
    for t in (*near, largest - 1, largest):
        if 0 <= t <= largest:
            assert t * multiplier < 2**64
            assert t * multiplier >> shift == t // divisor


def test_output_format_and_flags():
    signal = SampleFormat(24_000, 3, uv_per_count=0.5, bits=9)
    stage = Reference(ReferenceParameters("mean"), signal)
    assert stage.output == signal.with_(bits=10)
    flags = np.array([0, ARTEFACT], np.uint8)
    np.testing.assert_array_equal(stage.process(Samples(0, np.zeros((2, 3), np.int16), flags)).frame_flags, flags)


def test_refuses_what_it_cannot_do():
    with pytest.raises(BitspikeError, match="kind = 'mode': choose one of mean, median"):
        ReferenceParameters("mode")
    with pytest.raises(BitspikeError, match="stage reference: groups: one has 8193 channels, at most 8192"):
        Reference(ReferenceParameters(), SampleFormat(24_000, 8193))


def test_leaves_small_groups_as_they_are():
    groups = (0, 1, 1, 0, 1, 0, 1, 2)
    x = np.random.default_rng(3).integers(-3000, 3000, (50, 8)).astype(np.int16)
    stage = Reference(ReferenceParameters("mean", least_channels=4), SampleFormat(24_000, 8, groups=groups))
    mine = [1, 2, 4, 6]
    expected = x.astype(np.int64)
    expected[:, mine] -= (2 * expected[:, mine].sum(axis=1, keepdims=True) + 4) // 8
    np.testing.assert_array_equal(stage.process(Samples(0, x)).data, expected)
