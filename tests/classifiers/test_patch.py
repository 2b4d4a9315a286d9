"""Patches of the ring, against NumPy's indexing."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers.patch import cut, place, put_back, whole_frames
from pipeline.lanes import WIDTH


@pytest.mark.parametrize("channels", [1, 3, 7, 8, 9, 12, 15, 16, 23, 68])
@pytest.mark.parametrize("together", [False, True])
def test_a_patch_has_the_channels_and_frames_asked_for_and_goes_back_to_where_it_was(channels, together):
    rng = np.random.default_rng(channels)
    for _ in range(60):
        ring = rng.integers(-(2**15), 2**15, (128, channels)).astype(np.int16)
        count, width, frame = int(rng.integers(1, min(channels, 12) + 1)), int(rng.integers(10, 101)), int(rng.integers(-40, 2**30))
        low = int(rng.integers(0, channels - count + 1))
        near = (low + rng.permutation(count) if together else rng.permutation(channels)[:count]).astype(np.int16)
        near[int(rng.integers(0, count)) + 1 :] = -1
        row, begin = np.full(count, 99), np.full(count, 99)
        patch = np.zeros((WIDTH * count, whole_frames(width)), np.int16)
        groups = place(near, channels, row, begin)
        assert groups <= np.sum(near >= 0)
        np.testing.assert_array_equal(row >= 0, near >= 0)
        first = cut(ring, frame, width, begin, groups, patch)
        frames = np.arange(frame, frame + width) % len(ring)
        here = row >= 0
        np.testing.assert_array_equal(patch[row[here], first : first + width], ring[frames][:, near[here]].T)
        expected = ring.copy()
        changed = rng.integers(-(2**15), 2**15, (here.sum(), width)).astype(np.int16)
        expected[frames[:, None], near[here]] = changed.T
        patch[row[here], first : first + width] = changed
        put_back(ring, frame, width, begin, groups, patch)
        np.testing.assert_array_equal(ring, expected)
