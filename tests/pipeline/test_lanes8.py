"""Lanes of int8 compute what int8 columns of NumPy compute."""

from __future__ import annotations

import numpy as np
from numba import njit

from pipeline import lanes
from pipeline.lanes import WIDTH16
from pipeline.lanes8 import WIDTH8, half, load8, narrowed, splat8

ENDS = [-32768, -129, -128, -127, -1, 0, 1, 126, 127, 128, 32767]


def columns(rows: int) -> np.ndarray:
    """Random int16 [rows, WIDTH8], most of them near int8, the ends of the range among them."""
    rng = np.random.default_rng(rows)
    x = rng.integers(-200, 200, (rows, WIDTH8)).astype(np.int16)
    x[rng.random(x.shape) < 0.1] = 3000
    for row in x:
        row[rng.permutation(WIDTH8)[: len(ENDS)]] = ENDS
    return x


@njit
def narrow(x, small, wide, ends):
    for n in range(len(x)):
        a, b = lanes.load16(x, n, 0), lanes.load16(x, n, WIDTH16)
        lanes.store(small, n, 0, narrowed(a, b))
        again = load8(small, n, 0)
        lanes.store(wide, n, 0, half(again, 0))
        lanes.store(wide, n, WIDTH16, half(again, WIDTH16))
        ends[n, 0], ends[n, 1] = lanes.least(a), lanes.most(b)


@njit
def count(x, trial, out):
    for n in range(len(x)):
        value = load8(x, n, 0)
        below = splat8(5) - lanes.less(value, splat8(trial))
        lanes.store(out, n, 0, lanes.chosen(lanes.less(splat8(5), below), value + trial, below))


def test_narrowed_holds_within_int8_and_keeps_the_order_of_lanes():
    x = columns(50)
    small, wide, ends = np.zeros(x.shape, np.int8), np.zeros(x.shape, np.int16), np.zeros((len(x), 2), np.int64)
    narrow(x, small, wide, ends)
    np.testing.assert_array_equal(small, np.clip(x, -128, 127))
    np.testing.assert_array_equal(wide, small)
    np.testing.assert_array_equal(ends[:, 0], x[:, :WIDTH16].min(axis=1))
    np.testing.assert_array_equal(ends[:, 1], x[:, WIDTH16:].max(axis=1))


def test_arithmetic_is_modulo_256():
    x = np.clip(columns(30), -128, 127).astype(np.int8)
    for trial in (-128, -1, 0, 100, 127):
        out = np.zeros(x.shape, np.int8)
        count(x, trial, out)
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(out, np.where(x < trial, x + np.int8(trial), 5).astype(np.int8))
