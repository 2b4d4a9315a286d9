"""Particles found and doublets flagged by the chain cytometry, against the truth of simulated recordings it was not tuned on."""

from __future__ import annotations

import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.material import FOLDER
from benchmarks.results import Part, Requirement, Table
from benchmarks.timing import CORES, pin
from bitspike.passages import PassageScore, score_passages
from pipeline.blocks import Particles, concatenate
from pipeline.chain import read_chain
from sensors.cytometry.folder import EVENTS, TRUTH, is_simulated_cytometry
from sensors.cytometry.recording import simulate_cytometry
from sensors.cytometry.truth import read_particle_truth
from sensors.events import open_events

CHAIN = "cytometry"
RATE_HZ, SECONDS = 1000.0, 1.0
RECORDINGS = ((2001, 0), (2002, 1), (2003, 2), (2004, 3), (2005, 4))  # seed and run: another sensor, other particles, other drift
LEARNED_US = 50_000  # until the hot pixels are known, and about as many passages as the tracker compares one with
FOUND, WRONG, FLAGGED = 99.0, 1.0, 95.0  # per cent


def measure(quick: bool) -> Part:
    """Measure."""
    part = Part("Passages of particles")
    chosen, seconds = (RECORDINGS[:1], SECONDS / 2) if quick else (RECORDINGS, SECONDS)
    whole = after = PassageScore()
    rows: list[list[Any]] = []
    for (seed, run), folder in zip(chosen, recorded(chosen, seconds), strict=True):
        found, stop_us = tracked(folder)
        truth = read_particle_truth(folder / TRUTH)
        whole += score_passages(found, truth, 0, stop_us)
        score = score_passages(found, truth, LEARNED_US, stop_us)
        after += score
        rows.append([f"seed {seed}, run {run}", *figures(score)])
    rows += [["all", *figures(after)], ["all, with the beginnings", *figures(whole)]]
    part.tables.append(
        Table(
            "Simulated passages",
            f"{RATE_HZ:g} particles of 16 and 20 um a second after the first {LEARNED_US / 1000:g} ms, in which the chain learns, "
            "per cent. What counts as what is defined in bitspike/passages.py. A shared record covers several particles and must "
            "be flagged; a single covers one and should not be. Late records came more than 1 ms after the exit: where particles "
            "crowd, the sensor's readout is late by as much.",
            ["recording", "particles", "found", "false or split", "shared", "of these flagged", "singles flagged", "late"],
            rows,
        )
    )
    part.requirements += [
        Requirement(f"Particles found at {RATE_HZ:g} a second", 100 * after.found_share, FOUND, "%"),
        Requirement("Records that are false or split", 100 * after.wrong_share, WRONG, "%", at_least=False),
        Requirement("Doublets that are flagged", 100 * after.flagged_share, FLAGGED, "%"),
    ]
    return part


def recorded(chosen: tuple[tuple[int, int], ...], seconds: float) -> list[Path]:
    """Return the folders of simulated recordings, made when first needed, which takes minutes, on all cores."""
    folders = [FOLDER / "recordings" / f"passages-{seed}-{run}-{seconds:g}" for seed, run in chosen]
    with ProcessPoolExecutor(len(CORES), get_context("spawn"), pin, tuple(CORES)) as pool:
        missing = [at for at, folder in enumerate(folders) if not is_simulated_cytometry(folder)]
        list(pool.map(_simulate, [folders[at] for at in missing], [chosen[at] for at in missing], [seconds] * len(missing)))
    return folders


def _simulate(folder: Path, which: tuple[int, int], seconds: float) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    simulate_cytometry(folder, seed=which[0], run=which[1], rate=RATE_HZ, seconds=seconds)


def tracked(folder: Path) -> tuple[Particles, int]:
    """Return the records that the chain makes of a recording, and the recording's end."""
    recording = open_events(folder / EVENTS)
    chain, stop_us, parts = read_chain(CHAIN).build(recording.format), 0, []
    last = chain.plan.steps[-1].label
    for block in recording.blocks(1000):
        parts.append(chain.process(block)[last])
        stop_us = block.stop
    return concatenate([*parts, chain.finish()[last]]), stop_us


def figures(score: PassageScore) -> list[Any]:
    """Return what a row of the table tells."""
    shares = (score.found_share, score.wrong_share, score.flagged_share, score.flagged_single_share)
    found, wrong, flagged, singles = (100 * share for share in shares)
    return [score.particles, found, wrong, score.shared, flagged, singles, score.late]
