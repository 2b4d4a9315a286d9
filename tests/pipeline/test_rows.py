"""Rows of any length, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from pipeline import lanes, rows

WIDTH16 = lanes.WIDTH16
product = njit(lambda a, column, b, count: rows.dot(a, 1, column, b, 0, 2, count))
any_beyond = njit(lambda a, count, flip, level: rows.beyond(a, 1, 3, count, flip, level))


def noise(seed: int, shape: tuple[int, ...], low: int = -32768) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, 32768, shape).astype(np.int16)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 31, 32, 60, 340])
def test_products_of_any_length(count):
    a, b = noise(count, (3, 400)), noise(count + 1, (2, 400))
    a[1, :50], b[0, :50] = -32768, -32768  # as large as they come: two such products leave int32
    expected = int(np.dot(a[1, 5 : 5 + count].astype(np.int64), b[0, 2 : 2 + count].astype(np.int64)))
    assert product(a, 5, b, count) == expected


@pytest.mark.parametrize("count", [16, 17, 31, 32, 47, 60])
@pytest.mark.parametrize("flip", [0, -1])
def test_what_is_beyond_a_level_is_seen_wherever_it_is_and_nowhere_else(count, flip):
    sign = 1 if flip == 0 else -1
    for at in range(count + 2):
        a = np.zeros((3, 80), np.int16)
        a[1, 2 + at] = sign * 700
        a[1, 40] = -sign * 900
        assert any_beyond(a, count, flip, 700) == (0 < at <= count and a[1, 2 + at] == sign * 700)
        assert not any_beyond(a, count, flip, 701)


def test_the_ends_of_the_range_are_beyond_as_well():
    a = np.zeros((3, 80), np.int16)
    a[1, 10:12] = -32768, 32767
    assert any_beyond(a, 32, -1, 32768)
    assert not any_beyond(a, 32, -1, 32769)
    assert any_beyond(a, 32, 0, 32767)
    assert not any_beyond(a, 32, 0, 32768)


def test_few_values_are_not_looked_at():
    assert any_beyond(np.zeros((3, 80), np.int16), WIDTH16 - 1, 0, 1000)


@njit
def ends(a, count, out):
    lanes.store(out, 0, 0, rows.last(lanes.load16(a, 0, 0), count))
    return lanes.most(lanes.load16(a, 0, 0)), lanes.most(lanes.load(a, 0, 0))


@pytest.mark.parametrize("count", [0, 1, 7, 16])
def test_the_last_lanes_and_the_highest(count):
    a, out = noise(count, (1, WIDTH16), -32768), np.zeros((1, WIDTH16), np.int16)
    assert ends(a, count, out) == (a.max(), a[0, : lanes.WIDTH].max())
    np.testing.assert_array_equal(out[0], np.where(np.arange(WIDTH16) >= WIDTH16 - count, a[0], 0))


@pytest.mark.parametrize("extra", [(0, 0), (0, 3), (2, 0)])
def test_rows_are_moved_and_nothing_else(extra):
    move = njit(lambda a, b: rows.move(a, 2, b, 1, 4, 5))
    a, b = noise(0, (9, 5 + extra[0])), noise(1, (9, 5 + extra[1]))
    expected = b.copy()
    expected[1:5, :5] = a[2:6, :5]
    move(a, b)
    np.testing.assert_array_equal(b, expected)
