"""Formats refuse what makes no sense; neighbours follow geometry, groups, or nothing."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.blocks import SampleFormat, Samples, Spikes, concatenate
from pipeline.errors import BitspikeError
from pipeline.neural.neighbours import nearest_channels


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"rate_hz": 0}, "rate_hz"),
        ({"rate_hz": float("nan")}, "rate_hz"),
        ({"channels": 0}, "channels"),
        ({"bits": 17}, "bits"),
        ({"positions_um": ((0.0, 0.0),)}, "positions_um"),
        ({"groups": (1, 2, 3)}, "groups"),
    ],
)
def test_formats_are_checked(values, names):
    with pytest.raises(BitspikeError, match=names):
        SampleFormat(**{"rate_hz": 24_000.0, "channels": 2, **values})


def test_groups_are_numbered_in_order():
    assert SampleFormat(1e4, 4, groups=(7, 3, 7, 9)).group_of.tolist() == [0, 1, 0, 2]
    assert SampleFormat(1e4, 3).group_of.tolist() == [0, 0, 0]


def test_blocks_join():
    x = np.arange(12, dtype=np.int16).reshape(6, 2)
    both = concatenate([Samples(10, x[:2]), Samples(12, x[2:], np.ones(4, np.uint8))])
    assert (both.start, both.stop) == (10, 16)
    assert both.frame_flags.tolist() == [0, 0, 1, 1, 1, 1]
    assert np.array_equal(both.data, x)
    none, one = (
        Spikes(0, 5),
        Spikes(5, 9, np.array([6]), np.array([1], np.int32), np.array([-4], np.int32), np.array([2], np.int32)),
    )
    joined = concatenate([none, one, Spikes(9, 11)])
    assert (joined.start, joined.stop, joined.sample.tolist(), joined.unit.tolist()) == (0, 11, [6], [2])


def test_neighbours():
    sites = tuple((0.0, 20.0 * c) for c in range(5))
    table = nearest_channels(SampleFormat(1e4, 5, positions_um=sites), 4, 45.0)
    assert table.tolist() == [[0, 1, 2, -1], [1, 0, 2, 3], [2, 1, 3, 0], [3, 2, 4, 1], [4, 3, 2, -1]]
    split = nearest_channels(SampleFormat(1e4, 5, positions_um=sites, groups=(0, 0, 1, 1, 1)), 4, 1000.0)
    assert split[1].tolist() == [1, 0, -1, -1]
    tetrode = nearest_channels(SampleFormat(1e4, 4, groups=(5, 5, 5, 6)), 4, 0.0)
    assert tetrode.tolist() == [[0, 1, 2, -1], [1, 0, 2, -1], [2, 0, 1, -1], [3, -1, -1, -1]]
    assert nearest_channels(SampleFormat(1e4, 2), 3, 50.0).tolist() == [[0, 1, -1], [1, 0, -1]]
    assert nearest_channels(SampleFormat(1e4, 5), 2, 50.0).tolist() == [[c, -1] for c in range(5)]
    ports = nearest_channels(SampleFormat(1e4, 17, groups=(0,) * 9 + (1,) * 8), 3, 50.0)
    assert ports[:9].tolist() == [[c, -1, -1] for c in range(9)]  # too many to see the same spikes
    assert ports[9].tolist() == [9, 10, 11]
