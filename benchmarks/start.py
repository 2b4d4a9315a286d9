"""How long the program takes to answer, and to start processing."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass

import numpy as np

from benchmarks.material import FOLDER, speed_recording
from benchmarks.results import Part, Requirement, Table

PROGRAM = (sys.executable, "-c", "from bitspike.main import main; main()")
HELP_S, START_S = 0.5, 2.0


@dataclass(frozen=True)
class Done:
    """A command that has ended: wall time, peak resident memory, what it printed, and its last line of error, if any."""

    seconds: float
    peak_mb: float
    printed: str
    error: str

    @property
    def good(self) -> bool:
        """Whether it went well."""
        return not self.error


# A process of its own starts the command: the kernel counts what a program's parent held at its start as the program's own memory
LAUNCH = """
import json, os, subprocess, sys, time
began = time.perf_counter()
process = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
seconds = time.perf_counter() - began
process.returncode = os.waitstatus_to_exitcode(status)
with open(sys.argv[1], "w") as file:
    json.dump([seconds, usage.ru_maxrss, process.returncode], file)
"""


def timed(command: list[str]) -> Done:
    """Run a command."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err, tempfile.NamedTemporaryFile("r") as told:
        subprocess.run([sys.executable, "-I", "-c", LAUNCH, told.name, *command], stdout=out, stderr=err, check=True)
        seconds, peak, status = json.load(told)
        out.seek(0)
        err.seek(0)
        lines = err.read().strip().splitlines()
        error = "" if status == 0 else (lines[-1] if lines else f"status {status}")
        scale = 1e6 if sys.platform == "darwin" else 1e3
        return Done(seconds, peak / scale, out.read(), error)


def measure(quick: bool) -> Part:
    """Measure."""
    part = Part("Start")
    times = 3 if quick else 7
    asked = [timed([*PROGRAM, "--help"]) for _ in range(1 + times)][1:]
    answer = float(np.median([done.seconds for done in asked])) if all(done.good for done in asked) else float("nan")
    rows = [["`bitspike --help`", answer, asked[-1].error]]
    recording = speed_recording().path
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        run = [*PROGRAM, "replay", str(recording), "--chain", "psoc68"]
        first = timed([*run, "--out", f"{folder}/first", "--json"])
        again = [
            timed([*run, "--out", f"{folder}/again", "--stop", "2", "--trained", f"{folder}/first", "--json"]) for _ in range(times)
        ]
    errors = [done.error for done in (first, *again) if not done.good]
    start = float("nan") if errors else float(np.median([done.seconds - _processing(done) for done in again]))
    rows.append(["second `bitspike replay`: all but processing", start, "; ".join(sorted(set(errors)))])
    part.requirements.append(Requirement("bitspike --help answers", answer, HELP_S, "s", at_least=False))
    part.requirements.append(Requirement("Second replay starts processing", start, START_S, "s", at_least=False))
    part.tables.append(
        Table(
            "Start",
            "Medians of wall time. Of the second replay of a recording, with what the first has learned, all is counted but the "
            "processing itself: start of the interpreter, opening, machine code from the cache, warm-up, and writing the result.",
            ["what", "seconds", "error"],
            rows,
        )
    )
    return part


def _processing(done: Done) -> float:
    """Return the seconds between the first block and the last, as the program reports them."""
    return float(json.loads(done.printed)["timings"]["seconds"])
