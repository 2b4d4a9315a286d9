"""Spatio-temporal correlation filter: keep an event if enough pixels around it had one of its polarity shortly before.

    kept  <=>  number of pixels within `radius`, the event's own left out, with  t - last(pixel, polarity) <= window  >=  support

The filter of Guo and Delbruck (2022, "Low cost and latency event camera background activity denoising"), with the choice of their
radius and of whether polarities are told apart. It asks more of an event than the background filter and drops the pairs that shot
noise makes. `firmware/src/correlation.c` is the same text in C.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.blocks import EventFormat
from pipeline.capacity import Capacity
from pipeline.events.filtering import EventStage, require_sensor
from pipeline.events.surface import LONGEST_US, ROWS, TICK_BITS, refresh
from pipeline.fixed import kernel
from pipeline.layout import blank, layout
from pipeline.stage import Design, Parameters

MARGIN = 3  # the largest radius


@dataclass(frozen=True)
class CorrelationParameters(Parameters):
    """Parameters in physical units.

    Attributes
    ----------
    window_us : int
        How long ago an event may be, 1 to 1,000,000.
    radius : int
        Of the square around a pixel, 1 to 3.
    support : int
        How many pixels must have had one; 1 to all that there are around.
    same_polarity : bool
        Whether only events of the same polarity count.
    """

    window_us: int = 1000
    radius: int = 1
    support: int = 2
    same_polarity: bool = True

    def __post_init__(self) -> None:
        self.require("window_us", 1 <= self.window_us <= LONGEST_US, f"choose 1 to {LONGEST_US} us")
        self.require("radius", 1 <= self.radius <= MARGIN, f"choose 1 to {MARGIN}")
        around = (2 * self.radius + 1) ** 2 - 1
        self.require("support", 1 <= self.support <= around, f"choose 1 to {around}")


@kernel
def process(  # type: ignore[no-untyped-def]
    window, radius, support, polarities, width, height, tick, outside, last, t, x, y, p, out_t, out_x, out_y, out_p, count,
):  # fmt: skip
    """Copy the events that have support; return how many."""
    n = np.uint64(0)
    extent, first = np.uint64(2) * np.uint64(radius) + np.uint64(1), np.uint64(MARGIN) - np.uint64(radius)
    plane = np.uint64(last.shape[0] // 2)
    for i in range(np.uint64(count)):
        column, row = np.uint64(x[i]), np.uint64(y[i])
        if column >= width or row >= height:
            outside[0] += np.uint32(1)
            continue
        now, now_tick = np.uint32(t[i]), np.uint32((t[i] >> TICK_BITS) + 1)
        if now_tick != tick[0]:
            refresh(tick, last, last.shape[0], now_tick, now)
        row += plane * np.uint64(p[i] != 0 and polarities != 0)
        near = np.int32(np.uint32(now - last[row + np.uint64(MARGIN), column + np.uint64(MARGIN)]) > window) - np.int32(1)
        for r in range(row + first, row + first + extent):
            for c in range(column + first, column + first + extent):
                near += np.int32(np.uint32(now - last[r, c]) <= window)
        last[row + np.uint64(MARGIN), column + np.uint64(MARGIN)] = now
        out_t[n], out_x[n], out_y[n], out_p[n] = t[i], x[i], y[i], p[i]
        n += np.uint64(near >= np.int32(support))
    return np.int64(n)


class Correlation(EventStage):
    """Spatio-temporal correlation filter; see the module."""

    name = "correlation"
    Parameters = CorrelationParameters
    kernel = staticmethod(process)

    @classmethod
    def tables_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_correlation_tables``."""
        return layout(**dict.fromkeys(("window", "radius", "support", "polarities", "width", "height"), "u4"))

    @classmethod
    def state_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_correlation_state``: a surface for each polarity, one below the other."""
        surfaces = (2 * (capacity.rows + 2 * MARGIN), capacity.columns + 2 * MARGIN)
        return layout(tick="u4", outside="u4", last=("u4", surfaces))

    @classmethod
    def design(cls, parameters: CorrelationParameters, signal: EventFormat, capacity: Capacity) -> Design:
        """Take the parameters over."""
        p = parameters
        require_sensor(signal, ROWS // 2 - 2 * MARGIN)
        tables = blank(cls.tables_layout(capacity))
        tables["window"], tables["radius"], tables["support"], tables["polarities"] = (
            p.window_us,
            p.radius,
            p.support,
            p.same_polarity,
        )
        tables["width"], tables["height"] = signal.width, signal.height
        return Design(tables, signal, {"time surfaces, bytes": 8 * (signal.width + 2 * MARGIN) * (signal.height + 2 * MARGIN)})

    @classmethod
    def examples(cls) -> Iterator[Any]:
        """Yield a small and a large neighbourhood, with and without polarity."""
        yield CorrelationParameters(window_us=300)
        yield CorrelationParameters(window_us=500, radius=3, support=5)
        yield CorrelationParameters(window_us=100, radius=2, support=3, same_polarity=False)
