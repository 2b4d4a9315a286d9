"""Refractory filter: after an event that is kept, those of its pixel are dropped for a while.

    kept  <=>  t - t(last event of the pixel that was kept) >= period

An edge makes a pixel fire several times; one event tells as much. `firmware/src/refractory.c` is the same text in C.
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


@dataclass(frozen=True)
class RefractoryParameters(Parameters):
    """Parameters in physical units.

    Attributes
    ----------
    period_us : int
        How long a pixel is silent after an event, 1 to 1,000,000.
    """

    period_us: int = 100

    def __post_init__(self) -> None:
        self.require("period_us", 1 <= self.period_us <= LONGEST_US, f"choose 1 to {LONGEST_US} us")


@kernel
def process(  # type: ignore[no-untyped-def]
    period, width, height, tick, outside, dropped, last, t, x, y, p, out_t, out_x, out_y, out_p, count,
):  # fmt: skip
    """Copy the events that are kept; return how many."""
    n = np.uint64(0)
    for i in range(np.uint64(count)):
        column, row = np.uint64(x[i]), np.uint64(y[i])
        if column >= width or row >= height:
            outside[0] += np.uint32(1)
            continue
        now, now_tick = np.uint32(t[i]), np.uint32((t[i] >> TICK_BITS) + 1)
        if now_tick != tick[0]:
            refresh(tick, last, np.int64(height), now_tick, now)
        before = last[row, column]
        kept = np.uint32(now - before) >= period
        last[row, column] = now if kept else before
        out_t[n], out_x[n], out_y[n], out_p[n] = t[i], x[i], y[i], p[i]
        n += np.uint64(kept)
        dropped[0] += np.uint32(not kept)
    return np.int64(n)


class Refractory(EventStage):
    """Refractory filter; see the module."""

    name = "refractory"
    Parameters = RefractoryParameters
    kernel = staticmethod(process)

    @classmethod
    def tables_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_refractory_tables``."""
        return layout(period="u4", width="u4", height="u4")

    @classmethod
    def state_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_refractory_state``."""
        return layout(tick="u4", outside="u4", dropped="u4", last=("u4", (capacity.rows, capacity.columns)))

    @classmethod
    def design(cls, parameters: RefractoryParameters, signal: EventFormat, capacity: Capacity) -> Design:
        """Take the parameters over."""
        require_sensor(signal, ROWS)
        tables = blank(cls.tables_layout(capacity))
        tables["period"], tables["width"], tables["height"] = parameters.period_us, signal.width, signal.height
        return Design(tables, signal, {"time surface, bytes": 4 * signal.width * signal.height})

    @classmethod
    def examples(cls) -> Iterator[Any]:
        """Yield a short and a long period."""
        yield RefractoryParameters(30)
        yield RefractoryParameters(1000)
