"""What the firmware tests share: the engines, compiled for few channels."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from firmware.build import CORES, ROOT
from firmware.native import Native
from firmware.target import Target

MOST = 24  # channels; the contract checks use up to 17


@pytest.fixture(scope="session", params=["native", *CORES])
def engine(request):
    """Every engine that runs the C library."""
    return Native() if request.param == "native" else Target(request.param, MOST)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the firmware folder, to be changed."""
    root = tmp_path / "firmware"
    shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns("__pycache__"))
    return root
