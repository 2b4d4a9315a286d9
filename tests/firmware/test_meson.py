"""What Meson builds and installs is what there is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
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


@pytest.mark.parametrize("cross", sorted(path.stem for path in (ROOT / "firmware/cross").glob("*.ini")))
def test_cross_files_build_the_library(tmp_path, cross):
    text = (ROOT / "firmware/cross" / f"{cross}.ini").read_text()
    compiler = re.search(r"^c = '(\S+)'$", text, re.M)
    if compiler and shutil.which(compiler[1]) is None:
        pytest.skip(f"no {compiler[1]} on the path")
    (tmp_path / "cross.ini").write_text(text.replace("'python3'", f"'{sys.executable}'"))
    for command in (
        ["setup", str(tmp_path / "build"), "--cross-file", str(tmp_path / "cross.ini")],
        ["compile", "-C", str(tmp_path / "build")],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "mesonbuild.mesonmain", *command], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert b"bs_bandpass_process" in (tmp_path / "build/libbitspike.a").read_bytes()
