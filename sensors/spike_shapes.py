"""Spike shapes at random, for noise and for benchmarks of bitspike's own: smooth, of a chosen length, peak one.

A shape is a peak with a faster rise than fall, a slower wave of the other sign after it, and at times a small one before it: the
forms that extracellular spikes take (Gold et al. 2006, Journal of Neurophysiology 95:3113), written as Gaussians of time so that it
can be evaluated anywhere between two samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SPAN_MS = 64 / 24  # as long as the waveforms of the wave_clus benchmark
TAPER_MS = 0.3


@dataclass(frozen=True)
class SpikeShape:
    """One shape; times in milliseconds, from the onset.

    Attributes
    ----------
    peak : float
        When the peak is.
    rise, fall : float
        Standard deviations of its two sides.
    after, after_delay, after_width : float
        Size of the wave after it as a fraction of the peak, when it comes after the peak, and its standard deviation.
    before, before_lead, before_width : float
        The same for the wave before it.
    sign : float
        1 for a positive peak, -1 for a negative one.
    """

    peak: float
    rise: float
    fall: float
    after: float
    after_delay: float
    after_width: float
    before: float
    before_lead: float
    before_width: float
    sign: float

    def at(self, t_ms: np.ndarray) -> np.ndarray:
        """Return the shape at times `t_ms` after its onset, float64; zero outside ``[0, SPAN_MS]``."""
        t = np.asarray(t_ms, np.float64)
        u = t - self.peak
        main = np.exp(-0.5 * (u / np.where(u < 0, self.rise, self.fall)) ** 2)
        after = self.after * np.exp(-0.5 * ((u - self.after_delay) / self.after_width) ** 2)
        before = self.before * np.exp(-0.5 * ((u + self.before_lead) / self.before_width) ** 2)
        edge = np.clip(np.minimum(t, SPAN_MS - t) / TAPER_MS, 0, 1)
        return self.sign * (main - after - before) * np.sin(np.pi / 2 * edge) ** 2


def random_shapes(count: int, negative: float, rng: np.random.Generator) -> list[SpikeShape]:
    """Return `count` shapes, of which a share `negative` has a negative peak."""
    shapes = []
    for _ in range(count):
        shapes.append(
            SpikeShape(
                peak=rng.uniform(0.6, 1.0),
                rise=rng.uniform(0.05, 0.14),
                fall=rng.uniform(0.07, 0.26),
                after=rng.uniform(0.1, 0.7),
                after_delay=rng.uniform(0.3, 0.6),
                after_width=rng.uniform(0.14, 0.4),
                before=rng.uniform(0.0, 0.3),
                before_lead=rng.uniform(0.2, 0.35),
                before_width=rng.uniform(0.06, 0.14),
                sign=-1.0 if rng.uniform() < negative else 1.0,
            )
        )
    return shapes


def sampled(shapes: list[SpikeShape], rate_hz: float, phases: int) -> np.ndarray:
    """Return the shapes at `phases` positions between two samples: float64 [shapes, phases, samples], each scaled to a peak of one.

    Phase p is the shape delayed by p / phases of a sample; the scale is that of the shape between samples, common to its phases.
    """
    width = int(np.ceil(SPAN_MS * rate_hz / 1000)) + 1
    fine = np.linspace(0, SPAN_MS, 4096)
    t = (np.arange(width)[None, :] - np.arange(phases)[:, None] / phases) * 1000 / rate_hz
    return np.array([shape.at(t) / np.abs(shape.at(fine)).max() for shape in shapes])


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the root of the summed squared difference of two waveforms [samples], their peaks on top of each other."""
    width = len(one)
    padded = np.zeros((2, 3 * width))
    for row, x in zip(padded, (one, other), strict=True):
        start = 3 * width // 2 - int(np.abs(x).argmax())
        row[start : start + width] = x
    return float(np.linalg.norm(padded[0] - padded[1]))
