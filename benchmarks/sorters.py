"""One sorter on several recordings, in a process of its own: ``python -m benchmarks.sorters SORTER CORE FILE RECORDING ...``.

FILE becomes JSON: for every recording, seconds, number of units and accuracy by true unit, or the line of the error.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.detection import count
from benchmarks.material import trained, truth_of
from benchmarks.peers import as_spikeinterface
from benchmarks.timing import pin
from bitspike.scoring import score_spikeinterface
from pipeline.chain import Chain, read_chain
from sensors.recording import Recording, open_recording

OURS = {"bitspike psoc68": "psoc68", "bitspike probe": "probe"}
PEERS: dict[str, dict[str, Any]] = {
    "tridesclous2": {},
    "spykingcircus2": {"apply_motion_correction": False},  # needs a package of a gigabyte, and nothing moves here
    "mountainsort5": {},
    "simple": {},
}
BLOCK_MS = 10


def main(name: str, core: str, file: str, *folders: str) -> None:
    """Sort, score and write."""
    pin(int(core))
    warnings.simplefilter("ignore")
    results = []
    for folder in folders:
        recording = open_recording(folder)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                results.append(_ours(OURS[name], recording) if name in OURS else _peer(name, recording))
        except Exception as error:
            results.append({"error": _line(error)})
        Path(file).write_text(json.dumps(results), encoding="utf-8")


def _ours(chain: str, recording: Recording) -> dict[str, Any]:
    began = time.perf_counter()
    running = trained(read_chain(chain), recording)
    learned = time.perf_counter()
    final = running.plan.steps[-1].label
    (detector,) = (step.sources[1] for step in running.plan.steps if step.label == final)
    outputs = streamed(running, recording)
    done = time.perf_counter()
    result: dict[str, Any] = {"seconds": done - began, "learning_s": learned - began}
    for kind, label in (("detected", detector), ("sorted", final)):
        sample, channel = ascending(outputs, label, "channel")
        counts = count(truth_of(recording), recording.format, sample, channel)
        result[kind] = [counts.true, counts.found, counts.false]
    return {**result, **score(recording, *ascending(outputs, final, "unit"))}


def streamed(running: Chain, recording: Recording) -> list[Mapping[str, Any]]:
    """Return what a chain makes of a recording, in blocks of 10 ms."""
    blocks = recording.blocks(round(BLOCK_MS * recording.format.rate_hz / 1000))
    return [*map(running.process, blocks), running.finish()]


def ascending(outputs: list[Mapping[str, Any]], label: str, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Return frame and another column of the spikes that a stage gave, in order of time."""
    sample, other = (np.concatenate([getattr(one[label], name) for one in outputs]) for name in ("sample", column))
    order = np.argsort(sample, kind="stable")
    return sample[order], other[order]


def _peer(name: str, recording: Recording) -> dict[str, Any]:
    from spikeinterface import set_global_job_kwargs
    from spikeinterface.sorters import run_sorter

    set_global_job_kwargs(n_jobs=1, progress_bar=False, chunk_duration="1s")
    traces = as_spikeinterface(recording.read(), recording.format)
    with tempfile.TemporaryDirectory() as folder:
        whole = f"{recording.seconds}s"  # in one piece: all of the memory is looked through for garbage after each
        traces = traces.save(folder=Path(folder) / "recording", verbose=False, chunk_duration=whole)
        began = time.perf_counter()
        found = run_sorter(name, traces, folder=Path(folder) / "sorting", verbose=False, raise_error=True, **PEERS[name])
        seconds = time.perf_counter() - began
        spikes = found.to_spike_vector()
        return {"seconds": seconds, **score(recording, spikes["sample_index"], spikes["unit_index"])}


def score(recording: Recording, sample: np.ndarray, unit: np.ndarray) -> dict[str, Any]:
    """Return the number of units, and the accuracy of every true unit as SpikeInterface counts it."""
    accuracy = score_spikeinterface(truth_of(recording), sample, unit, recording.format.rate_hz)
    return {"units": len(np.unique(unit[unit >= 0])), "true_units": list(accuracy), "accuracy": list(accuracy.values())}


def _line(error: Exception) -> str:
    """Return the last line of an error that says something: sorters wrap the one that counts in a traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if line.split(":")[0].endswith(("Error", "Exception"))]
    return (named or lines or [type(error).__name__])[-1].replace("|", "/")


if __name__ == "__main__":
    os.environ.setdefault("TQDM_DISABLE", "1")
    main(*sys.argv[1:])
