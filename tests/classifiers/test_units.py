"""Clusters of neighbouring channels are one unit where they are of one cell, told by what noise and other cells' spikes explain."""

import numpy as np
import pytest

from classifiers.units import CLUSTER, find_units

WIDTH, NOISE = 60, 100.0
NEIGHBOUR = np.array([[0, 1, 2], [1, 0, 2], [2, 1, 0]], np.int16)


def cell(*amplitudes):
    """Return the waveform of a cell on the three channels: float64 [3, WIDTH]."""
    t = np.arange(WIDTH) - 20
    shape = -np.exp(-0.5 * (t / 3.0) ** 2) + 0.4 * np.exp(-0.5 * ((t - 12) / 6.0) ** 2)
    return np.array(amplitudes)[:, None] * shape * NOISE


def seen(rng, *, on, size, of, strange=None):
    """Return a cluster of `size` spikes on a channel, a fourth of them of a strange cell if there is one, and its mean waveform."""
    spikes = np.repeat(of[None], size, 0)
    if strange is not None:
        spikes[: size // 4] = strange
    spikes = spikes[:, NEIGHBOUR[on]] + rng.normal(0, NOISE, (size, 3, WIDTH))
    mean = np.trunc(spikes.mean(axis=0)).astype(np.int16)
    noise = np.median(((spikes - mean) ** 2).sum(axis=(1, 2))) / mean.size
    return (on, 0, size, 3000, 5000, -1, int(16 * noise)), mean


def units(*parts):
    """Return the units of clusters."""
    clusters = np.array([one for one, _ in parts], CLUSTER)
    find_units(clusters, np.array([mean for _, mean in parts]), NEIGHBOUR, 9)
    return clusters["unit"].tolist()


@pytest.mark.parametrize("size", [20, 300])
def test_one_cell_on_two_channels_is_one_unit(size):
    rng, one = np.random.default_rng(0), cell(6, 6, 3)
    assert units(seen(rng, on=0, size=300, of=one), seen(rng, on=1, size=size, of=one)) == [0, 0]


def test_cells_nearer_than_a_tenth_of_their_energy_are_two_units_where_noise_does_not_explain_it():
    rng, one, other = np.random.default_rng(1), cell(12, 11, 8), cell(11, 12, 4)
    assert 100 * NOISE**2 < np.sum((one - other) ** 2) < 0.1 * np.sum(one**2)
    assert units(seen(rng, on=0, size=200, of=one), seen(rng, on=1, size=150, of=other)) == [0, 1]


def test_a_cell_among_whose_spikes_are_those_of_another_is_still_its_unit():
    rng, one, strange = np.random.default_rng(2), cell(12, 11, 8), cell(20, 30, 9)
    pure, mixed = seen(rng, on=0, size=200, of=one), seen(rng, on=1, size=60, of=one, strange=strange)
    away = np.sum((pure[1][[0, 1, 2]].astype(float) - mixed[1][[1, 0, 2]]) ** 2)
    assert away > 100 * NOISE**2
    assert units(pure, mixed) == [0, 0]
    (channel, row, size, low, high, unit, _), mean = mixed
    assert units(pure, ((channel, row, size, low, high, unit, pure[0][-1]), mean)) == [0, 1]  # as far, but not noisier


def test_a_shifted_peak_does_not_count():
    rng, one = np.random.default_rng(3), cell(12, 12, 8)
    late = np.roll(one, 3, axis=1)
    assert units(seen(rng, on=0, size=200, of=one), seen(rng, on=1, size=150, of=late)) == [0, 0]
