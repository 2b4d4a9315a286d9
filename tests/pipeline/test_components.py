"""Principal components in integers, against numpy's singular value decomposition in float64."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.fft import idct
from scipy.linalg import subspace_angles

from pipeline.blocks import Spikes
from pipeline.checks import example_format
from pipeline.errors import BitspikeError
from pipeline.neural.components import Components, ComponentsParameters, fit_components


def shapes(rng, n, width=24, channels=3, noise=40.0):
    """Return snippets of three kinds of pulses of varying size, int16 [n, width, channels]."""
    t = np.arange(width)
    kinds = [np.exp(-0.5 * ((t - 8) / s) ** 2) - 0.4 * np.exp(-0.5 * ((t - 14) / (2 * s)) ** 2) for s in (1.5, 2.5, 4.0)]
    size = rng.normal(-2500, 700, n)[:, None] * np.array([1.0, 0.6, 0.3])[:channels]
    clean = np.array(kinds)[rng.integers(0, 3, n)][:, :, None] * size[:, None, :]
    return np.rint(clean + rng.normal(0, noise, clean.shape)).astype(np.int16)


def spikes_with(waveform, start=0):
    n = len(waveform)
    return Spikes(start, start + 100, np.full(n, start, np.int64), np.zeros(n, np.int32), np.zeros(n, np.int32), waveform=waveform)


def float_components(rows, count):
    """Return mean and axes [count, width] by SVD."""
    rows = rows.astype(np.float64)
    mean = rows.mean(axis=0)
    return mean, np.linalg.svd(rows - mean, full_matrices=False)[2][:count]


def test_axes_span_what_svd_spans():
    rng = np.random.default_rng(0)
    waveforms = shapes(rng, 1500)
    waveforms[::7, :, 2] = 0  # beyond the edge of the array
    rows = waveforms.transpose(0, 2, 1).reshape(-1, 24)
    rows = rows[rows.any(axis=1)]
    mean, axes = fit_components(waveforms, 3)
    true_mean, true_axes = float_components(rows, 3)
    assert np.abs(mean - true_mean).max() <= 0.5 + 1e-9
    unit = axes / np.linalg.norm(axes.astype(float), axis=1)[:, None]
    assert np.abs((unit * true_axes).sum(axis=1)).min() > 1 - 1e-6  # each axis within a tenth of a degree
    assert subspace_angles(unit.T, true_axes.T).max() < 1e-3
    gram = axes / 32768.0 @ (axes / 32768.0).T
    assert np.abs(gram - np.eye(3)).max() < 2e-4


def test_fit_is_deterministic_and_takes_the_first_spikes():
    rng = np.random.default_rng(1)
    waveforms = shapes(rng, 900)
    signal = example_format()
    stages = []
    for bounds in ([0, 900], [0, 1, 1, 500, 520, 900]):
        stage = Components(ComponentsParameters(components=2, spikes=510), signal)
        blocks = [(spikes_with(waveforms[a:b], 100 * i),) for i, (a, b) in enumerate(pairwise(bounds))]
        stages.append(stage.fit(blocks))
    assert stages[0].tables.tobytes() == stages[1].tables.tobytes()
    mean, axes = fit_components(waveforms[:510], 2)
    assert np.array_equal(stages[0].tables["mean"][:24], mean)
    assert np.array_equal(stages[0].tables["axes"][:2, :24], axes)
    assert not stages[0].tables["axes"][2:].any()


def test_features_are_rounded_projections():
    rng = np.random.default_rng(2)
    waveforms = shapes(rng, 400)
    waveforms[0], waveforms[1] = 32767, -32768
    signal = example_format()
    stage = Components(ComponentsParameters(components=3), signal).fit([(spikes_with(waveforms[2:]),)])
    got = stage.process(spikes_with(waveforms))
    mean, axes = (stage.tables[n].astype(np.int64) for n in ("mean", "axes"))
    expected = np.einsum("kij,pi->kjp", waveforms.astype(np.int64) - mean[:24, None], axes[:3, :24])
    assert np.array_equal(got.features, np.floor(expected / 2**15 + 0.5).astype(np.int64).reshape(400, 9))
    true_mean, true_axes = float_components(waveforms[2:].transpose(0, 2, 1).reshape(-1, 24), 3)
    ideal = (waveforms[2:].transpose(0, 2, 1) - true_mean) @ true_axes.T
    signs = np.sign((axes[:3, :24] * true_axes).sum(axis=1))
    assert np.abs(got.features[2:].reshape(-1, 3, 3) - ideal * signs).max() < 2.5  # of features up to 10,000


def test_unfitted_axes_are_orthonormal_cosines():
    stage = Components(ComponentsParameters(components=8), example_format())
    axes = stage.tables["axes"][:, :24] / 32768.0
    assert np.abs(axes @ axes.T - np.eye(8)).max() < 1e-3
    assert np.abs(axes - idct(np.eye(24)[1:9], norm="ortho")).max() <= 0.5 / 32768


def test_bad_input_is_refused():
    for values in ({"components": 0}, {"components": 9}, {"spikes": 9}):
        with pytest.raises(BitspikeError, match=next(iter(values))):
            ComponentsParameters(**values)
    with pytest.raises(BitspikeError, match="snippets"):
        Components(ComponentsParameters(), example_format().with_(snippet=(0, 0)))
    stage = Components(ComponentsParameters(), example_format())
    with pytest.raises(BitspikeError, match="too few"):
        stage.fit([(spikes_with(np.ones((3, 24, 3), np.int16)),), (spikes_with(np.ones((0, 24, 3), np.int16)),)])
    with pytest.raises(BitspikeError, match="no waveform"):
        stage.process(replace(spikes_with(np.ones((3, 24, 3), np.int16)), waveform=np.empty((0, 0, 0), np.int16)))
