"""Scratch memory."""

from __future__ import annotations

import numpy as np
from numba import njit

from pipeline import memory


@njit
def turned(x, y):
    """Copy x to y by way of the stack, its columns as rows."""
    kept = memory.scratch((x.shape[1], x.shape[0], 1), np.int16)
    aligned = memory.scratch((3,), np.uint8).ctypes.data % memory.ALIGNMENT == 0
    for n in range(len(x)):
        for c in range(x.shape[1]):
            kept[c, n, 0] = x[n, c]
    for c in range(len(kept)):
        row = kept[c]
        for n in range(len(row)):
            y[c, n] = row[n, 0]
    return aligned and kept.size == x.size


def test_scratch_memory_holds_what_is_put_there():
    x = np.random.default_rng(0).integers(-(2**15), 2**15, (17, 5)).astype(np.int16)
    y = np.zeros((5, 17), np.int16)
    assert turned(x, y)
    np.testing.assert_array_equal(y, x.T)
