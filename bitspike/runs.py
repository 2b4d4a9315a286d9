"""The folder that a run leaves behind, read back.

::

    manifest.json      what was run on what, counts and timings
    spikes/            sample.npy, channel.npy, amplitude.npy, unit.npy: one row per spike
    units.csv          one line per sorted unit
    templates.npy      mean waveforms of the units, float32 [units, width, channels], counts
    snippets/          example spikes: waveform.npy [n, width, near], unit.npy [n], channels.npy [units, near]
    traces.npy         a quarter of a second of the samples that the spikes were found in
    taps/              every output that the chain says to save
    tables/            the integer tables of every stage, to run the chain again as it was trained
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.blocks import SampleFormat, Spikes
from pipeline.chain import ChainPlan, parse_chain
from pipeline.errors import BitspikeError
from pipeline.manifest import Manifest, digest, parse_manifest

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Unit:
    """One sorted unit.

    Attributes
    ----------
    unit : int
        Its number.
    group : int
        Channel group.
    channel : int
        Of this group, where its mean waveform is largest.
    spikes : int
        How many.
    rate_hz : float
        Spikes per second of recording.
    amplitude : float
        Largest deflection of the mean waveform, counts of the recording.
    amplitude_uv : float or None
        The same in microvolts; None where the recording does not say.
    snr : float or None
        Its magnitude over the noise's standard deviation on that channel (1.4826 times the median absolute deviation).
    """

    unit: int
    group: int
    channel: int
    spikes: int
    rate_hz: float
    amplitude: float
    amplitude_uv: float | None
    snr: float | None


class Run:
    """A finished run.

    Parameters
    ----------
    path : str or pathlib.Path
        Its folder.

    Raises
    ------
    BitspikeError
        There is no run in that folder, or it is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        file = self.path / MANIFEST
        if not file.is_file():
            unfinished = partial(self.path) / MANIFEST
            interrupted = unfinished.parent.is_dir()
            hint = "it was interrupted: replay with --resume" if interrupted else "give a folder that bitspike replay or train made"
            raise BitspikeError(f"{self.path}: holds no {MANIFEST}, so it is not the result of a replay; {hint}")
        self.manifest: Manifest = parse_manifest(file.read_text(encoding="utf-8"), str(file))

    @property
    def is_training(self) -> bool:
        """Whether it holds only what a chain has learned: tables, and no result of a replay."""
        return "learned" in self.manifest.run

    def require_replay(self) -> None:
        """Refuse a training where the result of a replay is needed.

        Raises
        ------
        BitspikeError
            It is a training.
        """
        if self.is_training:
            cure = f"run bitspike replay RECORDING --trained {self.path}, then give the folder that this makes"
            raise BitspikeError(f"{self.path}: is a training, not a replay: {cure}")

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.resolve().name

    @property
    def rate_hz(self) -> float:
        """Frames per second that the spikes are counted in."""
        return float(
            self.manifest.outputs["spikes"]["rate_hz"] if "spikes" in self.manifest.outputs else self.manifest.recording["rate_hz"]
        )

    @property
    def seconds(self) -> float:
        """Length of the stretch that was replayed."""
        recording = self.manifest.recording
        return float((recording["stop"] - recording["start"]) / recording["rate_hz"])

    @cached_property
    def signal(self) -> SampleFormat:
        """Format of the samples that the spikes were found in."""
        about = self._spikes()
        return SampleFormat(
            about["rate_hz"],
            about["channels"],
            about["uv_per_count"],
            about["bits"],
            tuple((x, y) for x, y in about["positions_um"]),
            tuple(about["groups"]),
            input_counts=about["input_counts"],
        )

    @cached_property
    def spikes(self) -> Spikes:
        """All spikes, in order of time; `unit` is -1 for those that no unit explains. The columns are read from disk as needed."""
        self._spikes()
        columns = {name: self.array(f"spikes/{name}") for name in ("sample", "channel", "amplitude")}
        unit = (
            self.array("spikes/unit") if (self.path / "spikes/unit.npy").exists() else np.full(len(columns["sample"]), -1, np.int32)
        )
        return Spikes(self.manifest.recording["start"], self.manifest.recording["stop"], **columns, unit=unit)

    @cached_property
    def units(self) -> list[Unit]:
        """The sorted units."""
        file = self.path / "units.csv"
        if not file.is_file():
            return []
        kinds = {field.name: str(field.type) for field in fields(Unit)}
        with file.open(newline="", encoding="utf-8") as lines:
            return [Unit(**{k: _value(v, kinds[k]) for k, v in row.items()}) for row in csv.DictReader(lines)]

    @cached_property
    def templates(self) -> np.ndarray:
        """Mean waveforms of the units in order: float32 [units, width, channels], counts of `signal`."""
        return self.array("templates")

    @property
    def before(self) -> int:
        """Frames of a template before its peak."""
        return int(self._spikes()["before"])

    @property
    def taps(self) -> dict[str, dict[str, Any]]:
        """Outputs that the chain saves besides its spikes: by label, what they are, their format and their stretches."""
        return dict(self.manifest.outputs.get("taps", {}))

    def tap(self, label: str) -> np.ndarray:
        """Return samples that the chain saves: int16 [frames, channels]; `taps` says what they mean.

        Raises
        ------
        BitspikeError
            The chain does not save that output.
        """
        saved = [name for name, about in self.taps.items() if about["kind"] == "samples"]
        if label not in saved:
            raise BitspikeError(f"{self.path}: saved no samples of {label!r}; it has: {', '.join(saved) or 'none'}")
        return self.array(f"taps/{label}")

    @property
    def plan(self) -> ChainPlan:
        """The chain that ran."""
        return parse_chain(self.manifest.chain["text"], self.manifest.chain["name"], str(self.path / MANIFEST))

    @cached_property
    def tables(self) -> dict[str, np.ndarray]:
        """The stages' tables by label, checked against the manifest.

        Raises
        ------
        BitspikeError
            A file is missing or not what the manifest says.
        """
        found = {}
        for about in self.manifest.chain["stages"]:
            tables = self.array(f"tables/{about['label']}")[()]
            if tables.dtype.names is None or digest(np.asarray(tables)) != about["tables"]["sha256"]:
                raise BitspikeError(f"{self.path}/tables/{about['label']}.npy: is not what {MANIFEST} says; replay or train again")
            found[about["label"]] = np.asarray(tables)
        return found

    def learned_units(self, label: str) -> int | None:
        """Return how many units the tables of a stage hold; None for a stage that knows no units."""
        tables = self.tables[label]
        return int(tables["units"]) if "units" in (tables.dtype.names or ()) else None

    def array(self, name: str) -> np.ndarray:
        """Return one of the run's files by its path without the ending, mapped from disk.

        Raises
        ------
        BitspikeError
            It is missing or damaged.
        """
        file = self.path / f"{name}.npy"
        try:
            stored = (
                np.load(file, allow_pickle=False)
                if file.stat().st_size < 1 << 16
                else np.load(file, mmap_mode="r", allow_pickle=False)
            )
        except (OSError, ValueError) as error:
            raise BitspikeError(f"{file}: missing or damaged ({error}); replay the recording again") from None
        return np.asarray(stored)

    def _spikes(self) -> dict[str, Any]:
        self.require_replay()
        about = self.manifest.outputs.get("spikes")
        if about is None:
            raise BitspikeError(f"{self.path}: chain {self.manifest.chain['name']} finds no spikes; replay with --chain probe")
        return dict(about)


def partial(out: Path) -> Path:
    """Return where a run that shall end in `out` grows."""
    return Path(f"{out.absolute()}.partial")  # `with_name` refuses "." and "/", which may be asked for too


def is_run(path: Path) -> bool:
    """Return whether a folder is a finished run."""
    return (path / MANIFEST).is_file()


def _value(text: str, kind: str) -> Any:
    if text == "":
        return None
    return int(text) if kind == "int" else float(text)
