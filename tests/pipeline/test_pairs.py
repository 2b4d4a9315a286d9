"""Pairs of int16 against NumPy: what is zipped, multiplied and packed is in the order of the channels again."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from pipeline import lanes, pairs
from pipeline.lanes import WIDTH, WIDTH16


@njit
def combined(x, y, a, b, out):
    for n in range(len(x)):
        for c in range(0, x.shape[1], WIDTH16):
            one, two = pairs.zipped(lanes.load16(x, n, c), lanes.load16(y, n, c))
            factors = pairs.splat_pair(a, b)
            lanes.store(out, n, c, pairs.packed(lanes.pair_products(one, factors), lanes.pair_products(two, factors)))


@pytest.mark.parametrize(("a", "b"), [(1, 0), (0, 1), (-1, 1), (0, -1), (20_000, -32_768), (32_767, 3)])
def test_zipped_products_are_packed_in_the_order_of_the_channels_and_held_within_int16(a, b):
    rng = np.random.default_rng(1)
    x, y = (rng.integers(-(2**15), 2**15, (40, 2 * WIDTH16)).astype(np.int16) for _ in range(2))
    x[:2], y[:2] = [[-32_768], [32_767]], [[32_767], [-32_768]]
    out = np.zeros_like(x)
    combined(x, y, a, b, out)
    np.testing.assert_array_equal(out, np.clip(a * x.astype(np.int64) + b * y.astype(np.int64), -(2**15), 2**15 - 1))


@njit
def halved(x, out):
    for n in range(len(x)):
        one, two = pairs.crossed(lanes.load(x, n, 0), lanes.load(x, n, WIDTH))
        first, second = pairs.crossed(one, two)
        lanes.store(out, n, 0, pairs.packed(one >> 16, two >> 16))  # the high halves
        lanes.store(out, n, WIDTH16, pairs.odd_from(lanes.splat16(7), pairs.halves(first)))
        lanes.store(out, n, 2 * WIDTH16, pairs.odd_from(lanes.splat16(7), pairs.halves(second)))


def test_crossing_twice_changes_nothing_and_once_is_the_order_of_packed():
    x = np.random.default_rng(2).integers(-(2**31), 2**31, (30, WIDTH16)).astype(np.int32)
    out = np.zeros((30, 3 * WIDTH16), np.int16)
    halved(x, out)
    np.testing.assert_array_equal(out[:, :WIDTH16], x >> 16)
    np.testing.assert_array_equal(out[:, WIDTH16::2], 7)
    np.testing.assert_array_equal(out[:, WIDTH16 + 1 :: 2], x >> 16)


@njit
def pairs_of(x, out):
    for n in range(len(out)):
        lanes.store(out, n, 0, pairs.load_pair(x, n))


def test_a_pair_is_loaded_from_anywhere():
    x, out = np.arange(-7, 10).astype(np.int16), np.zeros((16, WIDTH16), np.int16)
    pairs_of(x, out)
    np.testing.assert_array_equal(out, np.tile(np.stack([x[:-1], x[1:]], axis=1), (1, WIDTH)))


@njit
def beyond(a, b, out, found):
    for n in range(len(a)):
        excess = lanes.excess16(lanes.load16(a, n, 0), lanes.load16(b, n, 0))
        lanes.store(out, n, 0, excess)
        found[n] = lanes.some(excess)


def test_excess_is_of_uint16_and_some_sees_a_single_lane():
    a = np.random.default_rng(3).integers(0, 2**16, (200, WIDTH16)).astype(np.uint16)
    b = np.random.default_rng(4).integers(0, 2**16, (200, WIDTH16)).astype(np.uint16)
    a[:50] = b[:50]
    a[:WIDTH16] += np.eye(WIDTH16, dtype=np.uint16)  # one lane, beyond by 1 where it does not wrap
    out, found = np.zeros_like(a), np.zeros(len(a), np.bool_)
    beyond(a.view(np.int16), b.view(np.int16), out.view(np.int16), found)
    expected = np.maximum(a.astype(np.int64) - b, 0)
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(found, expected.any(axis=1))
    assert found[:WIDTH16].sum() >= WIDTH16 - 1
    assert not found[WIDTH16:50].any()


@njit
def there_and_back(x, wide, y, columns):
    pairs.spread(x, wide, len(x), columns)
    pairs.spread(wide, y, len(x), columns)


@pytest.mark.parametrize("columns", range(1, WIDTH16))
def test_rows_are_spread_and_brought_back_without_touching_what_lies_around(columns):
    for rows in (1, 2, 5, 40):
        for between in (0, 3):
            memory = np.full((rows + 2, columns + between), 77, np.int16)
            x = np.random.default_rng(rows).integers(-(2**15), 2**15, (rows, columns + between)).astype(np.int16)
            wide, expected = np.zeros((rows, WIDTH16), np.int16), memory.copy()
            there_and_back(x, wide, memory[1:-1], columns)
            expected[1:-1, :columns] = x[:, :columns]
            np.testing.assert_array_equal(wide[:, :columns], x[:, :columns])
            np.testing.assert_array_equal(memory, expected)
