"""Matching against the largest matching of a bipartite graph, and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from bitspike.matching import count_pairs, near, pairs


def largest(a: np.ndarray, b: np.ndarray, tolerance: int) -> int:
    possible = csr_matrix(np.abs(a[:, None] - b[None, :]) <= tolerance)
    return int((maximum_bipartite_matching(possible, "column") >= 0).sum()) if len(a) and len(b) else 0


@pytest.mark.parametrize("seed", range(20))
def test_pairs_are_as_many_as_possible_and_allowed(seed):
    rng = np.random.default_rng(seed)
    a, b = (np.sort(rng.integers(0, 400, rng.integers(0, 60))) for _ in range(2))
    tolerance = int(rng.integers(0, 12))
    partner = pairs(a, b, tolerance)
    matched = partner >= 0
    assert np.all(np.abs(a[matched] - b[partner[matched]]) <= tolerance)
    assert len(set(partner[matched].tolist())) == matched.sum() == largest(a, b, tolerance)


@pytest.mark.parametrize("seed", range(10))
def test_counts_are_those_of_every_pair_of_units(seed):
    rng = np.random.default_rng(seed)
    a, b = (np.sort(rng.integers(0, 3000, 200)) for _ in range(2))
    a_unit, b_unit = rng.integers(-1, 4, 200), rng.integers(-1, 5, 200)
    counts = count_pairs(a, a_unit, 4, b, b_unit, 6, 9)
    expected = [[largest(a[a_unit == u], b[b_unit == v], 9) for v in range(6)] for u in range(4)]
    assert counts.tolist() == expected


@pytest.mark.parametrize("seed", range(10))
def test_near_is_brute_force(seed):
    rng = np.random.default_rng(seed)
    a, b = (np.sort(rng.integers(0, 2000, rng.integers(0, 90))) for _ in range(2))
    a_channel, b_channel = (rng.integers(0, 4, len(train)) for train in (a, b))
    reach = rng.random((4, 4)) < 0.5
    expected = [
        any(abs(s - t) <= 7 and reach[c, d] for s, d in zip(b, b_channel, strict=True)) for t, c in zip(a, a_channel, strict=True)
    ]
    assert near(a, a_channel, b, b_channel, reach, 7).tolist() == expected
