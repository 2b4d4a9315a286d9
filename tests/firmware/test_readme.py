"""The examples of the firmware's README do what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import numpy as np
import pytest

from firmware import build
from pipeline.blocks import SampleFormat, Samples
from pipeline.neural.bandpass import Bandpass, BandpassParameters
from pipeline.neural.threshold import Threshold, ThresholdParameters

README = (build.ROOT / "README.md").read_text()


def code(language):
    return re.search(rf"```{language}\n(.*?)```", README, re.S)[1]


def test_c_example_compiles(tmp_path):
    unit = tmp_path / "example.c"
    prototypes = """int32_t start(void);
int32_t detect(int16_t block[FRAMES][CHANNELS], int32_t *at, int32_t *channel, int32_t *amplitude);
"""
    text = code("c")
    unit.write_text(text.replace("extern", prototypes + "extern", 1))
    flags = [f"-I{build.ROOT / 'include'}", "-DBS_MAX_CHANNELS=16"]
    build.run(["gcc", *build.COMMON, "-O2", *flags, "-c", str(unit), "-o", str(tmp_path / "example.o")])


def test_python_example_writes_the_bytes_of_the_struct(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scope = {}
    exec(code("python"), scope)
    assert (tmp_path / "bandpass_tables.bin").read_bytes() == scope["design"].tables.tobytes()
    assert "fractional bits" in capsys.readouterr().out


def test_every_measured_stage_and_macro_exists():
    stages = {name.split("`")[0] for name in re.findall(r"^\| `([a-z]+)`", README, re.M)}
    assert stages <= {path.stem for path in build.sources()}
    config = (build.ROOT / "include/bitspike/config.h").read_text()
    assert all(f"#ifndef {macro}" in config for macro in re.findall(r"^\| `(BS_\w+)`", README, re.M))


def test_files_need_no_others_than_it_says(tmp_path):
    rows = re.findall(r"^\| `(\w+\.c)`[^|]*\| (`\w+\.c`.*) \|$", README, re.M)
    needs = {file: set(re.findall(r"\w+\.c", others)) for file, others in rows}
    assert len(needs) == 5
    flags = ["-std=c11", "-O1", f"-I{build.ROOT / 'include'}", "-DBS_MAX_CHANNELS=16"]
    subprocess.run(["gcc", *flags, "-c", *map(str, build.sources())], cwd=tmp_path, check=True)
    symbols = {}
    for path in build.sources():
        listed = subprocess.run(["nm", f"{path.stem}.o"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
        pairs = [line.split()[-2:] for line in listed.splitlines()]
        symbols[path.name] = {kind: {name for k, name in pairs if k == kind} for kind in "TU"}
    for file, own in symbols.items():
        there = own["T"].union(*(symbols[other]["T"] for other in needs.get(file, ())))
        missing = {name for name in own["U"] - there if name.startswith("bs_")}
        assert not missing, f"{file} needs {missing}"


ZEPHYR = """
add_executable(app)
function(zephyr_include_directories)
  target_include_directories(app PRIVATE ${ARGV})
endfunction()
function(zephyr_compile_definitions)
  target_compile_definitions(app PRIVATE ${ARGV})
endfunction()
"""
BUILDS = {  # commands in `examples`, the last of which runs the program
    "make": ("make", "./detect"),
    "cmake": ("cmake -B build", "cmake --build build", "build/detect"),
    "zephyr": ("cmake -B build zephyr", "cmake --build build", "build/app"),
}


def made_up_signal():
    """The signal of ``examples/detect.c`` in NumPy: int16 [12000, 4]."""
    shape = (-60, -240, -600, -900, -700, -300, 50, 200, 180, 120, 60, 20)
    x, seed = np.empty((12_000, 4), np.int16), 1
    for n in range(len(x)):
        for c in range(4):
            seed = (seed * 1664525 + 1013904223) % 2**32
            spike = n % 1200 < len(shape) and n // 1200 % 4 == c
            x[n, c] = (seed >> 26) - 32 + (shape[n % 1200] if spike else 0)
    return x


@pytest.fixture(scope="module")
def expected():
    """What the Python stages make of the same signal with the parameters that the example's comment states, as it prints it."""
    signal = SampleFormat(24_000, 4, bits=12)
    band = Bandpass(BandpassParameters(low_hz=300, high_hz=6000), signal)
    spikes = Threshold(ThresholdParameters(threshold=4.5), band.output).process(band.process(Samples(0, made_up_signal())))
    found = zip(spikes.sample, spikes.channel, spikes.amplitude, strict=True)
    return "".join(f"frame {at}, channel {channel}: {amplitude}\n" for at, channel, amplitude in found)


@pytest.mark.parametrize("kind", BUILDS)
def test_example_builds_from_this_folder_alone_and_finds_the_spikes(kind, copy, tmp_path, expected):
    *makes, runs = BUILDS[kind]
    if shutil.which(makes[0].split()[0]) is None:
        pytest.skip(f"{makes[0].split()[0]} is not installed")
    (tmp_path / "ZephyrConfig.cmake").write_text(ZEPHYR)  # what the example uses of Zephyr, for this machine
    environment = {**os.environ, "Zephyr_DIR": str(tmp_path), "CFLAGS": "-O2"}
    for command in makes:
        subprocess.run(command.split(), cwd=copy / "examples", env=environment, check=True, capture_output=True)
    printed = subprocess.run([runs], cwd=copy / "examples", check=True, capture_output=True, text=True).stdout
    assert printed == expected
    assert printed.count("\n") == 9  # the tenth lies in the window in which the noise is learned


def test_example_is_as_short_as_the_readme_says():
    said = int(re.search(r"a whole program, of (\d+) lines", README)[1])
    assert (build.ROOT / "examples/detect.c").read_text().count("\n") == said < 60


def test_example_compiles_without_warnings(tmp_path):
    flags = [f"-I{build.ROOT / 'include'}", "-DBS_MAX_CHANNELS=4"]
    build.run(["gcc", *build.COMMON, "-O2", *flags, "-c", str(build.ROOT / "examples/detect.c"), "-o", str(tmp_path / "detect.o")])
