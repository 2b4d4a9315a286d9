"""What the sensor tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real recordings."""
    folder = os.environ.get("BITSPIKE_DATA")
    if not folder:
        pytest.skip("BITSPIKE_DATA is not set: it names the folder of real recordings")
    return Path(folder) / "neural"
