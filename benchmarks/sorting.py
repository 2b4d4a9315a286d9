"""Accuracy of detection and sorting, and speed of sorting, beside other sorters on the same recordings in the same run."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from benchmarks import resynthesis
from benchmarks.material import MISSING, NOISES_UV, ROOT, SEEDS, data_folder, dense_recording, single_recording, truth_of
from benchmarks.results import Part, Requirement, Table, mean
from benchmarks.sorters import OURS, PEERS
from benchmarks.timing import CORES
from bitspike.scoring import GOOD_SNR, Detection
from sensors.recording import Recording

ORDER = ("mountainsort5", "tridesclous2", "spykingcircus2", "simple", *OURS)  # longest first
FAILED = (1, 0, 0)  # what a sorter that fails counts as: one spike, missed
KNOWN_CELL = 0.944  # best published figure

Results = dict[str, list[dict[str, Any]]]


def measure(quick: bool) -> Part:
    """Measure."""
    part = Part("Accuracy")
    seeds, seconds, noises = (SEEDS[:1], 20.0, NOISES_UV[:1]) if quick else (SEEDS, 60.0, NOISES_UV)
    dense = [dense_recording(seed, seconds) for seed in seeds]
    single = {noise: [single_recording(seed, noise, seconds) for seed in seeds] for noise in noises}
    warm = dense_recording(SEEDS[0], 5.0)  # so that nobody's time has compilation in it
    found = run([warm, *dense, *(recording for row in single.values() for recording in row)])
    everyone = {name: rows[1 : 1 + len(dense)] for name, rows in found.items()}
    detection(part, dense, everyone, seconds)
    sorting(part, dense, everyone, seconds)
    singles(part, single, {name: rows[1 + len(dense) :] for name, rows in found.items()})
    resynthesis.measure(part, quick)
    known_cell(part)
    return part


def run(recordings: list[Recording]) -> Results:
    """Return what every sorter finds in each recording; as many sorters run at once as there are cores, each on its own."""
    cores: SimpleQueue[int] = SimpleQueue()
    for core in CORES:
        cores.put(core)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(len(CORES)) as pool:

        def one(name: str) -> list[dict[str, Any]]:
            core, file = cores.get(), Path(folder) / f"{name}.json"
            print(f"  {name} on core {core}", file=sys.stderr, flush=True)
            command = [sys.executable, "-m", "benchmarks.sorters", name, str(core), str(file), *[str(r.path) for r in recordings]]
            done = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
            cores.put(core)
            rows = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
            died = {"error": (done.stderr.strip().splitlines() or ["died without a word"])[-1]}
            return rows + [died] * (len(recordings) - len(rows))

        return dict(zip(ORDER, pool.map(one, ORDER), strict=True))


def accuracies(recording: Recording, result: dict[str, Any]) -> list[float]:
    """Return the accuracy of every unit of SNR 5 and above; of all NaN where the sorter failed."""
    if "error" in result:
        return [float("nan")] * good_units(recording)
    return [a for u, a in zip(result["true_units"], result["accuracy"], strict=True) if truth_of(recording).snr[u] >= GOOD_SNR]


def good_units(recording: Recording) -> int:
    """Return the number of units of SNR 5 and above that fire."""
    truth = truth_of(recording)
    return int((truth.snr[np.unique(truth.unit)] >= GOOD_SNR).sum())


def detection(part: Part, recordings: list[Recording], found: Results, seconds: float) -> None:
    """Report how many spikes of the units of SNR 5 and above are detected."""
    rows = []
    for name in OURS:
        for kind, words in (("detected", "after exclusion"), ("sorted", "after sorting")):
            counts = [Detection(*result.get(kind, FAILED)) for result in found[name]]
            total = Detection(*np.sum([astuple(one) for one in counts], axis=0).tolist())
            rows.append([name, words, total.true, total.true - total.found, total.false, total.f1, min(one.f1 for one in counts)])
            if kind == "detected":
                part.requirements.append(
                    Requirement(f"{name}: detection F1, units of SNR 5 and above, 64 channels", total.f1, 0.97)
                )
    part.tables.append(
        Table(
            "Detection",
            f"{len(recordings)} simulated recordings of 64 channels, 32 cells and {seconds:g} s, whole length. A true spike is "
            "missed if no detection lies within 0.5 ms of it and within 100 um of its cell's best channel; a detection is false if "
            "no true spike of any cell is that near. Counted for cells of SNR 5 and above.",
            ["chain", "spikes", "true", "missed", "false", "F1", "worst recording's F1"],
            rows,
        )
    )


def sorting(part: Part, recordings: list[Recording], found: Results, seconds: float) -> None:
    """Report accuracy and speed of all sorters on many channels."""
    rows, means = [], {}
    for name in (*OURS, *PEERS):
        accuracy = [mean(accuracies(r, result)) for r, result in zip(recordings, found[name], strict=True)]
        means[name] = mean(accuracy)
        taken = [result["seconds"] for result in found[name] if "seconds" in result]
        units = ", ".join(str(result.get("units", "-")) for result in found[name])
        errors = sorted({result["error"] for result in found[name] if "error" in result})
        speed = seconds * len(taken) / sum(taken) if taken else float("nan")
        rows.append([name, means[name], *accuracy, units, mean(taken), speed, "; ".join(errors)])
    good = ", ".join(str(good_units(recording)) for recording in recordings)
    best = max((name for name in PEERS if means[name] == means[name]), key=lambda name: means[name], default="")
    gap = f" {best} is the best of the others: " + ", ".join(f"{means[name] - means[best]:+.3f} for {name}" for name in OURS) + "."
    for name in OURS:
        what = f"{name}: sorting accuracy, units of SNR 5 and above, 64 channels"
        part.requirements.append(Requirement(what, means[name], 0.90))
    part.tables.append(
        Table(
            "Sorting, 64 channels",
            "TP / (TP + FP + FN) by SpikeInterface's comparison, averaged over the cells of SNR 5 and above "
            f"({good}) of the same recordings. bitspike learns from the recording first and then sorts it as a stream, in "
            "integers, in blocks of 10 ms; its time counts both. The others see all of the recording at once. One core each; "
            "nobody's time has compilation in it. spykingcircus2 runs without motion correction, as nothing moves."
            + (gap if best else ""),
            [
                "sorter",
                "mean",
                *[f"seed {seed}" for seed in SEEDS[: len(recordings)]],
                "units found",
                "seconds",
                "x real time",
                "error",
            ],
            rows,
        )
    )


def singles(part: Part, recordings: dict[int, list[Recording]], found: Results) -> None:
    """Report accuracy on single channels, by the level of noise."""
    rows, errors = [], []
    for name in (*OURS, *PEERS):
        results = iter(found[name])
        cells = [[a for r in row for a in accuracies(r, next(results))] for row in recordings.values()]
        rows.append([name, *map(mean, cells)])
        errors += sorted({f"{name}: {result['error']}" for result in found[name] if "error" in result})
    alike = next(iter(recordings.values()))
    behind = ", ".join(f"{sum(map(good_units, row))} at {noise} uV" for noise, row in recordings.items())
    part.tables.append(
        Table(
            "Sorting, one channel",
            f"Three cells on one channel, {len(alike)} such recordings of {alike[0].seconds:g} s, the same at every level of "
            f"noise. Averaged over the cells of SNR 5 and above of all of them; so many stand behind each figure: {behind}."
            + "".join(f"\n{error}." for error in errors),
            ["sorter", *[f"noise {noise} uV" for noise in recordings]],
            rows,
        )
    )


def known_cell(part: Part) -> None:
    """Report how well the cell that was recorded from inside is told from the others, where the data are there."""
    folder = data_folder("hc1_d533101")
    right, accuracy = (float("nan"), float("nan")) if folder is None else _tell_apart(folder / "d533101.mat")
    part.requirements.append(Requirement("Known cell of hc-1 d533101, clustering alone: spikes told rightly", right, KNOWN_CELL))
    part.tables.append(
        Table(
            "Clustering alone: real spikes of a known cell (hc-1 d533101)",
            (MISSING + " " if folder is None else "")
            + "2491 spikes of a tetrode as others detected and cut them out, 786 of them of a cell that was recorded from inside "
            "as well; no label is used. There are no traces, so it is the clustering step alone that is measured, on principal "
            "components of these spikes: not detection, and not the rest of the sorter. The cluster that holds most of the cell's "
            "spikes stands for it. Told rightly: every spike of the cell inside that cluster and every other one outside, of all "
            f"(best published figure: {KNOWN_CELL}). TP / (TP + FP + FN) does not count those rightly outside, so is stricter.",
            ["spikes told rightly", "TP / (TP + FP + FN)"],
            [[right, accuracy]],
        )
    )


def _tell_apart(file: Path) -> tuple[float, float]:
    from scipy.io import loadmat

    from classifiers.clustering import cluster
    from classifiers.sorter import SorterParameters
    from classifiers.sorting import FEATURE_BITS
    from pipeline.neural.principal import principal_components

    data = loadmat(file)
    spikes = data["ec_spikes"].transpose(2, 0, 1)
    waveform = np.rint(spikes.reshape(len(spikes), -1) * 16).astype(np.int16)
    truth = data["label"].ravel() == 1
    axes = principal_components(waveform, SorterParameters().features)
    label = cluster(((waveform.astype(np.int64) @ axes.T.astype(np.int64)) >> FEATURE_BITS).astype(np.int32))[0]
    best = max(range(label.max() + 1), key=lambda unit: int(np.sum(truth & (label == unit))))
    mine = label == best
    return float(np.mean(mine == truth)), float(np.sum(mine & truth) / np.sum(mine | truth))
