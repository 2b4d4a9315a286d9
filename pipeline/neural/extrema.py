"""Features: the peak, and the extrema of the first and second discrete derivatives, of each channel of a waveform.

d1[i] = x[i+1] - x[i] and d2[i] = x[i+2] - 2 x[i+1] + x[i]; a channel's five features are the value of largest size (the first of
equals), min d1, max d1, min d2 and max d2, in sample counts. The derivatives tell slopes and curvatures, in which spikes differ, at
the cost of subtractions (Paraskevopoulou, Barsakcioglu, Saberi, Eftekhar and Constandinou 2013, "Feature extraction using first and
second derivative extrema (FSDE)", Journal of Neuroscience Methods 215, section 2). All values fit 18 bits.
`firmware/src/extrema.c` is the same text in C.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.blocks import SampleFormat
from pipeline.capacity import Capacity
from pipeline.fixed import kernel
from pipeline.layout import blank, layout
from pipeline.neural.features import FeatureStage
from pipeline.stage import Design, Parameters

FEATURES = 5  # of a channel: peak, min d1, max d1, min d2, max d2


@dataclass(frozen=True)
class ExtremaParameters(Parameters):
    """There is nothing to choose."""


@kernel
def process(width, neighbours, seen, waveform, features, spikes):  # type: ignore[no-untyped-def]
    """Fill features: int32 [spikes, 5 * neighbours] from waveform: int16 [spikes, width, neighbours]; return the spikes."""
    for k in range(spikes):
        for j in range(np.int64(neighbours)):
            second, first = np.int32(waveform[k, 0, j]), np.int32(waveform[k, 1, j])
            peak = first if abs(first) > abs(second) else second
            low1 = high1 = np.int32(first - second)
            low2, high2 = np.int32(0x7FFFFFFF), np.int32(-0x7FFFFFFF)
            for i in range(2, np.int64(width)):
                now = np.int32(waveform[k, i, j])
                d1, d2 = np.int32(now - first), np.int32(now - 2 * first + second)
                low1, high1 = min(low1, d1), max(high1, d1)
                low2, high2 = min(low2, d2), max(high2, d2)
                if abs(now) > abs(peak):
                    peak = now
                second, first = first, now
            at = FEATURES * j
            features[k, at] = peak
            features[k, at + 1], features[k, at + 2] = low1, high1
            features[k, at + 3], features[k, at + 4] = low2, high2
    seen[0] += np.uint32(spikes)
    return spikes


class Extrema(FeatureStage):
    """Derivatives' extrema; see the module."""

    name = "extrema"
    Parameters = ExtremaParameters
    kernel = staticmethod(process)

    @classmethod
    def tables_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_extrema_tables``."""
        return layout(width="u4", neighbours="u4")

    @classmethod
    def state_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_extrema_state``: spikes seen, modulo 2**32."""
        return layout(seen="u4")

    @classmethod
    def design(cls, parameters: Any, signal: SampleFormat, capacity: Capacity) -> Design:
        """Take over the waveforms' shape."""
        tables = blank(cls.tables_layout(capacity))
        tables["width"], tables["neighbours"] = cls.snippet_of(signal, 3)
        return Design(tables, signal, {"features of a spike": FEATURES * signal.snippet[1]})

    def features_per_channel(self) -> int:
        """Return 5."""
        return FEATURES
