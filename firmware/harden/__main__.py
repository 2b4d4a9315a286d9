"""Runs every check, prints a line for each, and ends with status 1 when one finds something or its tool is missing."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from firmware.build import COMMON, ROOT, macros, sources
from firmware.harden.corpus import HERE, fuzzed_stages, room, write_image, write_learning, write_stages, write_words
from firmware.harden.misra import unexplained
from firmware.twins import has
from pipeline.chain import load_stages
from pipeline.stage import REGISTRY

INCLUDE = f"-I{ROOT / 'include'}"
FUZZED = ("-g", "-O1", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all", "-DNDEBUG")
LONGEST = 32_768  # bytes of an input
# Stages without random bytes, each with the reason.
WITHOUT_FUZZING: dict[str, str] = {}


class Found(Exception):
    """What a check found, or the tool that it misses."""


def tool(name: str, package: str) -> str:
    """Return where a tool is, or say what to install."""
    path = shutil.which(name)
    if path is None:
        raise Found(f"{name} is not installed; on Debian: apt-get install {package}")
    return path


def run(command: Sequence[str | Path]) -> str:
    """Return what a command prints; what it complains of is found."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Found((done.stderr + done.stdout)[-6000:])
    return done.stdout + done.stderr


def analyse(_seconds: int) -> str:
    """GCC follows every path through every file."""
    gcc = tool("gcc", "gcc")
    for path in sources():
        run([gcc, *COMMON, "-O2", "-fanalyzer", *macros(room()), INCLUDE, "-c", path, "-o", "/dev/null"])
    return f"{len(sources())} files"


def misra(_seconds: int) -> str:
    """Cppcheck looks for errors, and its add-on for departures from MISRA C:2012 that ``MISRA.md`` does not explain."""
    command = [tool("cppcheck", "cppcheck"), "--addon=misra", "--enable=warning,style,performance,portability", "--std=c11"]
    command += ["--platform=unix32", "--quiet", "--template={file}:{line}: {id}: {message}", "--suppress=missingIncludeSystem"]
    text = "".join(run([*command, *macros(room()), f"-DBS_DSP={variant}", INCLUDE, *sources()]) for variant in (0, 1))
    lines, rules = unexplained(text, (ROOT / "MISRA.md").read_text())
    if lines:
        raise Found("\n".join(lines))
    return f"{len(sources())} files, {rules} rules with deviations, all explained in MISRA.md"


def fuzz(program: str, write: Callable[[Path], int], seconds: int) -> str:
    """Clang's libFuzzer changes the bytes of a corpus, guided by what code they reach, under both sanitizers."""
    clang = tool("clang", "clang libclang-rt-dev")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus, new, binary = folder / "corpus", folder / "new", folder / program
        corpus.mkdir()
        new.mkdir()
        count = write(corpus)
        source = HERE / f"{program}.c"
        run([clang, "-std=c11", "-Wall", "-Wextra", *FUZZED, *macros(room()), INCLUDE, *sources(), source, "-o", binary])
        limits = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=10", "-print_final_stats=1", "-verbosity=1"]
        text = run([binary, *limits, f"-artifact_prefix={Path.cwd()}/", new, corpus])
    runs = next(line.split()[-1] for line in text.splitlines() if "number_of_executed_units" in line)
    return f"{runs} inputs in {seconds} s from {count}"


def fuzz_stages(seconds: int) -> str:
    """Fuzz init and process of every stage."""
    missed = [name for name in REGISTRY if has(name) and name not in fuzzed_stages() and name not in WITHOUT_FUZZING]
    if missed:
        raise Found(f"fuzz_stages.c does not know: {', '.join(missed)}")
    return fuzz("fuzz_stages", write_stages, seconds)


def fuzz_tables(seconds: int) -> str:
    """Fuzz the loader of table images."""
    return fuzz("fuzz_tables", write_image, seconds)


def fuzz_learning(seconds: int) -> str:
    """Fuzz the sorter's training."""
    return fuzz("fuzz_learning", write_learning, seconds)


def fuzz_words(seconds: int) -> str:
    """Fuzz the decoders of a camera's words."""
    return fuzz("fuzz_words", write_words, seconds)


CHECKS: dict[str, Callable[[int], str]] = {
    "gcc -fanalyzer": analyse,
    "cppcheck, MISRA": misra,
    "libFuzzer, stages": fuzz_stages,
    "libFuzzer, tables": fuzz_tables,
    "libFuzzer, training": fuzz_learning,
    "libFuzzer, words of a camera": fuzz_words,
}


def main() -> int:
    """Run all checks; return the program's status."""
    parser = argparse.ArgumentParser(prog="python -m firmware.harden", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each program that is fuzzed")
    seconds = parser.parse_args().seconds
    load_stages()
    bad = 0
    for name, check in CHECKS.items():
        try:
            print(f"harden: {name}: {check(seconds)}: nothing found", flush=True)
        except Found as found:
            print(f"harden: {name}: {found}", flush=True)
            bad += 1
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
