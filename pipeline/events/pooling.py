"""Pooling to a coarse grid: each cell, for each polarity, is a leaky integrate-and-fire neuron that its pixels' events drive.

    at an event of the cell:   v <- v exp(-dt / tau) + 1;      if v >= threshold:  an event of the cell,  v <- v - threshold

With a threshold of 1 every event passes, only its place is coarser; with more, v is a low-pass of the cell's event rate, and
lone events leak away. v has 8 fractional bits. The decay is a product of two entries of tables with 15 fractional bits, for dt
in steps of 2**`step` us, the first 64 multiples of one step and of 64 steps; each product is rounded down. The rest of dt below
a step is kept for the next event. `firmware/src/pooling.c` is the same text in C.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.blocks import EventFormat
from pipeline.capacity import Capacity
from pipeline.events.filtering import EventStage, require_sensor
from pipeline.events.surface import ROWS, TICK_BITS, refresh
from pipeline.fixed import kernel, quantise, require_fits
from pipeline.layout import blank, layout
from pipeline.stage import Design, Parameters

ENTRIES = 64  # of each table
ONE = 256  # an event, in v
MOST = 100


@dataclass(frozen=True)
class PoolingParameters(Parameters):
    """Parameters in physical units.

    Attributes
    ----------
    cell : int
        Pixels of a cell along x and along y, 1 to 256.
    tau_us : float
        Time constant of the leak, 10 to 50,000.
    threshold : float
        Events at once that make a cell fire, 1 to 100.
    """

    cell: int = 20
    tau_us: float = 200.0
    threshold: float = 4.0

    def __post_init__(self) -> None:
        self.require("cell", 1 <= self.cell <= 256, "choose 1 to 256 pixels")
        self.require("tau_us", 10 <= self.tau_us <= 50_000, "choose 10 to 50,000 us")
        self.require("threshold", 1 <= self.threshold <= MOST, f"choose 1 to {MOST} events")


@kernel
def process(  # type: ignore[no-untyped-def]
    cell, step, threshold, width, height, coarse, fine, tick, outside, last, v, t, x, y, p, out_t, out_x, out_y, out_p, count,
):  # fmt: skip
    """Drive the cells with events; write what they fire and return how many."""
    n = np.uint64(0)
    plane = np.uint64(last.shape[0] // 2)
    for i in range(np.uint64(count)):
        column, row = np.uint64(x[i]), np.uint64(y[i])
        if column >= width or row >= height:
            outside[0] += np.uint32(1)
            continue
        now, now_tick = np.uint32(t[i]), np.uint32((t[i] >> TICK_BITS) + 1)
        if now_tick != tick[0]:
            refresh(tick, last, last.shape[0], now_tick, now)
        column, row = column // np.uint64(cell), row // np.uint64(cell)
        at = row + plane * np.uint64(p[i] != 0)
        past = np.uint32(now - last[at, column]) >> step
        level = np.uint32(v[at, column])
        if past >= np.uint32(ENTRIES * ENTRIES):
            level = np.uint32(0)
            last[at, column] = now
        else:
            level = np.uint32(level * coarse[past >> np.uint32(6)]) >> np.uint32(15)
            level = np.uint32(level * fine[past & np.uint32(63)]) >> np.uint32(15)
            last[at, column] += np.uint32(past << step)
        level += np.uint32(ONE)
        fires = level >= threshold
        v[at, column] = np.uint32(level - threshold) if fires else level
        out_t[n], out_x[n], out_y[n], out_p[n] = t[i], np.uint16(column), np.uint16(row), p[i]
        n += np.uint64(fires)
    return np.int64(n)


class Pooling(EventStage):
    """Pooling to a coarse grid; see the module."""

    name = "pooling"
    Parameters = PoolingParameters
    kernel = staticmethod(process)

    @classmethod
    def tables_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_pooling_tables``."""
        scalars = dict.fromkeys(("cell", "step", "threshold", "width", "height"), "u4")
        return layout(**scalars, coarse=("u4", ENTRIES), fine=("u4", ENTRIES))

    @classmethod
    def state_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_pooling_state``: as many cells as pixels, those of brighter events below the others."""
        cells = (2 * capacity.rows, capacity.columns)
        return layout(tick="u4", outside="u4", last=("u4", cells), v=("u4", cells))

    @classmethod
    def design(cls, parameters: PoolingParameters, signal: EventFormat, capacity: Capacity) -> Design:
        """Tabulate the decay; v stays below threshold + 1, and its product with a factor of at most 1 within 32 bits."""
        p = parameters
        require_sensor(signal, ROWS // 2)
        require_fits("v", (p.threshold + 1) * ONE * 2.0**15, 33)
        step = 0
        while ENTRIES * ENTRIES << step < 12 * p.tau_us:
            step += 1
        tables = blank(cls.tables_layout(capacity))
        tables["cell"], tables["step"], tables["threshold"] = p.cell, step, round(p.threshold * ONE)
        tables["width"], tables["height"] = signal.width, signal.height
        for name, multiple in (("coarse", ENTRIES << step), ("fine", 1 << step)):
            tables[name] = quantise(np.exp(-multiple * np.arange(ENTRIES) / p.tau_us), 15)
        size = (-(-signal.width // p.cell), -(-signal.height // p.cell))
        given = EventFormat(*size, signal.pitch_um * p.cell)
        return Design(tables, given, {"cells": 2 * size[0] * size[1], "decay, steps of us": 1 << step})

    @classmethod
    def examples(cls) -> Iterator[Any]:
        """Yield a low-pass, and one that only makes the grid coarser."""
        yield PoolingParameters(cell=4)
        yield PoolingParameters(cell=3, tau_us=30_000, threshold=2.5)
        yield PoolingParameters(cell=7, threshold=1)
