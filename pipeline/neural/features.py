"""What the feature stages share: spikes with waveforms go in, the same spikes with features come out."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from pipeline.blocks import SampleFormat, Spikes
from pipeline.errors import BitspikeError
from pipeline.stage import Stage

MAX_WIDTH = 128  # frames of a waveform


class FeatureStage(Stage):
    """A stage that looks at each spike's waveform by itself; its kernel takes waveforms, features, and the number of spikes."""

    takes = (Spikes,)
    gives = Spikes
    needs = ("waveform",)
    call = ("waveform", "out_features", "spikes")

    def __init__(self, parameters: Any, signal: SampleFormat, *others: Any, **named: Any) -> None:
        super().__init__(parameters, signal, *others, **named)
        self.features_given = self.features_per_channel() * signal.snippet[1]

    @abstractmethod
    def features_per_channel(self) -> int:
        """Return how many features a spike has for each channel of its waveform."""

    @classmethod
    def snippet_of(cls, signal: SampleFormat, shortest: int) -> tuple[int, int]:
        """Return frames and channels of the waveforms, or refuse a chain that has none, or too short or long ones."""
        width, neighbours = signal.snippet
        if not width:
            raise BitspikeError("its spikes have no waveform: add the stage snippets before it")
        if not shortest <= width <= MAX_WIDTH:
            raise BitspikeError(f"waveforms of {width} frames; choose {shortest} to {MAX_WIDTH} in the stage snippets")
        return width, neighbours

    def advance(self, spikes: Spikes) -> Spikes:
        """Work out the features of one block's spikes."""
        if not len(spikes):
            return Spikes(spikes.start, spikes.stop)
        waveform = self.checked(spikes)
        features = np.empty((len(spikes), self.features_given), np.int32)
        self.step(waveform, features, len(spikes))
        columns = (spikes.sample, spikes.channel, spikes.amplitude, spikes.unit)
        return Spikes(spikes.start, spikes.stop, *columns, spikes.waveform, features)

    def checked(self, spikes: Spikes) -> np.ndarray:
        """Return the waveforms as the kernel takes them, or refuse those of another shape than the chain was built for."""
        waveform = spikes.waveform
        if waveform.shape[1:] != self.signal.snippet or waveform.dtype != np.int16:
            expected, given = self.signal.snippet, f"{waveform.dtype} {waveform.shape[1:]}"
            raise BitspikeError(f"stage {self.name}: waveforms are {given}, the chain was built for int16 {expected}")
        return np.ascontiguousarray(waveform)
