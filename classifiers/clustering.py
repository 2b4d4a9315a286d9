"""Clustering of spike features, in integers and without a given number of units.

1. Many small clusters by k-means from far points (Gonzalez 1985, Theoretical Computer Science 38; the farthest 2 % are passed
   over).
2. Neighbours are joined unless the features, projected on the line that separates the two best (Fisher's discriminant), show a
   valley between two hills that is deeper than chance; where they do, the cut moves into the valley. This is the idea of
   ISO-SPLIT (Magland and Barnett 2015, arXiv:1508.04841), with a test on a histogram instead of isotonic regression: for the
   lower hill p and the valley v, counts smoothed over three bins, (p - v)^2 > `DEPTH` (p + v). Each cluster that is left is split
   again in the same way, until none can be.
3. Normal distributions are fitted to the clusters and features reassigned, for a few rounds, with what is too far from all of them
   left out: classification expectation maximisation (Celeux and Govaert 1992) with trimming (Garcia-Escudero et al. 2008).

`firmware/src/clustering.c` is the same text in C.
"""

from __future__ import annotations

import numpy as np

from classifiers.gaussian import FREE, LN2_Q8, MAX_FEATURES, TRIANGLE, log2_q8, moments, nearest, white, whitening
from classifiers.ranking import place, ranked
from pipeline.capacity import triangle
from pipeline.fixed import divide, isqrt64, kernel

SEEDS = 12  # clusters to start with
MOST = 24  # clusters in all
ROUNDS = 10  # of k-means, and of the last step
DEPTH = 12
LEAST = 20  # members of a cluster that can stand alone
MOST_BINS = 32

# The 99.9 % points of chi-square with 1 to 8 degrees of freedom, Q8: farther than that from its own cluster is 1 spike in 1000.
FAR_Q8 = np.array([0, 2772, 3537, 4164, 4728, 5252, 5748, 6226, 6688], np.int64)


@kernel
def _squared(features, i, centre, dimensions):  # type: ignore[no-untyped-def]
    total = np.int64(0)
    for a in range(dimensions):
        d = np.int64(features[i, a]) - centre[a]
        total += d * d
    return total


@kernel
def far_points(features, label, count, dimensions):  # type: ignore[no-untyped-def]
    """Label every row with the nearest of up to `count` centres, by k-means from far points; return how many centres there are."""
    n = len(features)
    centres = np.zeros((count, dimensions), np.int64)
    nearest = np.zeros(n, np.int64)
    for a in range(dimensions):
        for i in range(n):
            centres[0, a] += features[i, a]
        centres[0, a] = divide(centres[0, a], n)
    for i in range(n):
        nearest[i] = _squared(features, i, centres[0], dimensions)
    for k in range(count):  # the first centre, the mean, only serves to find a far point
        far = place(nearest, n - 1 - n // 50)
        for a in range(dimensions):
            centres[k, a] = features[far, a]
        for i in range(n):
            d = _squared(features, i, centres[k], dimensions)
            if k == 0 or d < nearest[i]:
                nearest[i] = d
    sums, sizes = np.zeros((count, dimensions), np.int64), np.zeros(count, np.int64)
    for _ in range(ROUNDS):
        sums[:] = 0
        sizes[:] = 0
        for i in range(n):
            best = np.int64(-1)
            for k in range(count):
                d = _squared(features, i, centres[k], dimensions)
                if best < 0 or d < best:
                    best = d
                    label[i] = k
            sizes[label[i]] += 1
            for a in range(dimensions):
                sums[label[i], a] += features[i, a]
        for k in range(count):
            if sizes[k] > 0:
                for a in range(dimensions):
                    centres[k, a] = divide(sums[k, a], sizes[k])
    return count


@kernel
def _valley(values, cut):  # type: ignore[no-untyped-def]
    """Return whether the histogram of `values` has two hills, and put the bottom of the valley into ``cut[0]``."""
    n = len(values)
    low, high = ranked(values, n // 100), ranked(values, n - 1 - n // 100)
    bins = min(max(isqrt64(np.int64(n)), np.int64(8)), np.int64(MOST_BINS))
    span = high - low
    if span < bins:
        return False
    histogram, smooth = np.zeros(MOST_BINS, np.int64), np.zeros(MOST_BINS, np.int64)
    for v in values:
        if low <= v <= high:
            histogram[min((v - low) * bins // span, bins - 1)] += 1
    for k in range(bins):
        smooth[k] = 2 * histogram[k]
        if k > 0:
            smooth[k] += histogram[k - 1]
        if k < bins - 1:
            smooth[k] += histogram[k + 1]
    deepest, found = np.int64(0), False
    for k in range(1, bins - 1):
        left = right = np.int64(0)
        for j in range(k):
            left = max(left, smooth[j])
        for j in range(k + 1, bins):
            right = max(right, smooth[j])
        hill = min(left, right)
        drop, both = hill - smooth[k], hill + smooth[k]
        if drop > 0 and drop * drop > DEPTH * both:
            depth = drop * drop * 256 // both
            if depth > deepest:
                deepest, found = depth, True
                cut[0] = low + (2 * k + 1) * span // (2 * bins)
    return found


@kernel
def join(features, label, count, dimensions):  # type: ignore[no-untyped-def]
    """Join clusters that no valley parts, nearest pairs first; labels of joined clusters become that of the lower number."""
    n = len(features)
    sizes = np.zeros(count, np.int64)
    centres = np.zeros((count, dimensions), np.int64)
    tried = np.zeros((count, count), np.uint8)
    centre = np.zeros((2, dimensions), np.int64)
    covariance = np.zeros((dimensions, dimensions), np.int64)
    inverse = np.zeros(TRIANGLE, np.int32)
    difference, direction = np.zeros(MAX_FEATURES, np.int64), np.zeros(MAX_FEATURES, np.int64)
    values = np.zeros(n, np.int64)
    cut = np.zeros(1, np.int64)
    for _ in range(20 * count):  # a bound: cuts that move could make two pairs take turns
        sizes[:] = 0
        centres[:] = 0
        for i in range(n):
            sizes[label[i]] += 1
            for a in range(dimensions):
                centres[label[i], a] += features[i, a]
        for k in range(count):
            for a in range(dimensions):
                centres[k, a] = divide(centres[k, a], max(sizes[k], 1))
        best, first, second = np.int64(-1), -1, -1
        for i in range(count):
            for j in range(i + 1, count):
                if sizes[i] > 0 and sizes[j] > 0 and tried[i, j] == 0:
                    d = np.int64(0)
                    for a in range(dimensions):
                        d += (centres[i, a] - centres[j, a]) * (centres[i, a] - centres[j, a])
                    if best < 0 or d < best:
                        best, first, second = d, i, j
        if first < 0:
            break
        tried[first, second] = 1
        apart = False
        total = 0
        if min(sizes[first], sizes[second]) >= LEAST:
            moments(features, label, first, second, centre, covariance, dimensions)
            whitening(covariance, inverse, dimensions)
            for a in range(dimensions):
                difference[a] = centre[1, a] - centre[0, a]
            for a in range(dimensions):
                direction[a] = white(inverse, a, difference)
            for i in range(n):
                if label[i] == first or label[i] == second:
                    for a in range(dimensions):
                        difference[a] = features[i, a] - centre[0, a]
                    projection = np.int64(0)
                    for a in range(dimensions):
                        projection += direction[a] * white(inverse, a, difference)
                    values[total] = projection
                    total += 1
            apart = _valley(values[:total], cut)
        changed = False
        if apart:
            total = 0
            for i in range(n):
                if label[i] == first or label[i] == second:
                    side = first if values[total] < cut[0] else second
                    changed = changed or label[i] != side
                    label[i] = side
                    total += 1
        else:
            for i in range(n):
                if label[i] == second:
                    label[i] = first
            changed = True
        if changed:  # what was found about their other pairs no longer holds
            for k in range(count):
                if k != first and k != second:
                    tried[min(first, k), max(first, k)] = 0
                    tried[min(second, k), max(second, k)] = 0


@kernel
def refine(features, label, centre, inverse, offset, limit, dimensions):  # type: ignore[no-untyped-def]
    """Fit normal distributions to the labelled rows and reassign them, `ROUNDS` times; return the number of clusters.

    Parameters
    ----------
    features : int32 [n, dimensions]
    label : int32 [n]
        In: any numbers below the rows of `centre`. Out: 0 to clusters - 1, or -1 for rows too far from all of them.
    centre : int64 [clusters, dimensions], inverse : int32 [clusters, triangle(dimensions)], offset : int64 [clusters]
        Filled: what `distance` needs, and log|covariance| - 2 log(size) in Q8.
    limit : int
        Farthest squared distance of a member, Q8.
    """
    n, most = len(features), len(centre)
    pair = np.zeros((2, dimensions), np.int64)
    covariance = np.zeros((dimensions, dimensions), np.int64)
    difference = np.zeros(MAX_FEATURES, np.int64)
    count = 0
    for _ in range(ROUNDS):
        count = 0
        for k in range(most):
            size = 0
            for i in range(n):
                if label[i] == k:
                    size += 1
            if size < LEAST:
                continue
            moments(features, label, k, -1, pair, covariance, dimensions)
            logarithm = whitening(covariance, inverse[count], dimensions)
            offset[count] = (LN2_Q8 * (logarithm - 2 * log2_q8(size))) >> 8
            for a in range(dimensions):
                centre[count, a] = pair[0, a]
            count += 1  # never beyond k, so no cluster that is still to come is overwritten
        for i in range(n):
            label[i] = nearest(features[i], centre, inverse, offset, count, limit, dimensions, difference)
        if count == 0:
            break
    return count


@kernel
def split(features, label, dimensions):  # type: ignore[no-untyped-def]
    """Split what can be split, and the parts again: far points find small clusters only where no larger ones spread wider.

    label: int32 [n], all 0 at first; in the end up to `MOST` numbers.
    """
    n = len(features)
    part, own = np.zeros((n, dimensions), np.int32), np.zeros(n, np.int32)
    sizes, number = np.zeros(SEEDS, np.int64), np.zeros(SEEDS, np.int32)
    queue = np.zeros(2 * MOST, np.int32)  # a cut that makes k of one puts k on it, and there are `MOST` in the end
    first, last, used = 0, 1, 1
    while first < last:
        here = queue[first]
        first += 1
        size = 0
        for i in range(n):
            if label[i] == here:
                part[size], own[size] = features[i], 0
                size += 1
        if size < 2 * LEAST:
            continue
        far_points(part[:size], own[:size], SEEDS, dimensions)
        join(part[:size], own[:size], SEEDS, dimensions)
        sizes[:] = 0
        for i in range(size):
            sizes[own[i]] += 1
        found = 0
        for k in range(SEEDS):
            if sizes[k] > 0:
                number[k] = here if found == 0 else used + found - 1
                found += 1
        if found == 1 or used + found - 1 > MOST:
            continue
        size = 0
        for i in range(n):
            if label[i] == here:
                label[i] = number[own[size]]
                size += 1
        for k in range(SEEDS):
            if sizes[k] > 0:
                queue[last] = number[k]
                last += 1
        used += found - 1


@kernel
def largest_first(label, order, count):  # type: ignore[no-untyped-def]
    """Renumber the labels 0 to `count` - 1 by falling number of members, equals in order; return how many have any.

    ``order[k]`` becomes the label that k had before.
    """
    sizes, place = np.zeros(MOST, np.int64), np.zeros(MOST, np.int32)
    for i in range(len(label)):
        if label[i] >= 0:
            sizes[label[i]] += 1
    left = 0
    while True:
        best = -1
        for k in range(count):
            if sizes[k] > 0 and (best < 0 or sizes[k] > sizes[best]):
                best = k
        if best < 0:
            break
        order[left], place[best], sizes[best] = best, left, 0
        left += 1
    for i in range(len(label)):
        if label[i] >= 0:
            label[i] = place[label[i]]
    return left


def cluster(features: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Find the clusters of spike features.

    Parameters
    ----------
    features : numpy.ndarray
        int32 [n, dimensions], |value| < 2**23, at most `MAX_FEATURES` dimensions and 2**14 rows.

    Returns
    -------
    label : numpy.ndarray
        int32 [n], the largest cluster first, -1 for rows that belong to none.
    centre, inverse, offset : numpy.ndarray
        int64 [clusters, dimensions], int32 [clusters, triangle(dimensions)], int64 [clusters]: the normal distributions.
    """
    features = np.ascontiguousarray(features, np.int32)
    n, dimensions = features.shape
    label = np.full(n, FREE, np.int32)
    centre, inverse = np.zeros((MOST, dimensions), np.int64), np.zeros((MOST, triangle(dimensions)), np.int32)
    offset, order = np.zeros(MOST, np.int64), np.zeros(MOST, np.int32)
    count = 0
    if n >= LEAST:
        label[:] = 0
        split(features, label, dimensions)
        count = refine(features, label, centre, inverse, offset, FAR_Q8[dimensions], dimensions)
        count = largest_first(label, order, count)
    order = order[:count]
    return label, centre[order], inverse[order], offset[order]
