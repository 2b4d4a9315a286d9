"""What the tests of event recordings share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pipeline.blocks import Events


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real event recordings."""
    folder = os.environ.get("BITSPIKE_DATA")
    if not folder:
        pytest.skip("BITSPIKE_DATA is not set: it names the folder of real recordings")
    return Path(folder) / "events"


@pytest.fixture(scope="session")
def made() -> Events:
    """20,000 events on 200 x 150 pixels: lone ones, rows of neighbours in ascending and descending order, many of one time."""
    rng = np.random.default_rng(3)
    t, x, y, p = [], [], [], []
    now = 1000
    while len(t) < 20000:
        now += int(rng.choice([0, 0, 1, 3, 70, 5000]))
        n = int(rng.choice([1, 1, 1, 2, 5, 40]))
        first, row, on = int(rng.integers(0, 200 - n)), int(rng.integers(0, 150)), int(rng.integers(0, 2))
        columns = first + np.sort(rng.permutation(n)[: max(1, n - 2)])
        columns = columns[::-1] if rng.random() < 0.2 else columns
        for column in columns:
            t.append(now)
            x.append(int(column))
            y.append(row)
            p.append(on)
    return Events(t[0], t[-1] + 1, np.array(t, np.int64), np.array(x, np.uint16), np.array(y, np.uint16), np.array(p, np.uint8))
