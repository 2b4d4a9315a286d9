"""One-to-one matching of spike times.

Two ascending trains are matched by going through both at once: the earlier of the two spikes at hand is paired if the other
lies within the tolerance, and left over if not. For a tolerance that is the same everywhere this gives the largest possible
number of pairs, because pairing the earliest possible partner never blocks a later pair (matching of proper interval graphs;
Glover 1967, Naval Research Logistics Quarterly 14:313).
"""

from __future__ import annotations

import numpy as np

from pipeline.fixed import kernel


@kernel
def _pairs(a, b, tolerance, partner):  # type: ignore[no-untyped-def]
    """Match a with b, both int64 and ascending; partner[i] becomes the index in b or -1; return the number of pairs."""
    i = j = pairs = 0
    while i < len(a):
        partner[i] = -1
        while j < len(b) and b[j] < a[i] - tolerance:
            j += 1
        if j < len(b) and b[j] <= a[i] + tolerance:
            partner[i] = j
            j += 1
            pairs += 1
        i += 1
    return pairs


@kernel
def _counts(a, a_from, b, b_from, tolerance, counts):  # type: ignore[no-untyped-def]
    """Match every train of a with every train of b; trains stand one after another, train u at [from[u], from[u + 1])."""
    for u in range(len(a_from) - 1):
        for v in range(len(b_from) - 1):
            i, j, pairs = a_from[u], b_from[v], 0
            while i < a_from[u + 1] and j < b_from[v + 1]:
                if b[j] < a[i] - tolerance:
                    j += 1
                elif b[j] > a[i] + tolerance:
                    i += 1
                else:
                    pairs += 1
                    i += 1
                    j += 1
            counts[u, v] = pairs
    return 0


@kernel
def _any_near(a, a_channel, b, b_channel, reach, tolerance, near):  # type: ignore[no-untyped-def]
    """Set near[i] where any b in reach lies within the tolerance of a[i]; both ascending; return how many are."""
    first = found = 0
    for i in range(len(a)):
        while first < len(b) and b[first] < a[i] - tolerance:
            first += 1
        j = first
        near[i] = False
        while not near[i] and j < len(b) and b[j] <= a[i] + tolerance:
            near[i] = reach[a_channel[i], b_channel[j]]
            j += 1
        found += near[i]
    return found


def pairs(a: np.ndarray, b: np.ndarray, tolerance: int) -> np.ndarray:
    """Match two trains one to one.

    Parameters
    ----------
    a, b : numpy.ndarray
        Frames, int64, ascending.
    tolerance : int
        Largest distance of a pair, frames.

    Returns
    -------
    numpy.ndarray
        int64 [len(a)]: index in `b` of each one's partner, -1 for none.
    """
    partner = np.empty(len(a), np.int64)
    _pairs(np.ascontiguousarray(a, np.int64), np.ascontiguousarray(b, np.int64), tolerance, partner)
    return partner


def near(
    a: np.ndarray, a_channel: np.ndarray, b: np.ndarray, b_channel: np.ndarray, reach: np.ndarray, tolerance: int
) -> np.ndarray:
    """Find the spikes of one train that have any of another near them, in time and in place.

    Parameters
    ----------
    a, b : numpy.ndarray
        Frames, int64, ascending.
    a_channel, b_channel : numpy.ndarray
        Channel of each spike.
    reach : numpy.ndarray
        bool [channels, channels]: which channels are near each other.
    tolerance : int
        Largest distance in time, frames.

    Returns
    -------
    numpy.ndarray
        bool [len(a)].
    """
    found = np.empty(len(a), np.bool_)
    one, other = (_contiguous(*train) for train in ((a, a_channel), (b, b_channel)))
    _any_near(*one, *other, np.ascontiguousarray(reach, np.bool_), tolerance, found)
    return found


def count_pairs(
    a: np.ndarray, a_unit: np.ndarray, a_units: int, b: np.ndarray, b_unit: np.ndarray, b_units: int, tolerance: int
) -> np.ndarray:
    """Match every unit of one sorting with every unit of another.

    Parameters
    ----------
    a, b : numpy.ndarray
        Frames of all spikes, ascending.
    a_unit, b_unit : numpy.ndarray
        Unit of each spike; negative ones are left out.
    a_units, b_units : int
        Number of units, silent ones included.
    tolerance : int
        Largest distance of a pair, frames.

    Returns
    -------
    numpy.ndarray
        int64 [a_units, b_units]: number of pairs.
    """
    counts = np.zeros((a_units, b_units), np.int64)
    _counts(*_by_unit(a, a_unit, a_units), *_by_unit(b, b_unit, b_units), tolerance, counts)
    return counts


def _contiguous(sample: np.ndarray, channel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.ascontiguousarray(sample, np.int64), np.ascontiguousarray(channel, np.int64)


def _by_unit(sample: np.ndarray, unit: np.ndarray, units: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the spikes one unit after another, and where each unit's begin: int64 [units + 1]."""
    sorted_ones = unit >= 0
    sample, unit = sample[sorted_ones], unit[sorted_ones]
    order = np.argsort(unit, kind="stable")
    bounds = np.searchsorted(unit[order], np.arange(units + 1))
    return np.ascontiguousarray(sample[order], np.int64), bounds.astype(np.int64)
