"""The integer normal distributions, against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers.gaussian import FREE, INVERSE_BITS, MAX_FEATURES, TRIANGLE, distance, log2_q8, moments, nearest, whitening
from pipeline.fixed import isqrt64


def correlated(rng, n, dimensions, scale):
    mix = rng.normal(0, 1, (dimensions, dimensions)) * scale
    return np.rint(rng.normal(0, 1, (n, dimensions)) @ mix + rng.normal(0, 5 * scale, dimensions)).astype(np.int32)


@pytest.mark.parametrize("value", [1, 2, 3, 255, 256, 257, 10**6, 2**31 - 1, 2**31, 2**40 + 12345, 2**62])
def test_log2_is_right_to_two_256ths(value):
    assert abs(log2_q8(value) / 256 - np.log2(float(value))) < 2 / 256


@pytest.mark.parametrize("value", [0, 1, 2, 3, 4, 8, 9, 10**9, 2**53 + 1, 2**62 - 1])
def test_root_is_rounded_down(value):
    root = int(isqrt64(value))
    assert root * root <= value < (root + 1) ** 2


@pytest.mark.parametrize("dimensions", [1, 2, 5, 8])
@pytest.mark.parametrize("scale", [20.0, 1000.0, 100_000.0])
def test_distance_and_determinant_match_float64(dimensions, scale):
    rng = np.random.default_rng(dimensions)
    features = correlated(rng, 500, dimensions, scale)
    label = np.where(rng.random(500) < 0.8, 3, 5).astype(np.int32)
    centre, covariance = np.zeros((2, dimensions), np.int64), np.zeros((dimensions, dimensions), np.int64)
    inverse = np.zeros(TRIANGLE, np.int32)
    assert moments(features, label, 3, -1, centre, covariance, dimensions) == (label == 3).sum()
    members = features[label == 3].astype(np.float64)
    expected = np.atleast_2d(np.cov(members.T, bias=True))
    expected += np.eye(dimensions) * np.trace(expected) / dimensions / 64
    assert np.allclose(centre[0], members.mean(axis=0), atol=1)
    full = np.tril(covariance) + np.tril(covariance, -1).T
    assert np.allclose(full, expected, rtol=0.01, atol=0.01 * np.trace(expected))
    logarithm = whitening(covariance, inverse, dimensions)
    assert logarithm / 256 == pytest.approx(np.linalg.slogdet(full.astype(float))[1] / np.log(2), abs=0.02 * dimensions)
    for row in features[:50]:
        away = np.zeros(MAX_FEATURES, np.int64)
        away[:dimensions] = row - centre[0]
        truth = away[:dimensions] @ np.linalg.solve(full.astype(float), away[:dimensions])
        assert distance(inverse, away, dimensions) / 256 == pytest.approx(truth, rel=0.03, abs=0.4 * dimensions)


def test_a_flat_direction_is_no_failure():
    features = np.zeros((100, 3), np.int32)
    features[:, 0] = np.arange(100)
    centre, covariance, inverse = np.zeros((2, 3), np.int64), np.zeros((3, 3), np.int64), np.zeros(TRIANGLE, np.int32)
    moments(features, np.zeros(100, np.int32), 0, -1, centre, covariance, 3)
    whitening(covariance, inverse, 3)
    assert np.all(np.abs(inverse.astype(np.int64)) <= 1 << INVERSE_BITS)


def test_nearest_prefers_probable_and_refuses_far():
    inverse = np.zeros((2, TRIANGLE), np.int32)
    inverse[:, 0] = (1 << INVERSE_BITS) // 100  # standard deviation 100
    centre = np.array([[0], [600]], np.int64)
    scratch, offset = np.zeros(MAX_FEATURES, np.int64), np.zeros(2, np.int64)

    def choose(value):
        return nearest(np.array([value], np.int32), centre, inverse, offset, 2, 11 * 256, 1, scratch)

    assert [choose(v) for v in (0, 290, 310, 600, -340, 940)] == [0, 0, 1, 1, FREE, FREE]
    offset[1] = 5 * 256  # rarer: the boundary moves toward it
    assert choose(310) == 0
    assert nearest(np.array([0], np.int32), centre, inverse, offset, 0, 11 * 256, 1, scratch) == FREE
