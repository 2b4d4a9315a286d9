"""The end of a run: columns closed and in order, the units' table, the tables that ran, and the manifest."""

from __future__ import annotations

import csv
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from bitspike.keeper import SPIKES, Keeper
from bitspike.runs import Unit
from bitspike.session import Session
from bitspike.waveforms import peak
from pipeline.blocks import SampleFormat
from pipeline.chain import Chain
from pipeline.fixed import INT16_MAX
from pipeline.layout import settled
from pipeline.manifest import Manifest, describe_chain

AT_ONCE = 1 << 20  # rows looked at together
NEARLY = 0.99  # of full scale: from there on a peak may have been cut, and then a reference was subtracted


def finish(session: Session[Keeper]) -> Manifest:
    """Complete the session's folder, all but its manifest; return that."""
    chain, keeper, manifest = session.chain, session.keeper, session.manifest
    keeper.write()
    mean = keeper.waveforms.mean() if keeper.waveforms is not None else None
    session.columns.close()
    manifest.chain.update(describe_chain(chain))  # tables as they have been learned by now
    write_tables(chain, session.folder)
    signal = chain.signal
    seconds = (session.stop - session.start - session.lost) / signal.rate_hz
    manifest.counts.update(frames=session.stop - session.start - session.lost, seconds=seconds, lost_frames=session.lost)
    taps = manifest.outputs["taps"] = {}
    for label in keeper.samples:
        taps[label] = {"kind": "samples", **_scale(chain.formats[label]), "stretches": keeper.samples[label].stretches}
    for label in keeper.spikes:
        if label != keeper.final:
            taps[label] = {"kind": "spikes", **_scale(chain.formats[label])}
    if keeper.waveforms is not None and mean is not None:
        band = chain.formats[keeper.band]
        manifest.outputs[SPIKES] = {
            "stage": keeper.final,
            "found_in": keeper.band,
            "before": keeper.waveforms.before,
            "positions_um": band.positions_um,
            "groups": band.groups,
            **_scale(band),
        }
        manifest.outputs["traces"] = {**_scale(band), "stretches": keeper.traces}
        in_order(session)
        np.save(session.folder / "templates.npy", mean)
        np.save(session.folder / "snippets" / "channels.npy", keeper.waveforms.channels)
        units = _units(session, band, mean, seconds)
        write_units(session, units)
        manifest.counts.update(_counts(session, band, units, seconds))
    return manifest


def write_tables(chain: Chain, folder: Path) -> None:
    """Write the tables that the stages of a chain run with."""
    (folder / "tables").mkdir()
    for label, running in chain.stages.items():
        np.save(folder / "tables" / f"{label}.npy", settled(running.tables))


def _scale(signal: SampleFormat) -> dict[str, Any]:
    return {
        "rate_hz": signal.rate_hz,
        "channels": signal.channels,
        "uv_per_count": signal.uv_per_count,
        "input_counts": signal.input_counts,
        "bits": signal.bits,
    }


def in_order(session: Session[Keeper]) -> None:
    """Sort the spikes by time, then channel, where the last stage gives them otherwise."""
    spikes = session.folder / SPIKES
    sample = np.load(spikes / "sample.npy", mmap_mode="r")
    disordered = any(np.any(np.diff(sample[a : a + AT_ONCE + 1]) < 0) for a in range(0, len(sample), AT_ONCE))
    if not disordered:
        return
    order = np.lexsort((np.load(spikes / "channel.npy"), sample))
    del sample
    for file in sorted(spikes.glob("*.npy")):
        np.save(file, np.load(file)[order])


def _units(session: Session[Keeper], band: SampleFormat, mean: np.ndarray, seconds: float) -> list[Unit]:
    """Return the sorted units: every number that a spike has."""
    file = session.folder / SPIKES / "unit.npy"
    if not file.exists():
        return []
    owner, found_on = np.load(file, mmap_mode="r"), np.load(session.folder / SPIKES / "channel.npy", mmap_mode="r")
    count, group = _count(owner, len(mean)), band.group_of
    own = group[_first_channels(owner, found_on, len(mean))]
    channel, deflection = peak(mean, own[:, None] == group)  # other groups may happen to see more of what they do not sort
    noise = _noise(session, band.channels)
    units = []
    for unit in np.flatnonzero(count).tolist():
        c, height = int(channel[unit]), round(float(deflection[unit]), 2)
        counts = round(height * band.input_counts, 2)
        uv = round(height * band.uv_per_count, 2) if band.uv_per_count else None
        snr = round(abs(height) / float(noise[c]), 2) if noise[c] > 0 else None
        units.append(Unit(unit, int(group[c]), c, int(count[unit]), round(count[unit] / seconds, 4), counts, uv, snr))
    return units


def _first_channels(unit: np.ndarray, channel: np.ndarray, units: int) -> np.ndarray:
    """Return the channel on which each unit's first spike was found, 0 for units without any, looking at a part at a time."""
    first = np.zeros(units, np.int64)
    for a in reversed(range(0, len(unit), AT_ONCE)):
        numbers, at = np.unique(unit[a : a + AT_ONCE], return_index=True)
        first[numbers[numbers >= 0]] = channel[a : a + AT_ONCE][at[numbers >= 0]]
    return first


def _noise(session: Session[Keeper], channels: int) -> np.ndarray:
    """Return each channel's noise in the traces: 1.4826 times the median absolute deviation, counts; 0 where there are none."""
    traces = np.load(session.folder / "traces.npy").astype(np.float64)
    if not len(traces):
        return np.zeros(channels)
    deviation = np.abs(traces - np.quantile(traces, 0.5, axis=0))  # the same as np.median, which takes long to come forth
    return 1.4826 * np.quantile(deviation, 0.5, axis=0)


def _count(values: np.ndarray, length: int) -> np.ndarray:
    """Return how often each number from 0 to below `length` occurs, looking at a part at a time; negative ones are left out."""
    total = np.zeros(length, np.int64)
    for a in range(0, len(values), AT_ONCE):
        part = values[a : a + AT_ONCE]
        total += np.bincount(part[part >= 0], minlength=length)
    return total


def write_units(session: Session[Keeper], units: list[Unit]) -> None:
    """Write ``units.csv``."""
    with (session.folder / "units.csv").open("w", newline="", encoding="utf-8") as file:
        lines = csv.DictWriter(file, [field.name for field in fields(Unit)])
        lines.writeheader()
        lines.writerows(asdict(unit) for unit in units)


def _counts(session: Session[Keeper], band: SampleFormat, units: list[Unit], seconds: float) -> dict[str, Any]:
    """Return the counts of spikes and units, of all and by channel group."""
    group = band.group_of
    by_channel = _count(np.load(session.folder / SPIKES / "channel.npy", mmap_mode="r"), band.channels)
    groups = []
    for g in range(int(group.max()) + 1):
        mine = [unit for unit in units if unit.group == g]
        spikes = int(by_channel[group == g].sum())
        groups.append(
            {
                "group": g,
                "channels": int((group == g).sum()),
                "spikes": spikes,
                "unsorted": spikes - sum(unit.spikes for unit in mine),
                "units": len(mine),
                "rate_hz": round(spikes / seconds, 4),
            }
        )
    total = int(by_channel.sum())
    return {
        "spikes": total,
        "unsorted": total - sum(unit.spikes for unit in units),
        "at_full_scale": _at_full_scale(session),
        "units": len(units),
        "groups": groups,
    }


def _at_full_scale(session: Session[Keeper]) -> int:
    """Return how many spikes are about as large as samples can be."""
    amplitude = np.load(session.folder / SPIKES / "amplitude.npy", mmap_mode="r")
    parts = (np.abs(amplitude[a : a + AT_ONCE]) >= NEARLY * INT16_MAX for a in range(0, len(amplitude), AT_ONCE))
    return sum(int(np.count_nonzero(part)) for part in parts)
