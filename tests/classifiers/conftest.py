"""Recordings that are read only where they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def neural_data() -> Path:
    """The folder of real neural recordings."""
    folder = os.environ.get("BITSPIKE_DATA")
    if not folder:
        pytest.skip("BITSPIKE_DATA is not set: the folder of real recordings is not known")
    return Path(folder) / "neural"
