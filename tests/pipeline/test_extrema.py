"""Features from derivatives, against numpy's differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.blocks import Spikes
from pipeline.checks import example_format
from pipeline.errors import BitspikeError
from pipeline.neural.extrema import Extrema, ExtremaParameters


def spikes_with(waveform):
    n = len(waveform)
    column = np.arange(n, dtype=np.int32)
    return Spikes(10, 20, np.arange(n, dtype=np.int64), column % 4, -column, column + 7, waveform)


@pytest.mark.parametrize(("width", "neighbours"), [(3, 1), (24, 3), (128, 16)])
def test_features_are_the_extrema_of_the_differences(width, neighbours):
    rng = np.random.default_rng(width)
    waveform = rng.integers(-32768, 32768, (50, width, neighbours)).astype(np.int16)
    waveform[0] = np.where(np.arange(width) % 2 == 0, -32768, 32767)[:, None]
    waveform[1], waveform[2] = 0, -32768
    spikes = spikes_with(waveform)
    got = Extrema(ExtremaParameters(), example_format().with_(snippet=(width, neighbours))).process(spikes)
    wide = waveform.astype(np.int64)
    first, second = np.diff(wide, axis=1), np.diff(wide, 2, axis=1)
    peak = np.take_along_axis(wide, np.abs(wide).argmax(axis=1)[:, None], axis=1)[:, 0]
    expected = np.stack([peak, first.min(1), first.max(1), second.min(1), second.max(1)], axis=2)
    assert np.array_equal(got.features.reshape(50, neighbours, 5), expected)
    for column in ("sample", "channel", "amplitude", "unit", "waveform"):
        assert np.array_equal(getattr(got, column), getattr(spikes, column))


def test_bad_input_is_refused():
    with pytest.raises(BitspikeError, match="snippets"):
        Extrema(ExtremaParameters(), example_format().with_(snippet=(0, 0)))
    with pytest.raises(BitspikeError, match="2 frames"):
        Extrema(ExtremaParameters(), example_format().with_(snippet=(2, 1)))
    stage = Extrema(ExtremaParameters(), example_format())
    right = spikes_with(np.zeros((4, 24, 3), np.int16))
    with pytest.raises(BitspikeError, match="no waveform"):
        stage.process(replace(right, waveform=np.empty((0, 0, 0), np.int16)))
    with pytest.raises(BitspikeError, match=r"\(24, 2\)"):
        stage.process(replace(right, waveform=np.zeros((4, 24, 2), np.int16)))
