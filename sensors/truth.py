"""Ground truth of a recording: which unit fired at which frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.errors import BitspikeError


@dataclass(frozen=True)
class Truth:
    """True spikes, and what is known of each unit.

    Attributes
    ----------
    sample : numpy.ndarray
        int64 [spikes]: frame of the spike's largest extremum on its best channel, ascending.
    unit : numpy.ndarray
        int32 [spikes]: unit, counted from 0.
    peak_channel : numpy.ndarray
        int32 [units]: channel on which the unit's mean waveform is largest.
    snr : numpy.ndarray
        float64 [units]: |peak of the mean waveform| over the standard deviation of the noise (1.4826 MAD) on that channel;
        NaN where it is not known.
    firing_hz : numpy.ndarray
        float64 [units]: spikes per second of recording.
    overlap : numpy.ndarray
        bool [spikes]: another spike overlaps this one; empty where it is not known.
    """

    sample: np.ndarray
    unit: np.ndarray
    peak_channel: np.ndarray
    snr: np.ndarray
    firing_hz: np.ndarray
    overlap: np.ndarray = field(default_factory=lambda: np.empty(0, bool))

    @property
    def units(self) -> int:
        """Number of units, silent ones included."""
        return len(self.peak_channel)

    def __len__(self) -> int:
        return len(self.sample)

    def write(self, path: Path) -> None:
        """Write an ``.npz`` whose bytes depend on nothing but the values."""
        with path.open("wb") as file:
            np.savez(file, **{name: getattr(self, name) for name in COLUMNS})


COLUMNS = {
    "sample": np.int64,
    "unit": np.int32,
    "peak_channel": np.int32,
    "snr": np.float64,
    "firing_hz": np.float64,
    "overlap": np.bool_,
}


def read_truth(path: Path) -> Truth:
    """Read what `Truth.write` wrote.

    Raises
    ------
    BitspikeError
        The file is missing, damaged, or its columns do not belong together.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            columns = {name: stored[name].astype(dtype, casting="same_kind") for name, dtype in COLUMNS.items()}
    except FileNotFoundError:
        raise BitspikeError(f"{path}: no such file") from None
    except KeyError as error:
        raise BitspikeError(f"{path}: no column {error.args[0]}; a truth file holds {', '.join(COLUMNS)}") from None
    except Exception as error:  # numpy raises many kinds on damaged archives
        raise BitspikeError(f"{path}: not a readable truth file ({error}); write it again") from error
    truth = Truth(**columns)
    _check(truth, path)
    return truth


def _check(truth: Truth, path: Path) -> None:
    for name in COLUMNS:
        shape = getattr(truth, name).shape
        if len(shape) != 1:
            raise BitspikeError(f"{path}: {name} is of shape {list(shape)}; write one row of numbers")
    if len(truth.unit) != len(truth):
        raise BitspikeError(f"{path}: unit has {len(truth.unit)} entries for {len(truth)} spikes")
    if len(truth.overlap) not in (0, len(truth)):
        raise BitspikeError(f"{path}: overlap has {len(truth.overlap)} entries for {len(truth)} spikes")
    if not len(truth.snr) == len(truth.firing_hz) == truth.units:
        raise BitspikeError(f"{path}: snr and firing_hz must have one entry for each of the {truth.units} units")
    if len(truth) and not 0 <= truth.unit.min() <= truth.unit.max() < truth.units:
        raise BitspikeError(f"{path}: unit goes from {truth.unit.min()} to {truth.unit.max()} where there are {truth.units} units")
    if truth.units and truth.peak_channel.min() < 0:
        raise BitspikeError(f"{path}: peak_channel is {truth.peak_channel.min()} for a unit; count channels from 0")
    if np.any(np.diff(truth.sample) < 0):
        raise BitspikeError(f"{path}: sample is not ascending")
