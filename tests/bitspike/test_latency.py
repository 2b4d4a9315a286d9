"""The histogram of block times against NumPy's quantiles."""

from __future__ import annotations

import numpy as np

from bitspike.latency import BINS, Latency


def test_quantiles_are_those_of_numpy_to_a_microsecond():
    times = np.random.default_rng(0).gamma(2.0, 40_000, 5000).astype(int)
    latency = Latency()
    for time in times:
        latency.add(int(time))
    for share in (0.5, 0.9, 0.99):
        exact = np.quantile(times, share, method="inverted_cdf") / 1000
        assert exact <= latency.quantile_us(share) <= exact + 1
    assert latency.worst_us == times.max() / 1000
    assert (latency.blocks, latency.total_ns) == (5000, times.sum())


def test_what_is_longer_than_the_histogram_is_the_worst():
    latency = Latency()
    assert latency.quantile_us(0.99) == 0
    latency.add(3000)
    latency.add((BINS + 500) * 1000)
    assert latency.quantile_us(0.5) == 4
    assert latency.quantile_us(0.99) == latency.worst_us == BINS + 500
