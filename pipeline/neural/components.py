"""Features: projections of each channel of a waveform on principal components, in integers.

f[j, p] = sum_i (x[i, j] - mean[i]) axis[p, i] / 2**15, rounded to nearest, halves up, with axes of unit length in Q15. One set of
axes serves all channels of all snippets: a spike's shape varies less from place to place than its size, a common basis needs few
spikes to learn from, and it is small enough for a chip's tables (for spikes: Lewicki 1998, Network 9, section 4.2).

`fit` learns mean and axes from spikes, in integers. A stage that has not been fitted projects on the lowest cosines, which the
principal components of smooth waveforms approach (Ahmed, Natarajan and Rao 1974, IEEE Transactions on Computers C-23).

|x - mean| is below 2**16 and an axis sums to at most sqrt(width), so that the sum stays below 2**35: it takes 64 bits, the feature
21. `firmware/src/components.c` is the same text in C.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.blocks import SampleFormat, Spikes
from pipeline.capacity import Capacity
from pipeline.errors import TooLittleError
from pipeline.fixed import kernel
from pipeline.layout import blank, layout
from pipeline.neural.features import MAX_WIDTH, FeatureStage
from pipeline.neural.principal import MAX_VECTORS, principal_components
from pipeline.stage import Design, Parameters

MAX_COMPONENTS = 8


@dataclass(frozen=True)
class ComponentsParameters(Parameters):
    """What to learn.

    Attributes
    ----------
    components : int
        Components for each channel, 1 to 8.
    spikes : int
        Spikes that `fit` learns from, the first that come; 10 to 16384.
    """

    components: int = 3
    spikes: int = 2000

    def __post_init__(self) -> None:
        self.require("components", 1 <= self.components <= MAX_COMPONENTS, f"choose 1 to {MAX_COMPONENTS}")
        self.require("spikes", 10 <= self.spikes <= MAX_VECTORS, f"choose 10 to {MAX_VECTORS}")


@kernel
def process(width, neighbours, count, mean, axes, seen, waveform, features, spikes):  # type: ignore[no-untyped-def]
    """Fill features: int32 [spikes, neighbours * count] from waveform: int16 [spikes, width, neighbours]; return the spikes."""
    for k in range(spikes):
        for j in range(np.int64(neighbours)):
            for p in range(np.int64(count)):
                total = np.int64(1 << 14)
                for i in range(np.int64(width)):
                    total += np.int64(np.int32(waveform[k, i, j]) - np.int32(mean[i])) * np.int64(axes[p, i])
                features[k, j * np.int64(count) + p] = np.int32(total >> np.int64(15))
    seen[0] += np.uint32(spikes)
    return spikes


class Components(FeatureStage):
    """Principal components; see the module."""

    name = "components"
    Parameters = ComponentsParameters
    kernel = staticmethod(process)

    @classmethod
    def tables_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_components_tables``."""
        scalars = {"width": "u4", "neighbours": "u4", "count": "u4"}
        return layout(**scalars, mean=("i2", MAX_WIDTH), axes=("i2", (MAX_COMPONENTS, MAX_WIDTH)))

    @classmethod
    def state_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_components_state``: spikes seen, modulo 2**32."""
        return layout(seen="u4")

    @classmethod
    def design(cls, parameters: ComponentsParameters, signal: SampleFormat, capacity: Capacity) -> Design:
        """Lay out the cosines."""
        tables, count = blank(cls.tables_layout(capacity)), parameters.components
        width, neighbours = cls.snippet_of(signal, count + 1)
        tables["width"], tables["neighbours"], tables["count"] = width, neighbours, count
        angle = np.pi / width * np.outer(np.arange(1, count + 1), np.arange(width) + 0.5)
        tables["axes"][:count, :width] = np.rint(np.sqrt(2 / width) * np.cos(angle) * 2**15).clip(-32767, 32767)
        return Design(tables, signal, {"features of a spike": count * neighbours})

    @classmethod
    def examples(cls) -> Iterator[ComponentsParameters]:
        """Yield examples of few and most components."""
        yield ComponentsParameters()
        yield ComponentsParameters(components=8)

    def features_per_channel(self) -> int:
        """Return the number of components."""
        return int(self.tables["count"])

    def fit(self, blocks: Iterable[tuple[Spikes]]) -> Components:
        """Learn mean and axes from the first spikes, on all their channels, and start anew with what was learned.

        Parameters
        ----------
        blocks : iterable of (Spikes,)
            The stage's inputs, in order, with waveforms.

        Raises
        ------
        TooLittleError
            There are fewer spikes than components.
        """
        wanted, parts, count = self.parameters.spikes, [], 0
        for (spikes,) in blocks:
            if len(spikes) and count < wanted:
                parts.append(self.checked(spikes)[: wanted - count])
                count += len(parts[-1])
        width, components = int(self.tables["width"]), int(self.tables["count"])
        if count <= components:
            raise TooLittleError(f"stage {self.name}: {count} spikes are too few for {components} components; learn from more")
        mean, axes = fit_components(np.concatenate(parts), components)
        self.reset()
        self.tables["mean"][:width] = mean
        self.tables["axes"][:components, :width] = axes
        return self


def fit_components(waveforms: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and principal axes of the channels of snippets, by integer arithmetic alone.

    Parameters
    ----------
    waveforms : numpy.ndarray
        int16 [n, width, channels]; channels that are silent throughout (beyond the array's edge) do not count. Of more than 2**14
        channels of snippets, so many are taken, at equal distances.
    count : int
        How many axes, at most `width`.

    Returns
    -------
    mean : numpy.ndarray
        int16 [width], rounded to nearest, halves up.
    axes : numpy.ndarray
        int16 [count, width], unit vectors in Q15, the direction of largest variance first, the largest component of each positive.

    Raises
    ------
    BitspikeError
        All is silent, or there are fewer than two snippets.
    """
    rows = waveforms.transpose(0, 2, 1).reshape(-1, waveforms.shape[1])
    rows = rows[rows.any(axis=1)]
    if len(rows) > MAX_VECTORS:
        rows = rows[np.arange(MAX_VECTORS) * len(rows) // MAX_VECTORS]
    axes = principal_components(rows, count)
    total, n = rows.sum(axis=0, dtype=np.int64), len(rows)
    return ((2 * total + n) // (2 * n)).astype(np.int16), axes
