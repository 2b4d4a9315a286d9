"""What Meson builds and installs is what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "meson.build").read_text()
ROOMS = dict(re.findall(r"^  '(\w+)': \[(.*)\],$", TEXT, re.M))


def test_every_c_file_is_in_the_native_library():
    assert re.findall(r"'(firmware/src/\w+\.c)'", TEXT) == sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("firmware/src/*.c"))


@pytest.mark.parametrize("room", ["pipeline", "sensors", "classifiers", "firmware", "bitspike"])
def test_machine_code_that_python_keeps_is_not_installed(room):
    inner = {str(p.parent.relative_to(ROOT / room)) for p in (ROOT / room).rglob("*.py")} - {"."}
    assert set(re.findall(r"'([\w/]+)'", ROOMS[room])) == inner


def test_version_is_that_of_the_package():
    version = re.search(r"version: '([\d.]+)'", TEXT)[1]
    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text()
