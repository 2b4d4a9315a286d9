"""How far the sorter looks around a spike, and how long it waits, in frames of a recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from classifiers.fitting import LOCATE, SHIFT
from classifiers.waiting import PER_TICK, TICK
from pipeline.errors import BitspikeError

MAX_WIDTH = 96  # frames of a template
MAX_FEATURE_WIDTH = 64
MAX_HELD = 512
LEAST_AFTER_MS = 0.3


@dataclass(frozen=True)
class Windows:
    """Extents in frames.

    Attributes
    ----------
    before, width : int
        Of a template: frames ahead of the peak, and in all.
    feature_from, feature_width : int
        The part of it that features are made of.
    arrival : int
        By so much the detection of a spike may lag behind its peak.
    reach : int
        So far spikes may overlap.
    delay : int
        From a spike's peak to its decision, at least.
    held : int
        Frames of the signal that are kept, a power of two.
    """

    before: int
    width: int
    feature_from: int
    feature_width: int
    arrival: int
    reach: int
    delay: int
    held: int


def windows(parameters: Any, rate_hz: float) -> Windows:
    """Derive the extents from `SorterParameters`, or refuse with the reason."""
    p, per_ms = parameters, rate_hz / 1000
    before = max(4, round(p.before_ms * per_ms))
    after = max(6, min(round(p.after_ms * per_ms), MAX_WIDTH - before))  # of fast recordings the tail is cut
    width = before + after
    if width > MAX_WIDTH or after < LEAST_AFTER_MS * per_ms:
        wanted = before + round(p.after_ms * per_ms)
        raise BitspikeError(f"a template has {wanted} frames at {rate_hz:g} Hz; at most {MAX_WIDTH}: shorten before_ms")
    feature_from = max(0, before - round(0.4 * per_ms))
    feature_width = max(4, min(MAX_FEATURE_WIDTH, width - feature_from, round(1.4 * per_ms)))
    arrival = 2 + int(np.ceil(p.arrival_ms * per_ms))
    most = (p.waiting // PER_TICK - 2) * TICK
    if arrival > most:
        raise BitspikeError(
            f"arrival_ms = {p.arrival_ms:g}: at most {max(most - 2, 0) / per_ms:.1f} at {rate_hz:g} Hz; raise waiting"
        )
    reach = max(4, min(after, round(1.25 * per_ms)))
    delay = max(arrival + reach, reach + after + SHIFT + 2 * LOCATE + 1)
    needed = delay + 3 * TICK + width + 2 * reach + 16
    if needed > MAX_HELD:
        raise BitspikeError(f"windows need {needed} frames of signal at {rate_hz:g} Hz; at most {MAX_HELD}: shorten them")
    return Windows(before, width, feature_from, feature_width, arrival, reach, delay, 1 << (needed - 1).bit_length())
