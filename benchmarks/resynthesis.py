"""The packaged chain on shapes and noise of our own, laid on the true spike trains of the wave_clus files.

What matters here is that the spikes are positive, and small where the noise is loud: the chain is run as it comes, and with the two
settings that say so. Nothing was tuned on these recordings.
"""

from __future__ import annotations

import numpy as np

from benchmarks.material import MISSING, SEEDS, data_folder, resynthesised, trained, truth_of
from benchmarks.results import Part, Table, mean
from benchmarks.sorters import ascending, streamed
from bitspike.chains import chosen_chain
from bitspike.matching import pairs
from bitspike.scoring import WAVE_CLUS_MS, Detection, score_sorting
from pipeline.chain import ChainPlan
from sensors.recording import Recording
from sensors.truth import Truth
from sensors.waveclus_benchmark import CLOSENESS, read_trains

NAMES = tuple(f"C_{family}_noise0{level}" for family in CLOSENESS for level in ("05", "2"))
# Positive, as the spikes of these files are; 4 standard deviations, as is usual for them: those of the spikes are 5 at noise 0.2.
SETTINGS = {"as it comes": [], "positive, 4 sigma": ["threshold.polarity=positive", "threshold.threshold=4"]}
COLUMNS = ["true", "missed", "false", "detection F1", "told rightly", "without overlaps", "TP / (TP + FP + FN)", "units found"]


def measure(part: Part, quick: bool) -> None:
    """Report detection and sorting, where the spike trains are there."""
    folder, rows = data_folder("quiroga_truth"), []
    if folder is not None:
        trains = read_trains(folder / "quiroga16_gt.npz")
        plans = {setting: chosen_chain("probe", changes) for setting, changes in SETTINGS.items()}
        for name in NAMES[: 2 if quick else None]:
            recording = resynthesised(trains[name])
            rows += [[name, setting, *_row(plan, recording)] for setting, plan in plans.items()]
    part.tables.append(
        Table(
            "Spike trains of wave_clus, shapes and noise of our own",
            (MISSING + " " if folder is None else "")
            + "Not the published recordings, and not to be put beside figures published on them: only the spike trains are those "
            "of Quiroga's simulated files (60 s, three cells on one channel); spike shapes and noise are ours "
            f"(`bitspike simulate waveclus`, seed {SEEDS[0]}). The chain `probe`, as it comes and with "
            f"`--set {' --set '.join(SETTINGS['positive, 4 sigma'])}`: these spikes are positive, and it looks for negative "
            "ones. It learns from the recording, then sorts all of it. All three cells count, whatever their SNR. Spikes are "
            "matched one to one within 0.5 ms, as wave_clus is scored, so that one detection never stands for two spikes that fall "
            "together. Told rightly: of the spikes that were detected, those given to the unit that stands for their cell; without "
            "overlaps: of those among them that no other spike overlaps. TP / (TP + FP + FN) matches each cell with its unit "
            "alone, and is the mean over the cells.",
            ["spike trains", "settings", *COLUMNS],
            rows,
        )
    )


def _row(plan: ChainPlan, recording: Recording) -> list[float | int]:
    outputs, final = streamed(trained(plan, recording), recording), plan.steps[-1].label
    sample, unit = ascending(outputs, final, "unit")
    detection, *shares = scores(truth_of(recording), sample, unit, int(WAVE_CLUS_MS / 1000 * recording.format.rate_hz))
    missed = detection.true - detection.found
    return [detection.true, missed, detection.false, detection.f1, *shares, len(np.unique(unit[unit >= 0]))]


def scores(truth: Truth, sample: np.ndarray, unit: np.ndarray, tolerance: int) -> tuple[Detection, float, float, float]:
    """Score one channel's spikes, `sample` ascending, by the rules of wave_clus.

    Returns
    -------
    tuple of Detection and three float
        Spikes matched one to one; of those found, the share that is given to the unit that stands for their cell, of all and of
        those that nothing overlaps; and TP / (TP + FP + FN), averaged over all cells.
    """
    partner = pairs(truth.sample, sample, tolerance)
    found = partner >= 0
    cells = score_sorting(truth, sample, unit, tolerance, 0.0)
    stands_for = {cell.unit: cell.partner for cell in cells if cell.partner >= 0}
    wanted = np.array([stands_for.get(u, -2) for u in truth.unit.tolist()])  # -2 is nobody's: not even of what was left unsorted
    right = (unit[partner[found]] == wanted[found]).astype(float)
    alone = right[~truth.overlap[found]]
    detection = Detection(len(truth), int(found.sum()), len(sample) - int(found.sum()))
    return detection, mean(right), mean(alone), mean([cell.accuracy for cell in cells])
