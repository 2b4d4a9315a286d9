"""Lanes compute what int32 columns of NumPy compute, modulo 2**32."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import njit

from pipeline import lanes, narrow, turning, wide
from pipeline.lanes import WIDTH

ENDS = np.array([-(2**31), 2**31 - 1, -1, 0, 1, -(2**30), 2**30, 12345], np.int32)


def columns(rows: int, seed: int, dtype=np.int32) -> np.ndarray:
    """Random full-range values, int [rows, 3 WIDTH], the ends of the range among them."""
    limits = np.iinfo(dtype)
    x = np.random.default_rng(seed).integers(limits.min, limits.max, (rows, 3 * WIDTH), dtype, endpoint=True)
    x[:4, : len(ENDS)] = np.clip(ENDS, limits.min, limits.max)
    return x


@njit
def apply(kind, a, b, shift, out):
    for n in range(len(a)):
        for c in range(0, a.shape[1], WIDTH):
            x, y = lanes.load(a, n, c), lanes.load(b, n, c)
            if kind == 0:
                lanes.store(out, n, c, x + y)
            elif kind == 1:
                lanes.store(out, n, c, x - y)
            elif kind == 2:
                lanes.store(out, n, c, x << shift)
            elif kind == 3:
                lanes.store(out, n, c, x >> shift)
            elif kind == 4:
                lanes.store(out, n, c, x + shift)
            elif kind == 5:
                lanes.store(out, n, c, lanes.clipped(x, -32768, shift))
            elif kind == 6:
                lanes.store(out, n, c, x * y)
            else:
                lanes.store(out, n, c, lanes.splat(shift) - y)


ORACLES = (
    lambda a, b, s: a + b,
    lambda a, b, s: a - b,
    lambda a, b, s: a << s,
    lambda a, b, s: a >> s,
    lambda a, b, s: a + s,
    lambda a, b, s: np.clip(a, -32768, s),
    lambda a, b, s: a * b,
    lambda a, b, s: s - b,
)


@pytest.mark.parametrize("kind", range(len(ORACLES)))
@pytest.mark.parametrize("dtype", [np.int16, np.int32])
def test_operations(kind, dtype):
    a, b = columns(50, 1, dtype), columns(50, 2, dtype)
    for shift in (1, 7, 30):
        out = np.zeros_like(a, np.int32)
        apply(kind, a, b, shift, out)
        expected = ORACLES[kind](a.astype(np.int64), b.astype(np.int64), shift)
        np.testing.assert_array_equal(out, expected.astype(np.int32))  # keeps the low 32 bits


def test_store_keeps_the_low_bits_of_int16():
    a = columns(20, 3)
    out = np.zeros(a.shape, np.int16)
    apply(0, a, np.zeros_like(a), 0, out)
    np.testing.assert_array_equal(out, a.astype(np.int16))


@njit
def products(a, b, ka, kb, out29, out1, out31):
    for n in range(len(a)):
        for column in range(0, a.shape[1], WIDTH):
            x, y = lanes.load(a, n, column), lanes.load(b, n, column)
            lanes.store(out29, n, column, lanes.two_products(x, ka, y, kb, 29))
            lanes.store(out1, n, column, lanes.two_products(x, ka, y, kb, 1))
            lanes.store(out31, n, column, lanes.two_products(x, ka, y, kb, 31))


@njit
def wide_products(a, b, ka, kb, out29, out1, out31):
    for n in range(len(a)):
        for column in range(0, a.shape[1], 2 * WIDTH):
            x, y = wide.load(a, n, column), wide.load(b, n, column)
            wide.store(out29, n, column, lanes.two_products(x, ka, y, kb, 29))
            wide.store(out1, n, column, lanes.two_products(x, ka, y, kb, 1))
            wide.store(out31, n, column, lanes.two_products(x, ka, y, kb, 31))


@njit
def narrow_products(a, b, ka, kb, out29, out1, out31):
    for n in range(len(a)):
        for column in range(0, a.shape[1], narrow.COUNT):
            x, y = narrow.load(a, n, column) & 0xFFFFFFFF, narrow.load(b, n, column)  # with and without the sign in the high half
            narrow.store(out29, n, column, lanes.two_products(x, ka, y, kb, 29))
            narrow.store(out1, n, column, lanes.two_products(x, ka, y, kb, 1))
            narrow.store(out31, n, column, lanes.two_products(x, ka, y, kb, 31))


@pytest.mark.parametrize("compiled", [products, wide_products, narrow_products])
def test_two_products_keep_the_low_half_of_the_shifted_sum(compiled):
    a, b = (np.ascontiguousarray(columns(100, seed)[:, : 2 * WIDTH]) // 2 for seed in (4, 5))  # so that the sum fits int64
    for k in ((1, 2), (-(2**31), 2**31 - 1), (536870911, -987654321)):
        outs = [np.zeros_like(a) for _ in range(3)]
        compiled(a, b, *(np.int32(v) for v in k), *outs)
        total = sum(v.astype(object) * one for v, one in zip((a, b), k, strict=True))
        for shift, out in zip((29, 1, 31), outs, strict=True):
            expected = np.array([[(int(v) >> shift) & 0xFFFFFFFF for v in row] for row in total], np.uint32).view(np.int32)
            np.testing.assert_array_equal(out, expected)


@njit
def apply16(a, b, out):
    for n in range(len(a)):
        for c in range(0, a.shape[1], lanes.WIDTH16):
            x, y = lanes.load16(a, n, c), lanes.load16(b, n, c)
            lanes.store(out[0], n, c, x + y)
            lanes.store(out[1], n, c, x - lanes.splat16(5))
            lanes.store(out[2], n, c, lanes.difference16(x, y))
            lanes.store(out[3], n, c, lanes.smaller(x, y))
            lanes.store(out[4], n, c, lanes.larger(x, y))
            lanes.store(out[5], n, c, lanes.less(x, y))
            lanes.store(out[6], n, c, lanes.chosen(lanes.less(x, y), x, y + 1))
            lanes.store(out[7], n, c, lanes.clipped(x, -7, 300))


def test_operations_on_int16():
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-(2**15), 2**15, (60, 2 * lanes.WIDTH16)).astype(np.int16) for _ in range(2))
    a[0, :3], b[0, :3] = [-32768, 32767, 5], [32767, -32768, 5]
    out = np.zeros((8, *a.shape), np.int16)
    apply16(a, b, out)
    x, y = a.astype(np.int64), b.astype(np.int64)
    below = np.where(x < y, -1, 0)
    smaller, larger = np.minimum(x, y), np.maximum(x, y)
    chosen = np.where(x < y, x, y + 1)
    expected = [x + y, x - 5, np.clip(x - y, -32768, 32767), smaller, larger, below, chosen, np.clip(x, -7, 300)]
    np.testing.assert_array_equal(out, np.array(expected).astype(np.int16))


@njit
def turn(x, tile, y):
    turning.turn_in(x, 1, 2, tile, 3, 1)
    turning.turn_out(tile, 3, 1, y, 4, 0)


def test_turning_exchanges_rows_and_columns_and_touches_nothing_else():
    x = np.random.default_rng(0).integers(-(2**15), 2**15, (20, 12)).astype(np.int16)
    tile, y = np.zeros((12, 20), np.int16), np.zeros_like(x)
    turn(x, tile, y)
    expected, back = np.zeros_like(tile), np.zeros_like(y)
    expected[3:11, 1:17] = x[1:17, 2:10].T
    back[4:20, 0:8] = x[1:17, 2:10]
    np.testing.assert_array_equal(tile, expected)
    np.testing.assert_array_equal(y, back)


@njit
def logic(a, b, out, found):
    for n in range(len(a)):
        x, y = lanes.load16(a, n, 0), lanes.load16(b, n, 0)
        lanes.store(out[0], n, 0, x & y)
        lanes.store(out[1], n, 0, x | y)
        lanes.store(out[2], n, 0, x ^ y)
        lanes.store(out[3], n, 0, x ^ -1)
        found[n, 0] = lanes.bits(x & y)
        found[n, 1] = lanes.some(x & y)
        found[n, 2] = lanes.lowest(found[n, 0]) if found[n, 0] != 0 else -1


def test_logic_on_int16_and_which_lanes_are_not_zero():
    rng = np.random.default_rng(3)
    a, b = (rng.integers(-(2**15), 2**15, (200, lanes.WIDTH16)).astype(np.int16) for _ in range(2))
    a[:100][rng.random((100, lanes.WIDTH16)) < 0.9] = 0
    out, found = np.zeros((4, *a.shape), np.int16), np.zeros((len(a), 3), np.int64)
    logic(a, b, out, found)
    for got, expected in zip(out, (a & b, a | b, a ^ b, ~a), strict=True):
        np.testing.assert_array_equal(got, expected)
    set_ = (a & b) != 0
    np.testing.assert_array_equal(found[:, 0], set_ @ (1 << np.arange(lanes.WIDTH16)))
    np.testing.assert_array_equal(found[:, 1], set_.any(axis=1))
    np.testing.assert_array_equal(found[:, 2], np.where(set_.any(axis=1), set_.argmax(axis=1), -1))
    assert 5 < (~set_.any(axis=1)).sum() < 195


def rounding(kind, width):
    change, store_rounded, load, store = kind.change, kind.store_rounded, kind.load, kind.store

    @njit
    def apply_rounding(x, before, gain, scale, shift, out, rows, rounded):
        for n in range(len(x)):
            for c in range(0, x.shape[1], width):
                value = change(x, n, before, n, c, gain, scale)
                store(out, n, c, value)
                store(rows, n, c, load(x, n, c) + 1)
                store_rounded(rounded, n, c, value, shift)

    return apply_rounding


@pytest.mark.parametrize(("kind", "width"), [(lanes, WIDTH), (wide, 2 * WIDTH), (narrow, narrow.COUNT)])
def test_changes_and_rounding_are_alike_in_registers_of_any_kind_and_keep_the_channels_order(kind, width):
    rng = np.random.default_rng(7)
    x, before = (rng.integers(-(2**15), 2**15, (50, 2 * WIDTH)).astype(np.int16) for _ in range(2))
    x[0], before[0] = -32768, 32767
    x[1], before[1] = 32767, -32768
    compiled = rounding(kind, width)
    for scale, shift in ((0, 10), (3, 12), (2, 1)):
        out, rows, rounded = np.zeros(x.shape, np.int32), np.zeros(x.shape, np.int16), np.zeros(x.shape, np.int16)
        compiled(x, before, np.int32(32767), np.int32(scale), np.int32(shift), out, rows, rounded)
        expected = ((x.astype(np.int64) - before) * 32767) >> scale
        np.testing.assert_array_equal(out, expected)
        np.testing.assert_array_equal(rows, (x.astype(np.int32) + 1).astype(np.int16))
        wrapped = (expected + (1 << (shift - 1))).astype(np.int32).astype(np.int64)  # the sum is that of int32
        np.testing.assert_array_equal(rounded, np.clip(wrapped >> shift, -32768, 32767))
    assert np.abs(expected >> shift).max() > 32768


def test_processors_without_avx2_compute_the_same():
    """Another process compiles for a processor that has the least of what this kind has."""
    environment = {**os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_DISABLE_JIT": "0"}
    folder = Path(__file__).parent
    files = [__file__, *(str(folder / f"test_{name}.py") for name in ("pairs", "rows", "lanes8", "bandpass"))]
    chosen = "not test_processors and not test_bandpass or (test_equals_its_formula and -2])"  # of the band-pass, one order
    options = ["-q", "-p", "no:cacheprovider", "-k", chosen]
    done = subprocess.run([sys.executable, "-m", "pytest", *options, *files], env=environment, capture_output=True)
    assert done.returncode == 0, done.stdout.decode()
