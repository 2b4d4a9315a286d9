"""Speed of the decoders of event recordings, beside other software on the same files in the same process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.material import FOLDER
from benchmarks.results import Part, Requirement, Table
from benchmarks.timing import interleaved
from pipeline.blocks import EventFormat, Events
from sensors.events import open_events, write_events

SEED = 301
SENSOR = EventFormat(1280, 720)
FILES = {"evt2": "evt2.raw", "evt3": "evt3.raw", "dat": "dat.dat", "aedat4": "lz4.aedat4"}
LEAST = {"evt2": 1.8, "evt3": 1.5}  # times faery
REAL = {"evt2": ("evt2/evt2_sample.raw", 10), "evt3": ("evt3/evt3_sample.raw", 25)}  # and how often its events come, end to end


def measure(quick: bool) -> Part:
    """Measure."""
    part = Part("Decoding of event recordings")
    rounds = 5 if quick else 21
    folder = FOLDER / "events"
    recordings = [(f"made, {kind}", kind, path) for kind, path in made(folder, 200_000 if quick else 4_000_000).items()]
    recordings += [(f"real, {kind}", kind, path) for kind, path in real(folder).items()]
    rows = []
    for name, kind, path in recordings:
        events = open_events(path).summary().events
        contenders = {"bitspike": partial(ours, path), **peers(kind, path)}
        for software, run in contenders.items():
            assert run() == events, f"{name}: {software} reads {run()} events of {events}"
        taken = interleaved(contenders, rounds)
        rows += [[name, software, events / s / 1e6, s / taken["bitspike"]] for software, s in taken.items()]
        if kind in LEAST:
            ratio = taken["faery"] / taken["bitspike"]
            part.requirements.append(Requirement(f"Decoding {name}, against faery", ratio, LEAST[kind], "times"))
    part.tables.append(
        Table(
            "Whole files, block by block",
            "Million events per second from the file (in the system's cache) to columns in memory, on one core; every program "
            "gives its events in pieces of its own choice. The made file is short rows of events on 1280 x 720 pixels; real ones "
            "are repeated end to end, and are measured where BITSPIKE_DATA names the folder of real recordings. expelliarmus "
            "reads wrong times in EVT3.",
            ["file", "software", "Mev/s", "bitspike is faster by"],
            rows,
        )
    )
    return part


def made(folder: Path, count: int) -> dict[str, Path]:
    """Return one synthetic recording in each format, written when first needed."""
    paths = {kind: folder / str(count) / name for kind, name in FILES.items()}
    if not all(path.exists() for path in paths.values()):
        shutil.rmtree(folder / str(count), ignore_errors=True)
        events = synthetic(count)
        for kind, path in paths.items():
            write_events(path, [events], kind, sensor=SENSOR)
    return paths


def synthetic(count: int) -> Events:
    """Return events as of moving edges: at each of many times a few rows, and in each some neighbouring pixels with gaps."""
    rng = np.random.default_rng(SEED)
    rows = count // 3
    lengths = 1 + rng.poisson(2.0, rows)
    row = np.repeat(np.arange(rows), lengths)[:count]
    place = (np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)[: len(row)]) * 2
    t = np.cumsum(rng.random(rows) < 0.3)[row] + 1_000_000
    x = np.minimum(rng.integers(0, SENSOR.width - 60, rows)[row] + place, SENSOR.width - 1)
    y, p = rng.integers(0, SENSOR.height, rows)[row], rng.integers(0, 2, rows)[row]
    return Events(int(t[0]), int(t[-1]) + 1, t.astype(np.int64), x.astype(np.uint16), y.astype(np.uint16), p.astype(np.uint8))


def real(folder: Path) -> dict[str, Path]:
    """Return the real recordings, repeated so that they take long enough to measure; none where there are none."""
    data = os.environ.get("BITSPIKE_DATA")
    found: dict[str, Path] = {}
    for kind, (name, times) in REAL.items() if data else ():
        source, path = Path(data or "") / "events" / name, folder / f"real-{kind}.raw"
        if not source.exists():
            continue
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            content = source.read_bytes()
            head = 0
            while content.startswith(b"% ", head):
                head = content.index(b"\n", head) + 1
            sensor = open_events(source).format
            size = f"% geometry {sensor.width}x{sensor.height}\n".encode()
            path.write_bytes(content[:head] + size + content[head:] * times)
        found[kind] = path
    return found


def ours(path: Path) -> int:
    """Decode with bitspike; return the number of events."""
    return sum(len(piece) for piece in open_events(path).pieces())


def peers(kind: str, path: Path) -> dict[str, Callable[[], Any]]:
    """Return the other programs that read a format, each as a function that decodes the file and returns the number of events."""
    found: dict[str, Callable[[], Any]] = {"faery": partial(_faery, path)}
    if kind == "aedat4":
        found["dv-processing"] = partial(_dv_processing, path)
    if kind in ("evt2", "evt3", "dat"):
        found["expelliarmus"] = partial(_expelliarmus, kind, path)
    return found


def _faery(path: Path) -> int:
    import faery

    return sum(len(events) for events in faery.events_stream_from_file(path))


def _dv_processing(path: Path) -> int:
    from dv_processing.io import MonoCameraRecording

    recording, count = MonoCameraRecording(str(path)), 0
    while (batch := recording.getNextEventBatch()) is not None:
        count += len(batch.numpy())
    return count


def _expelliarmus(kind: str, path: Path) -> int:
    from expelliarmus import Wizard

    wizard = Wizard(encoding=kind, chunk_size=1 << 17)
    wizard.set_file(path)
    return sum(len(events) for events in wizard.read_chunk())
