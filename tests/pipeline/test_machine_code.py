"""Machine code comes from disk where it is there and whole, without Numba's compiler, and is made anew where it is not."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from functools import wraps
from pathlib import Path

import numpy as np
import pytest
from llvmlite import binding as llvm
from numba.core import config
from numba.core.codegen import JITCPUCodegen

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


@pytest.mark.parametrize("name", machine_code.SETTINGS)
def test_code_of_other_settings_is_not_taken(file, double, monkeypatch, name):
    before = machine_code._file(double, "text")
    monkeypatch.setattr(config, name, "another")
    assert machine_code._file(double, "text") != before


SETTINGS = [{}, {"ENABLE_AVX": 0}, {"CPU_NAME": "generic"}, {"OPT": type(config.OPT)(1), "USE_LLVMLITE_MEMORY_MANAGER": 1}]


def spied(function, calls):
    @wraps(function)  # Numba looks at its signature
    def spy(*given, **named):
        calls.append(named)
        return function(*given, **named)

    return spy


@pytest.mark.parametrize("settings", SETTINGS)
def test_code_is_made_and_loaded_as_numba_does(file, monkeypatch, settings):
    """Numba's own target and engine are asked for with the same arguments."""
    made, loaded = [], []
    monkeypatch.setattr(llvm.Target, "create_target_machine", spied(llvm.Target.create_target_machine, made))
    monkeypatch.setattr(llvm, "create_mcjit_compiler", spied(llvm.create_mcjit_compiler, loaded))
    for name, value in settings.items():
        monkeypatch.setattr(config, name, value)
    assert machine_code._loaded(*machine_code._read(file)) != 0
    JITCPUCodegen("another")
    assert len(made) == len(loaded) == 2
    assert made[0] == made[1]
    assert loaded[0] == loaded[1]


def test_code_without_its_function_is_made_anew(file, double):
    _, code = machine_code._read(file)
    machine_code._write(file, ("another", code), Path(double.py_func.__code__.co_filename))
    run(double)
    assert machine_code._read(file)[0] != "another"


def test_an_address_of_nothing_is_not_called(file, double, monkeypatch):
    monkeypatch.setattr(machine_code, "_loaded", lambda *_: 0)
    with pytest.raises(RuntimeError, match="double: LLVM"):
        run(double)


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


def test_what_nobody_reads_any_more_is_removed(file, double):
    day, now = 24 * 3600, time.time()
    os.utime(double.py_func.__code__.co_filename, (now - 99 * day, now - 99 * day))
    ages = {  # days since it was read and written
        "its_double.double-0.code": (31, 31),
        "its_double.double-1.code": (29, 40),
        "its_double.double-2.code": (40, 29),
        "another.double-0.code": (40, 40),
        "another.double-0.code.0123abcd.new": (2, 2),
        "another.double-1.code.0123abcd.new": (0.5, 0.5),
    }
    for name, (read, written) in ages.items():
        file.with_name(name).write_bytes(b"")
        os.utime(file.with_name(name), (now - read * day, now - written * day))
    file.unlink()
    run(double)
    assert file.exists()
    gone = {name for name in ages if not file.with_name(name).exists()}
    for name in ages.keys() - gone:
        file.with_name(name).unlink()  # the folder may be everybody's
    assert gone == {"its_double.double-0.code", "another.double-0.code.0123abcd.new"}


@pytest.mark.parametrize("fails", ["unlink", "stat"])
def test_an_old_file_that_stays_does_not_keep_others_or_the_new_one(file, double, monkeypatch, fails):
    stuck, other = (file.with_name(f"its_double.double-{n}.code") for n in range(2))
    for old in (stuck, other):
        old.write_bytes(b"")
        os.utime(old, (0, 0))
    file.unlink()
    kept = getattr(Path, fails)

    def failing(self, *given, **named):
        if self == stuck:
            raise PermissionError(13, "Permission denied")
        return kept(self, *given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Path, fails, failing)
        run(double)
    stays = [stuck.exists(), other.exists()]
    stuck.unlink()
    assert file.exists()
    assert stays == [True, False]


def test_a_folder_that_cannot_be_written_is_no_error(file, double, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    file.unlink()
    monkeypatch.setattr(Path, "replace", full)
    run(double)
    assert not file.exists()
    assert not list(file.parent.glob("*.new"))
