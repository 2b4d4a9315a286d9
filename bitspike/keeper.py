"""What a run keeps, written while it goes on: saved outputs, spikes, and what is needed to look at the units afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bitspike.columns import Columns
from bitspike.waveforms import Waveforms
from pipeline.blocks import SampleFormat, Samples, Spikes
from pipeline.chain import INPUT, Chain

TRACES_S = 0.25  # how much of the spike band is kept to look at
PENDING = 64  # blocks that are written at once
SPIKES = "spikes"


class SpikeColumns:
    """Spikes of one stage as columns: one for each field of `Spikes` that the stage fills."""

    def __init__(self, columns: Columns, folder: str) -> None:
        self._columns, self._folder = columns, folder
        self._pending: list[Spikes] = []
        for name, dtype in (("sample", np.int64), ("channel", np.int32), ("amplitude", np.int32)):
            columns.column(f"{folder}/{name}", dtype)

    def take(self, spikes: Spikes) -> None:
        """Remember a block's spikes."""
        if len(spikes.sample):
            self._pending.append(spikes)
            if len(self._pending) >= PENDING:
                self.write()

    def write(self) -> None:
        """Write what is remembered."""
        if not self._pending:
            return
        for name in ("sample", "channel", "amplitude", "unit", "waveform", "features"):
            rows = np.concatenate([getattr(spikes, name) for spikes in self._pending])
            if len(rows):
                self._columns.column(f"{self._folder}/{name}", rows.dtype, rows.shape[1:]).append(rows)
        self._pending.clear()


class SampleColumn:
    """Samples of one stage as a column of frames, with the stretches of the stream that it covers."""

    def __init__(self, columns: Columns, name: str, channels: int, stretches: list[list[int]] | None = None) -> None:
        self._column = columns.column(name, np.int16, (channels,))
        self._pending: list[np.ndarray] = []
        self.stretches = stretches or []  # [first frame, frames] between gaps
        self._stop = sum(self.stretches[-1]) if self.stretches else -1

    def take(self, samples: Samples) -> None:
        """Remember a block."""
        data = samples.data
        if not len(data):
            return
        if samples.start != self._stop:
            self.stretches.append([samples.start, 0])
        self._stop = samples.start + len(data)
        self.stretches[-1][1] += len(data)
        self._pending.append(data)
        if len(self._pending) >= PENDING:
            self.write()

    def write(self) -> None:
        """Write what is remembered."""
        if self._pending:
            self._column.append(np.concatenate(self._pending))
            self._pending.clear()


class Keeper:
    """Takes every block's outputs and writes what the run keeps.

    Parameters
    ----------
    columns : Columns
        Where it grows.
    chain : Chain
        Whose outputs they are.
    start, stop : int
        Frames of the recording that the run covers.
    state : tuple, optional
        What `checkpoint` returned, to continue.

    Attributes
    ----------
    final : str
        Label of the spikes that are the run's result: those of the last stage that gives any; empty where none does.
    band : str
        Label of the samples that these were found in.
    """

    def __init__(self, columns: Columns, chain: Chain, start: int, stop: int, state: Any = None) -> None:
        stretches: dict[str, Any] = state[0]["stretches"] if state else {}
        arrays = state[1] if state else None
        kinds = {step.label: step.stage.gives for step in chain.plan.steps}
        self.final = next((label for label in reversed(kinds) if kinds[label] is Spikes), "")
        self.spikes = {label: SpikeColumns(columns, folder(chain, label)) for label in chain.saved if kinds[label] is Spikes}
        if self.final and self.final not in self.spikes:
            self.spikes[self.final] = SpikeColumns(columns, SPIKES)
        self.samples = {
            label: SampleColumn(columns, f"taps/{label}", chain.formats[label].channels, stretches.get(label))
            for label in chain.saved
            if kinds[label] is Samples
        }
        self.band = samples_of(chain, self.final) if self.final else ""
        self.waveforms: Waveforms | None = None
        if self.band:
            signal = chain.formats[self.band]
            self.waveforms = Waveforms(columns, signal, chain.latency, arrays)
            self._traces = SampleColumn(columns, "traces", signal.channels, stretches.get("traces"))
            self._window = window(signal, start, stop, signal.rate_hz / chain.signal.rate_hz)

    def take(self, outputs: Mapping[str, Any]) -> None:
        """Keep what is to be kept of one block's outputs."""
        for label, column in self.samples.items():
            column.take(outputs[label])
        for label, spikes in self.spikes.items():
            spikes.take(outputs[label])
        if self.waveforms is not None:
            band = outputs[self.band]
            self.waveforms.take(band, outputs[self.final])
            first, last = self._window
            if band.start < last and band.stop > first:  # views would keep whole blocks, and the traces are short
                inside = slice(max(first - band.start, 0), last - band.start)
                self._traces.take(Samples(band.start + inside.start, band.data[inside]))

    def checkpoint(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Write everything; return what follows depends on: plain values and arrays."""
        self.write()
        stretches = {label: column.stretches for label, column in self.samples.items()}
        if self.waveforms is None:
            return {"stretches": stretches}, {}
        return {"stretches": {**stretches, "traces": self._traces.stretches}}, self.waveforms.checkpoint()

    def write(self) -> None:
        """Write what is still remembered."""
        for spikes in self.spikes.values():
            spikes.write()
        for column in self.samples.values():
            column.write()
        if self.band:
            self._traces.write()

    @property
    def traces(self) -> list[list[int]]:
        """Stretches ``[first frame, frames]`` of the traces that are kept to look at."""
        return self._traces.stretches if self.band else []


def folder(chain: Chain, label: str) -> str:
    """Return the folder of a stage's spikes, below the run's."""
    last = next((step.label for step in reversed(chain.plan.steps) if step.stage.gives is Spikes), "")
    return SPIKES if label == last else f"taps/{label}"


def samples_of(chain: Chain, label: str) -> str:
    """Return the label of the samples that a stage's output is made from: its nearest input that is samples."""
    steps = {step.label: step for step in chain.plan.steps}
    while True:
        sources = steps[label].sources
        for source in sources:
            if source == INPUT or steps[source].stage.gives is Samples:
                return source
        label = sources[0]


def window(signal: SampleFormat, start: int, stop: int, ratio: float) -> tuple[int, int]:
    """Return the frames, counted in `signal`, of the traces to keep: a short stretch in the middle of [start, stop)."""
    frames = round(TRACES_S * signal.rate_hz)
    first = max(round((start + stop) / 2 * ratio) - frames // 2, round(start * ratio))
    return first, first + frames
