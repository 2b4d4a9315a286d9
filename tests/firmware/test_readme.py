"""The examples of the firmware's README do what it says."""

from __future__ import annotations

import re

from firmware import build

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
