"""Results for other programs: SpikeInterface, Phy, NWB. All leave out the spikes that no unit explains."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bitspike.runs import Run
from bitspike.writing import folder_for, writing
from pipeline.errors import BitspikeError, MissingExtraError


def read_sorting(run: Run | str | Path) -> Any:
    """Return a run's units as a SpikeInterface sorting.

    Parameters
    ----------
    run : Run, str or pathlib.Path
        A finished run.

    Returns
    -------
    spikeinterface.core.NumpySorting
        One segment, frames of the recording, the numbers of the units as they are in the run, and their table as properties.

    Raises
    ------
    MissingExtraError
        The ``ephys`` extra is not installed.
    """
    try:
        from spikeinterface.core import NumpySorting
    except ImportError:
        raise MissingExtraError("reading a run into SpikeInterface", "ephys") from None
    run = run if isinstance(run, Run) else Run(run)
    sample, unit = sorted_spikes(run)
    numbers = np.array([one.unit for one in run.units], np.int32)
    sorting = NumpySorting.from_samples_and_labels([sample], [unit], run.rate_hz, unit_ids=numbers)
    for name in ("group", "channel", "snr"):
        values = [getattr(one, name) for one in run.units]
        sorting.set_property(name, np.array([np.nan if value is None else value for value in values]))
    return sorting


def sorted_spikes(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Return sample and unit of the spikes that have a unit."""
    spikes = run.spikes
    known = spikes.unit >= 0
    return np.asarray(spikes.sample[known]), np.asarray(spikes.unit[known])


def export_phy(run: Run | str | Path, folder: str | Path) -> Path:
    """Write a folder that Phy's template-gui opens, and SpikeInterface's ``read_phy`` reads.

    ``params.py`` names the recording itself where it is plain int16, so that Phy shows its traces; otherwise Phy shows
    templates only.

    Parameters
    ----------
    run : Run, str or pathlib.Path
        A finished run with units.
    folder : str or pathlib.Path
        The folder to make; it must not exist.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    BitspikeError
        The run has no units, or the folder exists already.
    """
    run = run if isinstance(run, Run) else Run(run)
    _need_units(run)
    units, signal = run.units, run.signal
    numbers = np.array([unit.unit for unit in units])
    sample, unit = sorted_spikes(run)
    kept = run.spikes.unit >= 0
    row = np.searchsorted(numbers, unit).astype(np.int32)
    templates = run.templates[numbers]
    with _new(Path(folder)) as new:
        new.mkdir()
        columns = {
            "spike_times": sample.astype(np.int64),
            "spike_clusters": unit.astype(np.int32),
            "spike_templates": row,
            "amplitudes": np.abs(run.spikes.amplitude[kept]).astype(np.float64),
            "templates": templates.astype(np.float32),
            "similar_templates": similarity(templates),
            "channel_map": np.arange(signal.channels, dtype=np.int32),
            "channel_positions": sites(signal.positions_um, signal.channels),
            "channel_shanks": signal.group_of,
            "whitening_mat": np.eye(signal.channels),
            "whitening_mat_inv": np.eye(signal.channels),
        }
        for name, values in columns.items():
            np.save(new / f"{name}.npy", values)
        _write_table(new / "cluster_group.tsv", ["cluster_id", "group"], [[u.unit, "unsorted"] for u in units])
        _write_table(
            new / "cluster_info.tsv",
            ["cluster_id", "group", "ch", "fr", "n_spikes", "sh"],
            [[u.unit, "unsorted", u.channel, u.rate_hz, u.spikes, u.group] for u in units],
        )
        (new / "params.py").write_text(_params(run), encoding="utf-8")
    return Path(folder)


def export_nwb(run: Run | str | Path, file: str | Path, started: datetime | None = None) -> Path:
    """Write an NWB file with the units: spike times in seconds of the recording, electrodes, and mean waveforms in volts.

    Parameters
    ----------
    run : Run, str or pathlib.Path
        A finished run with units.
    file : str or pathlib.Path
        The file to make; it must not exist.
    started : datetime.datetime, optional
        When the recording began, with its time zone; the time of the recording's file unless given.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    BitspikeError
        The run has no units, or the file exists already.
    MissingExtraError
        The ``ephys`` extra is not installed.
    """
    try:
        from pynwb import NWBHDF5IO, NWBFile
    except ImportError:
        raise MissingExtraError("writing NWB", "ephys") from None
    run = run if isinstance(run, Run) else Run(run)
    _need_units(run)
    recording, signal = run.manifest.recording, run.signal
    nwb = NWBFile(
        session_description=f"{Path(recording['path']).name}, sorted by bitspike with the chain {run.manifest.chain['name']}",
        identifier=f"{recording['sha256'][:16]}-{run.manifest.identity[:16]}",
        session_start_time=started or _file_time(Path(recording["path"])),
        source_script=f"bitspike {run.manifest.versions['bitspike']}",
        source_script_file_name="bitspike",
    )
    device = nwb.create_device("electrodes")
    groups = [
        nwb.create_electrode_group(f"group {g}", description=f"channel group {g}", location="unknown", device=device)
        for g in range(int(signal.group_of.max()) + 1)
    ]
    for (x, y), g in zip(sites(signal.positions_um, signal.channels).tolist(), signal.group_of, strict=True):
        nwb.add_electrode(rel_x=x, rel_y=y, group=groups[g], location="unknown")
    nwb.add_unit_column("channel", "channel on which the mean waveform is largest")
    nwb.add_unit_column("snr", "peak of the mean waveform over the noise's standard deviation; NaN where unknown")
    sample, unit = sorted_spikes(run)
    volts = signal.uv_per_count * 1e-6  # 0 where the recording does not say: then there are no waveforms, which NWB has in volts
    for one in run.units:
        nwb.add_unit(
            id=one.unit,
            spike_times=sample[unit == one.unit] / run.rate_hz,
            electrodes=[one.channel],
            channel=one.channel,
            snr=np.nan if one.snr is None else one.snr,
            **({"waveform_mean": run.templates[one.unit][:, [one.channel]] * volts} if volts else {}),
        )
    with _new(Path(file)) as new, NWBHDF5IO(str(new), "w") as io:
        io.write(nwb)
    return Path(file)


def similarity(templates: np.ndarray) -> np.ndarray:
    """Return the cosine of every pair of templates: float32 [units, units]."""
    flat = templates.reshape(len(templates), -1).astype(np.float64)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    return (flat @ flat.T).astype(np.float32)


def sites(positions_um: tuple[tuple[float, float], ...], channels: int) -> np.ndarray:
    """Return electrode sites, float64 [channels, 2]; a column 40 um apart where they are not known."""
    if positions_um:
        return np.array(positions_um, np.float64)
    return np.stack([np.zeros(channels), 40.0 * np.arange(channels)], axis=1)


def _params(run: Run) -> str:
    recording = run.manifest.recording
    path = Path(recording["path"]).absolute()
    path = path / "recording.raw" if recording["format"] == "bitspike" else path
    plain = recording["format"] == "bitspike" or path.suffix in (".raw", ".bin", ".dat")
    lines = {
        "dat_path": str(path) if plain else "",
        "n_channels_dat": recording["channels"],
        "dtype": "int16",
        "offset": 0,
        "sample_rate": run.rate_hz,
        "hp_filtered": False,
    }
    return "".join(f"{name} = {value!r}\n" for name, value in lines.items())


def _need_units(run: Run) -> None:
    run.require_replay()
    if not run.units:
        raise BitspikeError(f"{run.path}: has no sorted units to export; replay with a chain that sorts, for longer")


def _file_time(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime if path.exists() else 0, UTC)


def _write_table(path: Path, columns: list[str], rows: list[list[Any]]) -> None:
    lines = [columns, *rows]
    path.write_text("".join("\t".join(str(value) for value in line) + "\n" for line in lines), encoding="utf-8")


@contextmanager
def _new(path: Path) -> Iterator[Path]:
    """Give a name beside `path` to write under, that becomes `path` when all went well, and is removed when not."""
    if path.exists():
        raise BitspikeError(f"{path}: exists already; choose another name, or remove it")
    with writing(path), folder_for(path.parent), tempfile.TemporaryDirectory(prefix=".new.", dir=path.parent) as folder:
        new = Path(folder) / path.name
        yield new
        shutil.move(new, path)
