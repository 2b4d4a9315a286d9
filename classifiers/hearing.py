"""Gathers the spikes that the sorter learns from, as they come."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np

from classifiers.learning import learn
from pipeline.blocks import Samples, Spikes
from pipeline.errors import BitspikeError


class Learner:
    """The first spikes of every channel, with their waveforms.

    Parameters
    ----------
    parameters : SorterParameters
        What the sorter was made with.
    tables : numpy.ndarray
        Its tables, designed: windows and neighbours.
    channels : int
        Of the recording.
    """

    def __init__(self, parameters: Any, tables: np.ndarray, channels: int) -> None:
        self.parameters = parameters
        self.neighbour = tables["neighbour"][:channels, : int(tables["neighbours"])].copy()
        self.before, self.width = int(tables["before"]), int(tables["width"])
        self.lag = max(int(tables["arrival"]), self.width - self.before)  # frames after a peak until its waveform can be cut
        self.frames = 0
        self.count = 0
        self._tail = np.zeros((self.lag + self.width, channels), np.int16)
        self._waiting = np.zeros((0, 3), np.int64)  # frame, channel, amplitude
        self._heard = np.zeros(channels, np.int64)
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def hear(self, samples: Samples, spikes: Spikes) -> None:
        """Take in one block; a channel's spikes beyond the number to learn from are counted, but not kept."""
        frames = len(samples.data)
        signal = np.concatenate([self._tail, samples.data])
        origin = self.frames - len(self._tail)  # the frame of the signal's first row
        came = np.stack([spikes.sample - samples.start + self.frames, spikes.channel, spikes.amplitude], axis=1).astype(np.int64)
        self._waiting = np.concatenate([self._waiting, came])
        self.frames += frames
        self._tail = signal[len(signal) - len(self._tail) :].copy()
        due = self._waiting[:, 0] + self.lag <= self.frames
        ready, self._waiting = self._waiting[due], self._waiting[~due]
        self.count += len(ready)
        wanted = np.zeros(len(ready), bool)
        for i, channel in enumerate(ready[:, 1]):
            wanted[i] = self._heard[channel] < self.parameters.spikes
            self._heard[channel] += 1
        ready = ready[wanted & (ready[:, 0] >= self.before)]
        if not len(ready):
            return
        rows = ready[:, 0, None] - self.before - origin + np.arange(self.width)
        near = self.neighbour[ready[:, 1]]
        waveform = signal[rows[:, None, :], np.maximum(near, 0)[:, :, None]]
        waveform[near < 0] = 0
        self._parts.append((ready[:, 1].astype(np.int32), waveform, ready[:, 2].astype(np.int32)))

    def forget_signal(self) -> None:
        """Drop the spikes that wait for signal which was lost, and start to count frames anew."""
        self._waiting = self._waiting[:0]
        self._tail[:] = 0
        self.frames = 0

    def learn(self, tables: np.ndarray) -> np.ndarray:
        """Return the tables with what was learned from the spikes so far."""
        self._join()
        return learn(tables, self.neighbour, *self._parts[0])

    def _join(self) -> None:
        empty = (np.zeros(0, np.int32), np.zeros((0, self.neighbour.shape[1], self.width), np.int16), np.zeros(0, np.int32))
        columns = zip(*[empty, *self._parts], strict=True)
        channel, waveform, amplitude = (np.concatenate(column) for column in columns)
        self._parts = [(channel, waveform, amplitude)]

    def to_bytes(self) -> bytes:
        """Return all of it, for a checkpoint."""
        self._join()
        file = io.BytesIO()
        channel, waveform, amplitude = self._parts[0]
        progress = np.array([self.frames, self.count], np.int64)
        np.savez(
            file, progress=progress, tail=self._tail, waiting=self._waiting, heard=self._heard,
            channel=channel, waveform=waveform, amplitude=amplitude,
        )  # fmt: skip
        return file.getvalue()

    @classmethod
    def from_bytes(cls, parameters: Any, tables: np.ndarray, channels: int, data: bytes) -> Learner:
        """Continue from `to_bytes`."""
        learner = cls(parameters, tables, channels)
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as kept:
                learner.frames, learner.count = (int(v) for v in kept["progress"])
                learner._tail, learner._waiting, learner._heard = kept["tail"], kept["waiting"], kept["heard"]
                learner._parts = [(kept["channel"], kept["waveform"], kept["amplitude"])]
        except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
            raise BitspikeError(f"stage sorter: the checkpoint is damaged: {error}") from None
        return learner
