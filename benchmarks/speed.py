"""Speed of every stage by itself, and of filter, reference and detection beside other software."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.material import RATE_HZ, cut, front_plan, speed_recording, trained
from benchmarks.results import Part, Requirement, Table
from benchmarks.timing import interleaved
from pipeline.chain import INPUT, Chain, parse_chain
from pipeline.stage import REGISTRY

BLOCKS_MS = (1, 10, 100)
KINDS = ("mean", "median")

STAGES = """
[[stage]]
name = "adc"

[[stage]]
name = "artefact"

[[stage]]
name = "decimate"

[[stage]]
name = "bandpass"
from = "artefact"

[[stage]]
name = "reference"
label = "reference-mean"
kind = "mean"

[[stage]]
name = "reference"
label = "reference-median"
kind = "median"
from = "bandpass"

[[stage]]
name = "energy"
from = "reference-mean"

[[stage]]
name = "threshold"
threshold = 5
from = "reference-mean"

[[stage]]
name = "exclusion"

[[stage]]
name = "snippets"
from = ["reference-mean", "exclusion"]

[[stage]]
name = "extrema"

[[stage]]
name = "components"
from = "snippets"

[[stage]]
name = "sorter"
from = ["reference-mean", "exclusion"]
"""


def measure(quick: bool) -> Part:
    """Measure."""
    part = Part("Speed of the stages")
    recording = speed_recording()
    seconds, rounds = (1, 5) if quick else (2, 25)
    chain = trained(parse_chain(STAGES, "stages"), recording)
    data = recording.read(0, seconds * RATE_HZ)
    stages(part, chain, data, rounds)
    filters(part, recording.format, recording.read(0, seconds * RATE_HZ), rounds)
    fronts(part, recording.format, recording.read(0, (2 if quick else 10) * RATE_HZ), 3 if quick else 9)
    return part


def stages(part: Part, chain: Chain, data: np.ndarray, rounds: int) -> None:
    """Time every stage on what the stages before it make of the signal."""
    speeds: dict[str, list[float]] = {label: [] for label in chain.stages}
    for ms in BLOCKS_MS:
        taken = interleaved(
            {label: partial(_again, chain, label, blocks) for label, blocks in inputs(chain, data, ms).items()}, rounds
        )
        for label, seconds in taken.items():
            speeds[label].append(data.size / seconds)
    left = sorted(name for name, cls in REGISTRY.items() if cls.__module__.startswith("pipeline.neural"))
    left = [name for name in left if name not in {running.name for running in chain.stages.values()}]
    part.tables.append(
        Table(
            "Every stage by itself",
            "Million samples per second, and times real time, of 68 channels at 24 kHz in blocks of 1, 10 and 100 ms. Stages that "
            "take spikes are given those of the same signal." + (f" Not measured: {', '.join(left)}." if left else ""),
            ["stage", *[f"{ms} ms, MSa/s" for ms in BLOCKS_MS], *[f"{ms} ms, x real time" for ms in BLOCKS_MS]],
            [[label, *[v / 1e6 for v in row], *[v / RATE_HZ / 68 for v in row]] for label, row in speeds.items()],
        )
    )


def inputs(chain: Chain, data: np.ndarray, ms: float) -> dict[str, list[list[Any]]]:
    """Return what each stage is given, block by block."""
    chain.reset()
    taken: dict[str, list[list[Any]]] = {label: [] for label in chain.stages}
    for block in cut(data, ms):
        outputs = {INPUT: block}
        for step in chain.plan.steps:
            given = [outputs[source] for source in step.sources]
            taken[step.label].append(given)
            outputs[step.label] = chain.stages[step.label].process(*given)
    return taken


def _again(chain: Chain, label: str, blocks: list[list[Any]]) -> None:
    running = chain.stages[label]
    running.reset()
    for given in blocks:
        running.process(*given)


def filters(part: Part, signal: Any, data: np.ndarray, rounds: int) -> None:
    """Time the band-pass beside other filters, block by block."""
    rows = []
    figure = float("nan")
    for ms in BLOCKS_MS:
        size = round(ms * RATE_HZ / 1000)
        front = front_plan("mean").build(signal)
        blocks = [[block] for block in cut(data, ms)]
        contenders: dict[str, Callable[[], Any]] = {
            "bitspike band-pass": partial(_again, front, "bandpass", blocks),
            "scipy sosfilt, float64": peers.scipy_filter(data, RATE_HZ, size),
            "ezmsg-sigproc": peers.ezmsg_chain(data, RATE_HZ, size),
        }
        taken = interleaved(contenders, rounds)
        speeds = {name: data.size / seconds / 1e6 for name, seconds in taken.items()}
        ours = speeds["bitspike band-pass"]
        figure = ours / 1000 if ms == 10 else figure
        rows += [[f"{ms} ms", name, speed, ours / speed] for name, speed in speeds.items()]
    part.requirements.append(Requirement("Filter stage, 68 channels in blocks of 10 ms", figure, 1.0, "GSa/s"))
    part.tables.append(
        Table(
            "Band-pass beside other filters",
            "Second-order Butterworth band-pass (two sections), 300 to 6000 Hz, block by block with state; 68 channels at 24 kHz.",
            ["block", "software", "MSa/s", "bitspike is faster by"],
            rows,
        )
    )


def fronts(part: Part, signal: Any, data: np.ndarray, rounds: int) -> None:
    """Time filter, reference and detection beside SpikeInterface's, and filter and reference beside ezmsg-sigproc's."""
    blocks, size = cut(data, 10), round(10 * RATE_HZ / 1000)
    contenders: dict[str, Callable[[], Any]] = {}
    for kind in KINDS:
        contenders[f"bitspike, {kind}"] = partial(_through, front_plan(kind).build(signal), blocks)
        contenders[f"SpikeInterface, {kind}"] = peers.spikeinterface_chain(data, signal, kind)
        contenders[f"ezmsg-sigproc, {kind} (no detection)"] = peers.ezmsg_chain(data, RATE_HZ, size, kind)
    taken = interleaved(contenders, rounds)
    rows = []
    for kind in KINDS:
        ours = taken[f"bitspike, {kind}"]
        ratio = taken[f"SpikeInterface, {kind}"] / ours
        part.requirements.append(
            Requirement(f"Filter + {kind} reference + detection, against SpikeInterface", ratio, 15.0, "times")
        )
        for name, seconds in taken.items():
            if kind in name:
                rows.append([name, data.size / seconds / 1e6, data.size / seconds / RATE_HZ / 68, seconds / ours])
    part.tables.append(
        Table(
            "Filter, common reference, detection",
            "Band-pass 300 to 6000 Hz, common reference, threshold at 5 times the noise, local exclusion within 75 um and 0.5 ms; "
            "68 channels at 24 kHz. bitspike and ezmsg-sigproc stream blocks of 10 ms; SpikeInterface works on chunks of 1 s in "
            "one process and is given its noise levels. ezmsg-sigproc has no such detector: its row is filter and reference only.",
            ["software", "MSa/s", "x real time", "bitspike is faster by"],
            rows,
        )
    )


def _through(chain: Chain, blocks: list[Any]) -> None:
    chain.reset()
    for block in blocks:
        chain.process(block)
