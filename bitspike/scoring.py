"""Scores of a run against ground truth, by four rules; each says what counts as right.

**Detection**: a true spike is missed if no detection lies within 0.5 ms of it on its channel group; a detection is false if no
true spike of any unit lies within 0.5 ms on its group. F1 = 2 found / (2 found + missed + false), for the units of SNR 5 and
above.

**Sorting**, as SpikeInterface's ``compare_sorter_to_ground_truth`` counts (Buccino et al. 2020, eLife 9:e61834): every true
unit and every sorted one are matched spike by spike within 0.4 ms; agreement = matches / (true + sorted - matches); units are
paired by the Hungarian method where they agree by one half or more; accuracy = TP / (TP + FP + FN), 0 for units without a
partner.

**wave_clus**: the same with 0.5 ms and no least agreement, with and without the spikes that overlap another (Quiroga et al. 2004).

**SpikeInterface** itself, where it is installed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bitspike.matching import count_pairs, near, pairs
from bitspike.runs import Run
from pipeline.blocks import SampleFormat
from pipeline.errors import BitspikeError
from sensors.recording import may_hold_truth, open_recording
from sensors.truth import Truth, read_truth

DETECTION_MS, SORTING_MS, WAVE_CLUS_MS = 0.5, 0.4, 0.5
LEAST_AGREEMENT = 0.5
GOOD_SNR = 5.0


@dataclass(frozen=True)
class UnitScore:
    """How well one true unit was sorted.

    Attributes
    ----------
    unit : int
        True unit.
    snr : float
        Its signal-to-noise ratio; NaN where it is not known.
    partner : int
        Sorted unit that stands for it; -1 for none.
    tp, fn, fp : int
        Its spikes found and not found, and spikes of the partner that are not its own.
    """

    unit: int
    snr: float
    partner: int
    tp: int
    fn: int
    fp: int

    @property
    def accuracy(self) -> float:
        """TP / (TP + FP + FN)."""
        return _share(self.tp, self.tp + self.fn + self.fp)

    @property
    def recall(self) -> float:
        """TP / (TP + FN)."""
        return _share(self.tp, self.tp + self.fn)

    @property
    def precision(self) -> float:
        """TP / (TP + FP)."""
        return _share(self.tp, self.tp + self.fp)


@dataclass(frozen=True)
class Detection:
    """How well spikes were detected; see the module.

    Attributes
    ----------
    true, found, false : int
        True spikes of the units that count, those found, and detections that are no true spike.
    """

    true: int
    found: int
    false: int

    @property
    def f1(self) -> float:
        """2 found / (2 found + missed + false)."""
        return _share(2 * self.found, self.found + self.true + self.false)


@dataclass(frozen=True)
class Score:
    """All scores of a run.

    Attributes
    ----------
    good_units : int
        True units of SNR 5 and above (all, where the SNR is not known).
    detection : Detection
        For these units.
    sorting, wave_clus, wave_clus_alone : list of UnitScore
        By unit; `wave_clus_alone` leaves overlapping spikes out and is empty where they are not known. Empty where nothing was
        sorted.
    spikeinterface : dict of int to float
        Accuracy by true unit as SpikeInterface counts it; empty where it is not installed.
    """

    good_units: int
    detection: Detection
    sorting: list[UnitScore]
    wave_clus: list[UnitScore]
    wave_clus_alone: list[UnitScore]
    spikeinterface: dict[int, float]

    @property
    def accuracy(self) -> float:
        """Mean accuracy over the good units, by SpikeInterface's rules; NaN where nothing was sorted."""
        return mean_accuracy(self.sorting)

    def document(self) -> dict[str, Any]:
        """Return plain values."""
        by_rule = {"sorting": self.sorting, "wave_clus": self.wave_clus, "wave_clus_without_overlaps": self.wave_clus_alone}
        return {
            "good_units": self.good_units,
            "detection": {**asdict(self.detection), "missed": self.detection.true - self.detection.found, "f1": self.detection.f1},
            **{
                rule: {"mean_accuracy": mean_accuracy(units), "units": [{**asdict(u), "accuracy": u.accuracy} for u in units]}
                for rule, units in by_rule.items()
            },
            "spikeinterface": {"accuracy": self.spikeinterface},
        }


def score(run: Run | str | Path, truth: Truth | str | Path | None = None, *, after_s: float = 0.0) -> Score:
    """Score a run against ground truth.

    Parameters
    ----------
    run : Run, str or pathlib.Path
        A finished run.
    truth : Truth, str or pathlib.Path, optional
        Truth, or a file or folder that holds it; unless given, that of the recording.
    after_s : float
        Count only spikes from this time of the recording on, such as when learning was over.

    Raises
    ------
    BitspikeError
        The truth or the run cannot be read, or they do not belong together.
    """
    run = run if isinstance(run, Run) else Run(run)
    run.require_replay()
    source: str | Path = "truth"
    if not isinstance(truth, Truth):
        recording = run.manifest.recording
        source = Path(truth if truth is not None else recording["path"])
        if truth is None and not source.exists():
            raise BitspikeError(
                f"{run.path}: its recording {source} is not found from here; give TRUTH, or go to where it was replayed"
            )
        truth = find_truth(source, recording["rate_hz"] if truth is None else None)
    signal, spikes, first, last = run.signal, run.spikes, run.manifest.recording["start"], run.manifest.recording["stop"]
    if truth.units and truth.peak_channel.max() >= signal.channels:
        raise BitspikeError(
            f"{source}: names channel {truth.peak_channel.max()}, the run has {signal.channels} channels: of another recording"
        )
    if not 0 <= after_s < last / signal.rate_hz:
        raise BitspikeError(f"after: {after_s:g} s; give a time from 0 to below {last / signal.rate_hz:g} s, where {run.path} ends")
    first = max(first, round(after_s * signal.rate_hz))
    truth = between(truth, first, last)
    if not len(truth):
        raise BitspikeError(f"{source}: holds no spikes in the stretch that was replayed; is it of another recording?")
    inside = (spikes.sample >= first) & (spikes.sample < last)
    sample, channel, unit = spikes.sample[inside], spikes.channel[inside], spikes.unit[inside]
    good = truth.snr >= GOOD_SNR
    if np.all(np.isnan(truth.snr)):
        good = np.ones(truth.units, bool)
    frames = {ms: int(ms / 1000 * signal.rate_hz) for ms in (DETECTION_MS, SORTING_MS, WAVE_CLUS_MS)}
    detection = score_detection(truth, good, sample, channel, channels_in_reach(signal), frames[DETECTION_MS])
    if not np.any(unit >= 0):
        return Score(int(good.sum()), detection, [], [], [], {})
    alone = []
    if len(truth.overlap):
        alone = score_sorting(*without_overlaps(truth, sample, unit, frames[WAVE_CLUS_MS]), frames[WAVE_CLUS_MS], 0.0)
    return Score(
        int(good.sum()),
        detection,
        score_sorting(truth, sample, unit, frames[SORTING_MS], LEAST_AGREEMENT),
        score_sorting(truth, sample, unit, frames[WAVE_CLUS_MS], 0.0),
        alone,
        score_spikeinterface(truth, sample, unit, signal.rate_hz),
    )


def find_truth(path: Path, rate_hz: float | None = None) -> Truth:
    """Return the truth that a file or folder holds: ``truth.npz``, or a recording that comes with it.

    A recording without truth is not opened: it might need facts that were stated for the replay. `rate_hz` is the one of them that
    a recording with truth might need.
    """
    if path.suffix == ".npz":
        return read_truth(path)
    truth = open_recording(path, rate_hz).truth if may_hold_truth(path) or not path.exists() else None
    if truth is None:
        raise BitspikeError(f"{path}: holds no ground truth; give TRUTH: a truth.npz, a simulated folder or a wave_clus file")
    return truth


def between(truth: Truth, first: int, last: int) -> Truth:
    """Return the truth of the frames ``[first, last)``."""
    inside = (truth.sample >= first) & (truth.sample < last)
    overlap = truth.overlap[inside] if len(truth.overlap) else truth.overlap
    return Truth(truth.sample[inside], truth.unit[inside], truth.peak_channel, truth.snr, truth.firing_hz, overlap)


def channels_in_reach(signal: SampleFormat, radius_um: float = np.inf) -> np.ndarray:
    """Return which channels are of one group, and within `radius_um` where sites are known: bool [channels, channels]."""
    reach = signal.group_of[:, None] == signal.group_of[None, :]
    if signal.positions_um and radius_um < np.inf:
        sites = np.array(signal.positions_um)
        reach &= np.hypot(*(sites[:, None] - sites[None, :]).transpose(2, 0, 1)) <= radius_um
    return reach


def score_detection(
    truth: Truth, good: np.ndarray, sample: np.ndarray, channel: np.ndarray, reach: np.ndarray, tolerance: int
) -> Detection:
    """Score detections, `sample` ascending, for the units that are `good` (bool [units]); `reach` as of `channels_in_reach`."""
    home = truth.peak_channel[truth.unit]
    wanted = good[truth.unit]
    found = near(truth.sample[wanted], home[wanted], sample, channel, reach, tolerance)
    real = near(sample, channel, truth.sample, home, reach, tolerance)
    return Detection(int(wanted.sum()), int(found.sum()), int((~real).sum()))


def score_sorting(truth: Truth, sample: np.ndarray, unit: np.ndarray, tolerance: int, least_agreement: float) -> list[UnitScore]:
    """Pair true with sorted units and count; `tolerance` in frames, units below `least_agreement` stay without a partner."""
    from scipy.optimize import linear_sum_assignment

    kept = unit >= 0
    numbers, row = np.unique(unit[kept], return_inverse=True)
    matches = count_pairs(truth.sample, truth.unit, truth.units, sample[kept], row, len(numbers), tolerance)
    true = np.bincount(truth.unit, minlength=truth.units)
    found = np.bincount(row, minlength=len(numbers))
    union = true[:, None] + found[None, :] - matches
    agreement = matches / np.maximum(union, 1)
    agreement[(agreement < least_agreement) | (matches == 0)] = 0
    partner = np.full(truth.units, -1)
    for u, v in zip(*linear_sum_assignment(-agreement), strict=True):
        if agreement[u, v] > 0:
            partner[u] = v
    scores = []
    for u in np.flatnonzero(true).tolist():
        v = int(partner[u])
        tp = int(matches[u, v]) if v >= 0 else 0
        false = int(found[v]) - tp if v >= 0 else 0
        scores.append(UnitScore(u, float(truth.snr[u]), int(numbers[v]) if v >= 0 else -1, tp, int(true[u]) - tp, false))
    return scores


def without_overlaps(truth: Truth, sample: np.ndarray, unit: np.ndarray, tolerance: int) -> tuple[Truth, np.ndarray, np.ndarray]:
    """Leave out true spikes that overlap another, and the sorted spikes that are matched with them."""
    partner = pairs(truth.sample, sample, tolerance)
    gone = partner[truth.overlap & (partner >= 0)]
    kept = np.ones(len(sample), bool)
    kept[gone] = False
    alone = ~truth.overlap
    left = Truth(truth.sample[alone], truth.unit[alone], truth.peak_channel, truth.snr, truth.firing_hz, truth.overlap[alone])
    return left, sample[kept], unit[kept]


def score_spikeinterface(truth: Truth, sample: np.ndarray, unit: np.ndarray, rate_hz: float) -> dict[int, float]:
    """Return the accuracy of every true unit by SpikeInterface's own comparison; empty where it is not installed."""
    try:
        from spikeinterface.comparison import compare_sorter_to_ground_truth
        from spikeinterface.core import NumpySorting
    except ImportError:
        return {}
    kept = unit >= 0
    true = NumpySorting.from_samples_and_labels([truth.sample], [truth.unit], rate_hz)
    tested = NumpySorting.from_samples_and_labels([sample[kept]], [unit[kept]], rate_hz)
    performance = compare_sorter_to_ground_truth(true, tested, delta_time=SORTING_MS, exhaustive_gt=True).get_performance()
    return {int(u): float(a) for u, a in performance["accuracy"].items()}


def mean_accuracy(units: list[UnitScore]) -> float:
    """Return the mean accuracy over the units of SNR 5 and above (all, where the SNR is not known); NaN where there are none."""
    known = [u for u in units if not np.isnan(u.snr)]
    good = [u.accuracy for u in (known or units) if not known or u.snr >= GOOD_SNR]
    return float(np.mean(good)) if good else float("nan")


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
