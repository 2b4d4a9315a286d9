"""Integer principal axes, against the singular value decomposition."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import BitspikeError
from pipeline.neural.principal import principal_components


@pytest.mark.parametrize(("length", "count"), [(8, 3), (40, 5), (160, 8), (400, 8)])
@pytest.mark.parametrize("scale", [30, 3000])
def test_spans_the_same_space_as_svd(length, count, scale):
    rng = np.random.default_rng(length)
    basis = np.linalg.qr(rng.normal(0, 1, (length, count)))[0]
    strength = 2.0 ** -np.arange(count)
    data = rng.normal(0, 1, (600, count)) * strength @ basis.T * scale * 4 + rng.normal(0, scale / 200, (600, length))
    data = np.rint(np.clip(data + scale, -32768, 32767)).astype(np.int16)
    axes = principal_components(data, count)
    assert axes.dtype == np.int16
    _, values, expected = np.linalg.svd(data - data.mean(axis=0), full_matrices=False)
    unit = axes / np.linalg.norm(axes.astype(float), axis=1)[:, None]
    strong = values[:count] > 3 * scale / 200 * np.sqrt(600)
    overlap = np.abs((unit * expected[:count]).sum(axis=1))[strong]
    assert np.all(overlap > 0.999)
    assert np.abs(np.linalg.norm(axes.astype(float), axis=1) / 32768 - 1).max() < 2e-3
    assert np.abs(unit @ unit.T - np.eye(count)).max() < 5e-3


def test_sign_is_fixed_and_result_repeats():
    data = np.random.default_rng(2).integers(-32768, 32767, (100, 24)).astype(np.int16)
    axes = principal_components(data, 4)
    assert np.array_equal(axes, principal_components(data.copy(), 4))
    peaks = np.take_along_axis(axes, np.abs(axes.astype(int)).argmax(axis=1)[:, None], axis=1)
    assert (peaks > 0).all()


def test_constant_data_has_axes_of_nothing_that_overflows():
    axes = principal_components(np.full((50, 16), -32768, np.int16), 3)
    assert axes.shape == (3, 16)


@pytest.mark.parametrize("shape", [(1, 10), (30, 2000), (20_000, 4)])
def test_refuses_what_integers_cannot_hold(shape):
    with pytest.raises(BitspikeError, match="principal components"):
        principal_components(np.zeros(shape, np.int16), 2)
