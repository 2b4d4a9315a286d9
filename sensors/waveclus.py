"""MATLAB files of wave_clus: the simulated benchmark (Quian Quiroga, Nadasdy and Ben-Shaul 2004, Neural Computation 16:1661).

``data`` is the trace, ``samplingInterval`` its step in milliseconds (or ``sr`` its rate in hertz). In the benchmark a mean spike
has amplitude 1 and no physical unit: floats become ``rint(1000 * data)`` counts, and the microvolts of a count stay unknown unless
they are stated. ``spike_times`` are the onsets of the waveforms, counted from 1, and ``spike_class`` their units, and flags of
overlap. The onset is not the peak, and how far it lies before it differs from unit to unit: it is measured on each unit's mean
waveform, from spikes that nothing overlaps, and the truth is tagged at the peak.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import BitspikeError
from sensors.convert import Conversion, integers
from sensors.source import Recording
from sensors.stated import UNITS_UV, Stated
from sensors.truth import Truth

COUNTS_OF_ONE = 1000.0
WAVEFORM_MS = 64 / 24  # the benchmark's waveforms are 64 samples at 24 kHz


@dataclass(frozen=True)
class _InMemory:
    """Counts that are held whole: MATLAB files of this kind are compressed and cannot be read in part."""

    counts: np.ndarray

    def __call__(self, start: int, stop: int) -> np.ndarray:
        return self.counts[start:stop].copy()


def read_waveclus(path: Path, stated: Stated) -> Recording:
    """Open a wave_clus ``.mat`` file.

    Raises
    ------
    BitspikeError
        The file is no MATLAB file of version 5 to 7.2, lacks ``data``, or its fields do not belong together.
    """
    fields = _load(path)
    if "data" not in fields:
        found = ", ".join(name for name in fields if not name.startswith("__"))
        raise BitspikeError(f"{path}: has no field data, and so no trace; it holds {found or 'nothing'}")
    stored = np.atleast_2d(np.asarray(fields["data"]))
    if stored.dtype.kind not in "iuf" or stored.ndim != 2 or stored.size == 0:
        raise BitspikeError(f"{path}: data of type {stored.dtype}, shape {list(stored.shape)} is no trace")
    if stored.shape[0] < stored.shape[1]:
        stored = stored.T
    stated = stated.with_facts(path, "its fields", rate_hz=_rate(fields, path), channels=stored.shape[1])
    if stored.dtype.kind == "f":
        scale, uv_per_count = COUNTS_OF_ONE, stated.uv_per_count
        if stated.unit is not None:
            uv_per_count = uv_per_count or 1.0
            scale = UNITS_UV[stated.unit] / uv_per_count
        cure = f"floats become {scale:g} counts of one; give unit= and uv_per_count= if they are volts"
        conversion = Conversion(path, 0, scale, stated.bits or 16, cure)
    else:
        conversion, stated = integers(path, stored.dtype, stated)
        uv_per_count = stated.uv_per_count
    counts = conversion(stored, 0)
    signal = stated.signal(path, uv_per_count)
    truth = None
    if "spike_times" in fields and "spike_class" in fields:
        truth = _truth(fields, counts, signal.rate_hz, path)
    return Recording(path, "wave_clus", signal, len(counts), _InMemory(counts), [path], truth)


def _load(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    try:
        return loadmat(path)  # type: ignore[no-any-return]
    except NotImplementedError:
        raise BitspikeError(f"{path}: is a MATLAB file of version 7.3; save it with -v7") from None
    except Exception as error:  # scipy raises many kinds on damaged files
        raise BitspikeError(
            f"{path}: not a readable MATLAB file ({str(error).splitlines()[0] if str(error) else error!r})"
        ) from error


def _rate(fields: dict[str, Any], path: Path) -> float | None:
    for name, rate in (("samplingInterval", lambda step: 1000.0 / step), ("sr", float)):
        if name in fields:
            value = np.ravel(fields[name])
            if len(value) != 1 or not float(value[0]) > 0:
                raise BitspikeError(f"{path}: {name} is no positive number")
            return round(rate(float(value[0])), 6)
    return None


def _cell(fields: dict[str, Any], name: str, number: int, path: Path) -> np.ndarray | None:
    """Return entry `number` of a cell array as int64 [n], or None where there is none; a plain array is its own first entry."""
    value = np.asarray(fields[name])
    if value.dtype == object:
        if number >= value.size:
            return None
        value = np.asarray(value.ravel()[number])
    elif number > 0:
        return None
    if value.dtype.kind not in "iufb" or not np.all(np.isfinite(value)):
        raise BitspikeError(f"{path}: {name} holds no numbers")
    return value.ravel().astype(np.int64)


def _truth(fields: dict[str, Any], counts: np.ndarray, rate_hz: float, path: Path) -> Truth:
    onset, unit = _cell(fields, "spike_times", 0, path), _cell(fields, "spike_class", 0, path)
    if onset is None or unit is None or len(onset) != len(unit):
        raise BitspikeError(f"{path}: spike_times and spike_class do not have one entry for each spike")
    overlap = _cell(fields, "spike_class", 1, path)
    if overlap is None or len(overlap) != len(onset):
        overlap = np.zeros(0, np.int64)
    onset = onset - 1
    if len(onset) and not 0 <= onset.min() <= onset.max() < len(counts):
        raise BitspikeError(f"{path}: spike_times go beyond the trace's {len(counts)} samples")
    _, unit = np.unique(unit, return_inverse=True)
    return tag_peaks(onset, unit, overlap > 0, counts, round(WAVEFORM_MS * rate_hz / 1000), rate_hz)


def tag_peaks(onset: np.ndarray, unit: np.ndarray, overlap: np.ndarray, traces: np.ndarray, width: int, rate_hz: float) -> Truth:
    """Return the truth tagged at the peak of each unit's mean waveform.

    Parameters
    ----------
    onset : numpy.ndarray
        int64 [spikes]: first frame of each waveform, from 0.
    unit : numpy.ndarray
        int [spikes], from 0, every unit up to the largest with at least one spike.
    overlap : numpy.ndarray
        bool [spikes], or empty: spikes to leave out of the mean.
    traces : numpy.ndarray
        int16 [frames, channels].
    width : int
        Length of a waveform in frames.
    rate_hz : float
        Frames per second.
    """
    units = int(unit.max()) + 1 if len(unit) else 0
    middle = np.median(traces, axis=0)
    noise = 1.4826 * np.median(np.abs(traces - middle), axis=0)
    offset, channel, snr = np.zeros(units, np.int64), np.zeros(units, np.int32), np.full(units, np.nan)
    alone = ~overlap if len(overlap) else np.ones(len(onset), bool)
    whole = onset + width <= len(traces)
    for u in range(units):
        chosen = onset[(unit == u) & alone & whole]
        if not len(chosen):
            chosen = onset[(unit == u) & whole]
        if not len(chosen):
            continue
        mean = traces[chosen[:, None] + np.arange(width)].mean(axis=0) - middle
        offset[u], channel[u] = np.unravel_index(int(np.abs(mean).argmax()), mean.shape)
        if noise[channel[u]] > 0:
            snr[u] = np.abs(mean).max() / noise[channel[u]]
    sample = onset + offset[unit]
    kept = sample < len(traces)  # a last waveform may be cut off before its peak
    order = np.lexsort((unit[kept], sample[kept]))
    return Truth(
        sample=sample[kept][order],
        unit=unit[kept][order].astype(np.int32),
        peak_channel=channel,
        snr=snr,
        firing_hz=np.bincount(unit[kept], minlength=units) * rate_hz / len(traces),
        overlap=overlap[kept][order] if len(overlap) else overlap.astype(bool),
    )
