"""Memory of a replay, and that it does not grow with the recording."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.material import FOLDER, RATE_HZ, speed_recording
from benchmarks.results import Part, Requirement, Table
from benchmarks.start import PROGRAM, timed

MINUTES = (2, 10)
LIMIT_MB = 500
GROWTH_MB = 20


def measure(quick: bool) -> Part:
    """Measure."""
    part = Part("Memory")
    rows: list[list[Any]] = []
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        for minutes in (1, 2) if quick else MINUTES:
            file = Path(folder) / f"{minutes}.raw"
            tile(file, minutes * 60)
            stated = ["--rate", str(RATE_HZ), "--channels", "68", "--uv-per-count", "0.195"]
            out = Path(folder) / "out"
            done = timed([*PROGRAM, "replay", str(file), *stated, "--chain", "psoc68", "--out", str(out)])
            shutil.rmtree(out, ignore_errors=True)
            file.unlink()
            rows.append(
                [
                    f"{minutes} min",
                    done.peak_mb,
                    done.seconds,
                    minutes * 60 / done.seconds if done.good else float("nan"),
                    done.error,
                ]
            )
    peaks = [row[1] if not row[4] else float("nan") for row in rows]
    part.requirements.append(
        Requirement(f"Peak memory of a replay of {rows[-1][0]}, 68 channels", peaks[-1], LIMIT_MB, "MB", at_least=False)
    )
    what = f"Growth of peak memory from {rows[0][0]} to {rows[-1][0]}"
    part.requirements.append(Requirement(what, peaks[-1] - peaks[0], GROWTH_MB, "MB", at_least=False))
    part.tables.append(
        Table(
            "Replay of long recordings",
            "`bitspike replay` of a raw file of 68 channels at 24 kHz with the chain psoc68, from the command to the finished "
            "result, learning from the first minute included; the largest resident memory of the process.",
            ["recording", "peak, MB", "seconds", "x real time", "error"],
            rows,
        )
    )
    return part


def tile(file: Path, seconds: int) -> None:
    """Write a raw file of so many seconds: a simulated recording again and again."""
    recording = speed_recording()
    data = recording.read(0, recording.frames // RATE_HZ * RATE_HZ)
    left = seconds * RATE_HZ
    with file.open("wb") as out:
        while left > 0:
            out.write(data[:left].data)
            left -= len(data)


if __name__ == "__main__":
    print(measure("--quick" in sys.argv).markdown())
