"""Background-activity filter: keep an event if enough of its eight neighbours had one shortly before.

    kept  <=>  number of neighbours with  t - last(neighbour) <= window  is at least `neighbours`

where last(pixel) is the time of the pixel's last event, kept or not. Noise is alone, an edge that moves is not. With one
neighbour this is the filter of Delbruck (2008, "Frame-free dynamic digital vision"), which dv-processing has as
BackgroundActivityNoiseFilter; its duration is `window` and 1 us. Events of one microsecond support each other in the order in
which they come. `firmware/src/background.c` is the same text in C; here the eight comparisons are three of registers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.blocks import EventFormat
from pipeline.capacity import Capacity
from pipeline.events.filtering import EventStage, require_sensor
from pipeline.events.surface import AHEAD, LONGEST_US, ROWS, TICK_BITS, fetch_around, refresh, supporters
from pipeline.fixed import kernel
from pipeline.layout import blank, layout
from pipeline.stage import Design, Parameters

MARGIN = 1


@dataclass(frozen=True)
class BackgroundParameters(Parameters):
    """Parameters in physical units.

    Attributes
    ----------
    window_us : int
        How long ago a neighbour's event may be, 1 to 1,000,000.
    neighbours : int
        How many neighbours must have had one, 1 to 8.
    """

    window_us: int = 2000
    neighbours: int = 1

    def __post_init__(self) -> None:
        self.require("window_us", 1 <= self.window_us <= LONGEST_US, f"choose 1 to {LONGEST_US} us")
        self.require("neighbours", 1 <= self.neighbours <= 8, "choose 1 to 8")


@kernel
def process(  # type: ignore[no-untyped-def]
    window, neighbours, width, height, tick, last, outside, t, x, y, p, out_t, out_x, out_y, out_p, count,
):  # fmt: skip
    """Copy the events that have support; return how many."""
    n, one = np.uint64(0), np.uint64(1)
    for i in range(np.uint64(count)):
        later = min(i + np.uint64(AHEAD), np.uint64(count) - one)
        fetch_around(last, y[later], x[later])
        column, row = np.uint64(x[i]), np.uint64(y[i])
        if column >= width or row >= height:
            outside[0] += np.uint32(1)
            continue
        now, now_tick = np.uint32(t[i]), np.uint32((t[i] >> TICK_BITS) + 1)
        if now_tick != tick[0]:
            refresh(tick, last, np.int64(height) + 2 * MARGIN, now_tick, now)
        near = supporters(last, row, column, now, window)
        last[row + one, column + one] = now
        out_t[n], out_x[n], out_y[n], out_p[n] = t[i], x[i], y[i], p[i]
        n += np.uint64(near >= neighbours)
    return np.int64(n)


class Background(EventStage):
    """Background-activity filter; see the module."""

    name = "background"
    Parameters = BackgroundParameters
    kernel = staticmethod(process)

    @classmethod
    def tables_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_background_tables``."""
        return layout(window="u4", neighbours="u4", width="u4", height="u4")

    @classmethod
    def state_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_background_state``."""
        surface = (capacity.rows + 2 * MARGIN, capacity.columns + 2 * MARGIN)
        return layout(tick="u4", last=("u4", surface), outside="u4")  # a number after the surface, as `supporters` needs one

    @classmethod
    def design(cls, parameters: BackgroundParameters, signal: EventFormat, capacity: Capacity) -> Design:
        """Take the parameters over."""
        require_sensor(signal, ROWS - 2 * MARGIN)
        tables = blank(cls.tables_layout(capacity))
        tables["window"], tables["neighbours"] = parameters.window_us, parameters.neighbours
        tables["width"], tables["height"] = signal.width, signal.height
        return Design(tables, signal, {"time surface, bytes": 4 * (signal.width + 2) * (signal.height + 2)})

    @classmethod
    def examples(cls) -> Iterator[Any]:
        """Yield one neighbour and several."""
        yield BackgroundParameters(window_us=200)
        yield BackgroundParameters(window_us=1000, neighbours=3)
