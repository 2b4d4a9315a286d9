"""Principal axes of integer vectors, in integers: orthogonal iteration with a fixed number of rounds.

V <- orthonormalise(S V), S the scatter matrix (Golub and Van Loan, Matrix Computations, 7.3.2; modified Gram-Schmidt, 5.2.8).
Products are taken by the floating-point matrix product where every sum is below 2^53, so that they are exact integers in any
order.
"""

from __future__ import annotations

import numpy as np

from pipeline.errors import BitspikeError
from pipeline.fixed import isqrt64, kernel

ROUNDS = 40
AXIS_BITS = 20  # of a unit vector, while iterating
SCATTER_BITS = 22
MAX_LENGTH = 1024
MAX_VECTORS = 1 << 14


@kernel
def _orthonormalise(vectors, axes):  # type: ignore[no-untyped-def]
    """Fill `axes`, int64 [count, length], with unit vectors in Q20, from `vectors`, int64, which is used up; zero for no vector."""
    count, length = vectors.shape
    for p in range(count):
        for _ in range(2):  # the second pass removes what rounding left
            largest = np.int64(0)
            for m in range(length):
                largest = max(largest, abs(vectors[p, m]))
            if largest == 0:
                break
            while largest >= np.int64(1) << np.int64(26):
                largest >>= np.int64(1)
                for m in range(length):
                    vectors[p, m] >>= np.int64(1)
            while largest < np.int64(1) << np.int64(25):
                largest <<= np.int64(1)
                for m in range(length):
                    vectors[p, m] <<= np.int64(1)
            for q in range(p):
                dot = np.int64(0)
                for m in range(length):
                    dot += vectors[p, m] * axes[q, m]
                dot >>= np.int64(AXIS_BITS)
                for m in range(length):
                    vectors[p, m] -= (dot * axes[q, m]) >> np.int64(AXIS_BITS)
        norm = np.int64(0)
        for m in range(length):
            norm += vectors[p, m] * vectors[p, m]
        norm = max(isqrt64(norm), np.int64(1))
        for m in range(length):
            scaled = (vectors[p, m] << np.int64(AXIS_BITS)) + (norm >> np.int64(1))
            axes[p, m] = scaled // norm


def principal_components(data: np.ndarray, count: int) -> np.ndarray:
    """Return the principal axes of `data`, the direction of largest variance first.

    Parameters
    ----------
    data : numpy.ndarray
        int16 [n, length], n at most 2**14 and length at most 1024.
    count : int
        How many axes, at most `length`.

    Returns
    -------
    numpy.ndarray
        int16 [count, length], unit vectors in Q15 (1 is held at 32767); the largest component of each is positive.

    Raises
    ------
    BitspikeError
        No vectors, or more or longer ones than integers of 53 bits allow.
    """
    n, length = data.shape
    if not 2 <= n <= MAX_VECTORS or not 1 <= count <= length <= MAX_LENGTH:
        raise BitspikeError(f"principal components: {count} of {n} vectors of {length}; at most {MAX_VECTORS} of {MAX_LENGTH}")
    exact = data.astype(np.float64)
    total = exact.sum(axis=0).astype(np.int64)
    scatter = (exact.T @ exact).astype(np.int64) - np.outer(total, total) // n
    shift = max(0, int(scatter.max(initial=1)).bit_length() - SCATTER_BITS)
    scaled = (scatter >> shift).astype(np.float64)
    axes = _start(count, length)
    vectors = np.zeros((count, length), np.int64)
    for _ in range(ROUNDS):
        vectors[:] = (axes.astype(np.float64) @ scaled).astype(np.int64)
        _orthonormalise(vectors, axes)
    rounded = np.clip((axes + (1 << (AXIS_BITS - 16))) >> (AXIS_BITS - 15), -32767, 32767).astype(np.int16)
    largest = np.take_along_axis(rounded, np.abs(rounded.astype(np.int32)).argmax(axis=1)[:, None], axis=1)
    return np.where(largest < 0, -rounded, rounded).astype(np.int16)


def _start(count: int, length: int) -> np.ndarray:
    """Return vectors to start from, all different: the high bits of a linear congruential sequence, int64 Q20 [count, length]."""
    value, axes = np.uint64(1), np.zeros((count, length), np.int64)
    for p in range(count):
        for m in range(length):
            value = (value * np.uint64(1664525) + np.uint64(1013904223)) & np.uint64(0xFFFFFFFF)
            axes[p, m] = (int(value) >> 12) - (1 << 19)
    return axes
