"""The parts of `make harden` that need no tool: the comparison with MISRA.md, and the inputs that fuzzing starts from."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from firmware import build
from firmware.harden.corpus import HERE, fuzzed_stages, room, write_image, write_learning, write_stages, write_words
from firmware.harden.misra import explained, unexplained
from pipeline.chain import load_stages
from pipeline.stage import REGISTRY

load_stages()

DEVIATIONS = "| Rule | Where | Why |\n|---|---|---|\n| 10.4 | everywhere | a |\n| 11.5 | a.c, b.h | b |\n| badThing | c.c | c |\n"
COMPLAINTS = """src/a.c:1: misra-c2012-10.4: text
src/a.c:2: misra-c2012-11.5: text
include/b.h:3: misra-c2012-11.5: text
src/c.c:4: badThing: text
"""


def test_explained_complaints_are_none():
    assert unexplained(COMPLAINTS, DEVIATIONS) == ([], 3)


@pytest.mark.parametrize(
    "line", ["src/c.c:5: misra-c2012-11.5: text\n", "src/a.c:6: misra-c2012-9.9: text\n", "src/a.c:7: other: text\n"]
)
def test_others_are_named(line):
    path, number, rule, _ = line.replace("misra-c2012-", "").split(":")
    assert unexplained(COMPLAINTS + line + line, DEVIATIONS)[0] == [f"{path}:{number}:{rule}: not explained in MISRA.md"]


def test_rows_that_explain_nothing_are_named():
    found, _ = unexplained(COMPLAINTS.replace("include/b.h", "src/a.c"), DEVIATIONS)
    assert found == ["MISRA.md: 11.5, b.h: there is no such deviation any more"]


def test_the_list_is_read_and_names_files_that_there_are():
    rows = explained((build.ROOT / "MISRA.md").read_text())
    files = {path.name for path in [*build.ROOT.glob("src/*.c"), *build.ROOT.glob("include/bitspike/*.h")]}
    assert len(rows) > 20
    assert set().union(*rows.values()) <= files | {"everywhere"}


PROGRAMS = {
    "fuzz_stages": write_stages,
    "fuzz_tables": write_image,
    "fuzz_words": write_words,
    "fuzz_learning": write_learning,
}


@pytest.mark.parametrize(("program", "write"), list(PROGRAMS.items()))
def test_inputs_run(program, write, tmp_path):
    """Those that fuzzing starts from, and some with one byte changed: built without libFuzzer, which may be missing here."""
    count = write(tmp_path)
    inputs = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    assert len(inputs) == count >= 4
    source = HERE / f"{program}.c"
    library = build.compiled(f"{program}.so", ["gcc", "-O1", "-shared", "-fPIC"], room(), more=[source])
    run = ctypes.CDLL(str(library)).LLVMFuzzerTestOneInput
    rng = np.random.default_rng(0)
    for data in inputs:
        assert run(data, ctypes.c_size_t(len(data))) == 0
        for at in rng.integers(1, min(len(data), 120), 20):
            changed = data[:at] + bytes([data[at] ^ 1 << int(rng.integers(8))]) + data[at + 1 :]
            assert run(changed, ctypes.c_size_t(len(changed))) == 0


def test_fuzzed_stages_are_stages():
    assert len(fuzzed_stages()) >= 12
    assert set(fuzzed_stages()) <= set(REGISTRY)
