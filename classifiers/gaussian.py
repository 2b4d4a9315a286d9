"""Normal distributions in integers: covariance, Cholesky factor, Mahalanobis distance, logarithms.

Features are integers below 2**23 in magnitude, so that sums of 2**14 squares stay within int64. A class is described by its
centre, by W = L^-1 in Q28, where L L^T is its covariance (Golub and Van Loan, Matrix Computations, 4.2), and by log|covariance| -
2 log(size), which is what remains of the posterior besides the distance (Bishop, Pattern Recognition and Machine Learning,
4.2.2).  Distances and logarithms are in Q8.  `firmware/src/gaussian.c` is the same text in C.
"""

from __future__ import annotations

import numpy as np

from pipeline.capacity import triangle
from pipeline.fixed import divide, inlined, isqrt64, kernel, linked

MAX_FEATURES = 8
TRIANGLE = triangle(MAX_FEATURES)
INVERSE_BITS = 28
WHITE_BITS = 4  # fractional bits of whitened features
LARGEST_WHITE = 1 << 20  # whitened features are held at 65536 standard deviations
LN2_Q8 = 177
FREE = -1  # the label of what belongs to no class


@kernel
def log2_q8(value):  # type: ignore[no-untyped-def]
    """Return log2 of a positive uint64 in Q8, rounded down: the integer part, then eight squarings of the rest."""
    whole = np.int64(0)
    rest = np.uint64(value)
    while rest >= np.uint64(1) << np.uint64(31):
        rest >>= np.uint64(1)
        whole += 1
    while rest < np.uint64(1) << np.uint64(30):
        rest <<= np.uint64(1)
        whole -= 1
    result = (whole + 30) << 8
    for bit in range(7, -1, -1):
        rest = (rest * rest) >> np.uint64(30)
        if rest >= np.uint64(1) << np.uint64(31):
            rest >>= np.uint64(1)
            result += np.int64(1) << np.int64(bit)
    return result


@kernel
def moments(features, label, which, other, centre, covariance, dimensions):  # type: ignore[no-untyped-def]
    """Fill mean and covariance of the members of class `which` (and `other`, if >= 0, each about its own mean); return their
    number.

    features: int32 [n, dimensions].  centre: int64 [2, dimensions], of `which` and `other`.  covariance: int64 [dimensions,
    dimensions], with a 64th of the mean variance, and one, added to the diagonal, so that it can always be inverted.
    """
    counts = np.zeros(2, np.int64)
    centre[:] = 0
    covariance[:] = 0
    for i in range(len(label)):
        if label[i] == which or (other >= 0 and label[i] == other):
            row = 0 if label[i] == which else 1
            counts[row] += 1
            for a in range(dimensions):
                centre[row, a] += features[i, a]
    for row in range(2):
        for a in range(dimensions):
            centre[row, a] = divide(centre[row, a], max(counts[row], 1))
    for i in range(len(label)):
        if label[i] == which or (other >= 0 and label[i] == other):
            row = 0 if label[i] == which else 1
            for a in range(dimensions):
                da = features[i, a] - centre[row, a]
                for b in range(a + 1):
                    covariance[a, b] += da * (features[i, b] - centre[row, b])
    total = max(counts[0] + counts[1], 1)
    trace = np.int64(0)
    for a in range(dimensions):
        for b in range(a + 1):
            covariance[a, b] = divide(covariance[a, b], total)
        trace += covariance[a, a]
    for a in range(dimensions):
        covariance[a, a] += (trace // dimensions >> 6) + 1
    return total


@kernel
def whitening(covariance, inverse, dimensions):  # type: ignore[no-untyped-def]
    """Fill W = L^-1 of a covariance, Q28 int32 [TRIANGLE] by rows; return log2|covariance| in Q8.

    L is in Q8; a pivot that rounding made zero or negative is taken as one.
    """
    lower = np.zeros((MAX_FEATURES, MAX_FEATURES), np.int64)
    columns = np.zeros((MAX_FEATURES, MAX_FEATURES), np.int64)
    logarithm = np.int64(0)
    for i in range(dimensions):
        for j in range(i + 1):
            rest = covariance[i, j] << 16
            for k in range(j):
                rest -= lower[i, k] * lower[j, k]
            if i == j:
                lower[i, i] = isqrt64(max(rest, np.int64(65536)))
                logarithm += 2 * (log2_q8(lower[i, i]) - (8 << 8))
            else:
                lower[i, j] = divide(rest, lower[j, j])
    for j in range(dimensions):
        columns[j, j] = divide(np.int64(1) << np.int64(INVERSE_BITS + 8), lower[j, j])
        for i in range(j + 1, dimensions):
            rest = np.int64(0)
            for k in range(j, i):
                rest -= lower[i, k] * columns[k, j]
            columns[i, j] = divide(rest, lower[i, i])
    at = 0
    for i in range(dimensions):
        for j in range(i + 1):
            inverse[at] = np.int32(min(max(columns[i, j], np.int64(-(2**31))), np.int64(2**31 - 1)))
            at += 1
    return logarithm


@inlined
def white(inverse, row, difference):  # type: ignore[no-untyped-def]
    """Return component `row` of W times a difference of features, Q4, held at 65536 standard deviations."""
    total = np.int64(0)
    at = row * (row + 1) // 2
    for k in range(row + 1):
        total += np.int64(inverse[at + k]) * np.int64(difference[k])
    total >>= np.int64(INVERSE_BITS - WHITE_BITS)
    return min(max(total, np.int64(-LARGEST_WHITE)), np.int64(LARGEST_WHITE))


@inlined
def distance(inverse, difference, dimensions):  # type: ignore[no-untyped-def]
    """Return the squared Mahalanobis distance of a difference (int64 [dimensions]) in Q8."""
    total = np.int64(0)
    for row in range(dimensions):
        z = white(inverse, row, difference)
        total += z * z
    return total


@linked
def nearest(feature, centre, inverse, offset, count, limit, dimensions, difference):  # type: ignore[no-untyped-def]
    """Return the most probable of `count` classes for one row, `FREE` if its distance is over the limit or there is none.

    `difference` is scratch, int64 [MAX_FEATURES].
    """
    best, chosen, member = np.int64(0), FREE, False
    for k in range(count):
        for a in range(dimensions):
            difference[a] = np.int64(feature[a]) - np.int64(centre[k, a])
        d = distance(inverse[k], difference, dimensions)
        score = d + np.int64(offset[k])
        if k == 0 or score < best:
            best, chosen, member = score, k, d <= limit
    return chosen if member else FREE
