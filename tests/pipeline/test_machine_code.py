"""Machine code comes from disk where it is there and whole, without Numba's compiler, and is made anew where it is not."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba.core import config

from pipeline import binding, machine_code
from pipeline.binding import call_plain

TEXT = """
import numpy as np
from pipeline.fixed import kernel

@kernel
def double(x, y):
    half = np.empty(len(x), np.int64)
    for n in range(len(x)):
        half[n] = x[n]
        y[n] = half[n] + x[n]
    return len(x)
"""
PROGRAM = """
import sys
import numpy as np
from numba.core.registry import cpu_target
from its_double import double
from pipeline import binding
binding.cfunc = None  # so that nothing can be compiled
y = np.zeros(3, np.int64)
print(binding.call_plain(double, np.array([5, 6, 7], np.int16), y), y, "scipy.linalg" in sys.modules)
"""


@pytest.fixture
def double(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "its_double.py").write_text(TEXT)
    yield importlib.import_module("its_double").double
    del sys.modules["its_double"]


def run(double):
    y = np.zeros(3, np.int64)
    assert call_plain(double, np.array([1, 2, -3], np.int16), y) == 3
    assert y.tolist() == [2, 4, -6]


def held(folder):
    return sorted(folder.rglob("its_double.double-*.code"))


@pytest.fixture
def file(double, tmp_path, monkeypatch):
    """The file of a kernel that was compiled, and is no longer in memory."""
    monkeypatch.setattr(binding, "_ENTRIES", {})
    folder = tmp_path if not config.CACHE_DIR else Path(config.CACHE_DIR)
    before = set(held(folder))
    run(double)
    (new,) = set(held(folder)) - before
    binding._ENTRIES.clear()
    binding.plain.cache_clear()
    return new


def test_another_process_takes_what_was_compiled(file, tmp_path):
    path = os.pathsep.join([str(tmp_path), *sys.path])
    told = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    assert told.stdout == "3 [10 12 14] False\n", told.stderr


def test_nothing_is_compiled_twice(file, double, monkeypatch):
    monkeypatch.setattr(machine_code, "_emitted", None)
    run(double)


@pytest.mark.parametrize(
    "damage", [lambda held: held[:-1], lambda held: b"", lambda held: held[:2000] + bytes([held[2000] ^ 1]) + held[2001:]]
)
def test_damaged_code_is_made_anew(file, double, damage):
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    run(double)
    assert len(file.read_bytes()) == len(whole)
    assert machine_code._read(file) is not None


def test_code_of_another_processor_is_not_taken(file, double, monkeypatch):
    processor = machine_code._processor()
    assert machine_code._machine()[-2:] == processor
    monkeypatch.setattr(machine_code, "_machine", lambda: ("another",))
    assert machine_code._file(double, "text") != file
    run(double)
    assert len(set(held(file.parent))) == 2


def test_code_from_before_a_change_is_removed(file, double, tmp_path):
    other = file.with_name("its_double.double-0.code")
    other.write_bytes(b"")
    os.utime(other, (0, 0))
    another = file.with_name("its_double.doubled-0.code")
    another.write_bytes(b"")
    os.utime(another, (0, 0))
    file.unlink()
    run(double)
    assert file.exists()
    assert another.exists()
    assert not other.exists()


def test_a_folder_that_cannot_be_written_is_no_error(file, double, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    file.unlink()
    monkeypatch.setattr(Path, "replace", full)
    run(double)
    assert not file.exists()
    assert not list(file.parent.glob("*.new"))
