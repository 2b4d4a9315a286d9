"""Every compiler, optimisation and variant gives the same bits, without warnings and without undefined behaviour."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from firmware import build, has
from firmware.native import Native
from firmware.target import Target
from pipeline.chain import load_stages
from pipeline.checks import check_full_scale, check_same_as_host
from pipeline.stage import REGISTRY

MOST = 24
COMPILERS = {"gcc": ["gcc"], "clang": build.zig()}

load_stages()
TWINS = [cls for name, cls in sorted(REGISTRY.items()) if has(name)]
VARIED = [path.stem for path in build.sources() if "BS_DSP" in path.read_text()]  # those with variants for DSP instructions


def require_same_bits(engine):
    for cls in TWINS:
        for parameters in cls.examples():
            check_same_as_host(cls, parameters, engine)


@pytest.mark.parametrize("optimise", ["-O0", "-O1", "-O2", "-O3"])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_same_bits_natively(compiler, optimise):
    require_same_bits(Native(build.host_library(COMPILERS[compiler], optimise, MOST)))


@pytest.mark.parametrize("core", build.CORES)
@pytest.mark.parametrize("optimise", ["-O0", "-O1", "-O3", "-Os"])  # -O2 keeps the whole contract in test_contract.py
def test_same_bits_on_targets(core, optimise):
    engine = Target(core, MOST, optimise=optimise)
    for cls in TWINS:
        check_same_as_host(cls, next(iter(cls.examples())), engine)


@pytest.mark.parametrize("core", build.CORES)
@pytest.mark.parametrize("optimise", ["-O0", "-O1", "-O2", "-O3"])
def test_same_bits_from_cross_gcc(core, optimise):
    if not any(map(shutil.which, build.CORES[core].gcc)):
        pytest.skip(f"no {' or '.join(build.CORES[core].gcc)} on the path")
    engine = Target(core, MOST, "gcc", optimise)
    for cls in TWINS:
        check_same_as_host(cls, next(iter(cls.examples())), engine)


def test_variants_for_dsp_instructions_give_the_same_bits():
    assert {"bandpass", "biquad", "reference"} <= set(VARIED) <= {cls.name for cls in TWINS}
    engine = Native(build.host_library([*COMPILERS["gcc"], "-DBS_DSP=1"], "-O2", MOST))
    for cls in (REGISTRY[name] for name in VARIED):
        for parameters in cls.examples():
            check_same_as_host(cls, parameters, engine)
            check_full_scale(cls, parameters, engine)


CHECK = """
import sys
from pathlib import Path
from firmware.native import Native
from pipeline.chain import load_stages
from pipeline.checks import check_chunks, check_full_scale, check_same_as_host
from pipeline.stage import REGISTRY
load_stages()
engine = Native(Path(sys.argv[1]))
for name in sys.argv[2:]:
    for i, parameters in enumerate(REGISTRY[name].examples()):
        for check in (check_same_as_host, check_chunks, check_full_scale)[: 1 if i else 3]:
            check(REGISTRY[name], parameters, engine)
print("checked")
"""


def sanitized(library, names):
    """Run contract checks in a process where every allocation is watched."""
    watcher = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout.strip()
    environment = {**os.environ, "LD_PRELOAD": watcher, "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc"}
    command = [sys.executable, "-c", CHECK, str(library), *names]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize(("variant", "names"), [(0, [cls.name for cls in TWINS]), (1, VARIED)])
def test_sanitizers_find_nothing(variant, names):
    flags = ["gcc", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", f"-DBS_DSP={variant}"]
    done = sanitized(build.host_library(flags, "-O1", MOST), names)
    assert done.stdout == "checked\n", done.stderr[-3000:]


def test_sanitizers_find_what_is_wrong(copy):
    source = copy / "src/bandpass.c"
    good = "state->primed = 1;"
    assert good in source.read_text()
    wrong = "state->primed = 1u + (frames << (state->primed + 32u)); y[frames * channels] = 0;"
    source.write_text(source.read_text().replace(good, wrong))
    for other in build.sources(copy):
        if other.stem not in ("bandpass", "version"):
            other.unlink()  # compiling them takes time
    flags = ["gcc", "-fsanitize=address,undefined", "-fsanitize-recover=undefined", "-g"]
    done = sanitized(build.host_library(flags, "-O1", MOST, copy), ["bandpass"])
    assert "shift exponent 32 is too large" in done.stderr
    assert "AddressSanitizer: heap-buffer-overflow" in done.stderr
