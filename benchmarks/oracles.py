"""``python -m benchmarks.oracles``: figures of what other software reads in the real event recordings, as fixtures for tests.

For each file of the folder that ``BITSPIKE_DATA`` names, under ``events``: number of events, the first and the last, and the
SHA-256 of each column as little-endian t int64, x and y uint16, p uint8. Where several programs read a format, they have to agree.
The 1000 N-MNIST recordings make one entry, of all of them in the order of their numbers. None of bitspike's own code is used here.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tarfile
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

OUT = Path(__file__).parent.parent / "tests" / "fixtures" / "events" / "digests.json"
COLUMNS = {"t": "<i8", "x": "<u2", "y": "<u2", "p": "u1"}
Read = Callable[[Path], tuple[Any, Any, Any, Any]]


def faery(path: Path) -> tuple[Any, Any, Any, Any]:
    import faery

    size = (640, 480) if "evt2" in path.name else (1280, 720)  # of files whose header does not say it
    events = np.concatenate(list(faery.events_stream_from_file(path, dimensions_fallback=size)))
    return events["t"], events["x"], events["y"], events["on"]


def expelliarmus(path: Path) -> tuple[Any, Any, Any, Any]:
    from expelliarmus import Wizard

    events = Wizard(encoding="dat" if path.suffix == ".dat" else "evt2").read(path)
    return events["t"], events["x"], events["y"], events["p"]


def eventcv(path: Path) -> tuple[Any, Any, Any, Any]:
    import eventcv

    events = eventcv.load(str(path)).numpy()
    return events[:, 2], events[:, 0], events[:, 1], events[:, 3]


def dv_processing(path: Path) -> tuple[Any, Any, Any, Any]:
    from dv_processing.io import MonoCameraRecording

    recording, batches = MonoCameraRecording(str(path)), []
    while (batch := recording.getNextEventBatch()) is not None:
        batches.append(batch.numpy())
    events = np.concatenate(batches)
    return events["timestamp"], events["x"], events["y"], events["polarity"]


def tonic(path: Path) -> tuple[Any, Any, Any, Any]:
    from tonic.io import read_mnist_file

    events = read_mnist_file(str(path), dtype=np.dtype([("x", int), ("y", int), ("t", int), ("p", int)]))
    return events["t"], events["x"], events["y"], events["p"]


PACKAGES = {"faery": faery, "expelliarmus": expelliarmus, "eventcv": eventcv, "dv-processing": dv_processing, "tonic": tonic}
# Of EVT3 there are two readings: faery's decoder lets the time stand where a TIME_LOW word goes back, eventcv's (and Prophesee's)
# follows it, so that an event after such a word is some microseconds earlier. Both are kept. expelliarmus counts wraps twice.
FOLLOWING = {"evt3/evt3_sample.raw": "eventcv"}
FILES = {
    "evt2/evt2_sample.raw": ("faery", "expelliarmus", "eventcv"),
    "evt3/evt3_sample.raw": ("faery",),
    "dat/rect_1ms_cd.tar.xz": ("faery", "expelliarmus"),
    "dat/sample_ncars.dat": ("expelliarmus",),
    "es/dvs.es": ("faery",),
    "aedat4/davis.aedat4": ("dv-processing", "faery", "eventcv"),
    "aedat2/IMU_rotDisk.aedat": ("eventcv",),
    "nmnist/train": ("tonic",),
    **{f"dvs_gesture/{i}.bs2": ("tonic",) for i in (1, 2, 3, 5, 7, 9)},
}


def figures(columns: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return what a fixture says of a recording."""
    return {
        "events": len(columns["t"]),
        "first": [int(columns[c][0]) for c in COLUMNS],
        "last": [int(columns[c][-1]) for c in COLUMNS],
        "sha256": {c: hashlib.sha256(columns[c].tobytes()).hexdigest() for c in COLUMNS},
    }


def read(path: Path, package: str) -> dict[str, Any]:
    """Return the figures of what a package reads."""
    paths = sorted(path.iterdir(), key=lambda p: int(p.stem)) if path.is_dir() else [path]
    parts = [PACKAGES[package](one) for one in paths]
    joined = (np.concatenate([np.asarray(part[i]) for part in parts]) for i in range(4))
    return figures({name: column.astype(kind) for (name, kind), column in zip(COLUMNS.items(), joined, strict=True)})


def main() -> int:
    """Write the fixtures; return 1 if programs do not agree."""
    folder = Path(os.environ["BITSPIKE_DATA"]) / "events"
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, packages in FILES.items():
            path = folder / name
            if path.suffix == ".xz":
                with tarfile.open(path) as archive:
                    archive.extractall(scratch, filter="data")
                path = Path(scratch) / path.name.replace(".tar.xz", ".dat")
            read_by = {package: read(path, package) for package in packages}
            if any(one != read_by[packages[0]] for one in read_by.values()):
                print(f"{name}: {', '.join(packages)} do not agree", file=sys.stderr)
                return 1
            found[name] = {"read_by": {p: metadata.version(p) for p in packages}, **read_by[packages[0]]}
            if name in FOLLOWING:
                package = FOLLOWING[name]
                found[name]["following"] = {"read_by": {package: metadata.version(package)}, **read(path, package)}
            print(f"{name}: {found[name]['events']:,} events by {', '.join(packages)}")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
