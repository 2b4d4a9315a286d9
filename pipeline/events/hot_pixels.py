"""Hot-pixel mask: pixels that fire much more often than all around them are found at the start and left out from then on.

Over the first `learn_ms` every pixel's events are counted and passed on. Then a pixel is hot if it had at least `rate_hz` and
more than `ratio` times as many events as the busiest of its eight neighbours, and more than one: what moves through the picture
makes neighbours fire as well. From then on the events of hot pixels are dropped. The mask, a bit a pixel, survives a gap.
`firmware/src/hot_pixels.c` is the same text in C.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.blocks import EventFormat
from pipeline.capacity import Capacity
from pipeline.events.filtering import EventStage
from pipeline.fixed import kernel, linked
from pipeline.layout import blank, layout
from pipeline.stage import Design, Parameters

LEARNING, LEARNED = 1, 2  # values of the state's `phase`; 0 before the first event
HOT = 65535  # in place of a count, while the others are looked through


@dataclass(frozen=True)
class HotPixelsParameters(Parameters):
    """Parameters in physical units.

    Attributes
    ----------
    learn_ms : float
        How long events are counted, 1 to 60,000.
    rate_hz : float
        Events per second below which no pixel is hot, 1 to 1,000,000.
    ratio : int
        How many times as many events as a neighbour, 1 to 100.
    """

    learn_ms: float = 100.0
    rate_hz: float = 200.0
    ratio: int = 4

    def __post_init__(self) -> None:
        self.require("learn_ms", 1 <= self.learn_ms <= 60_000, "choose 1 to 60,000 ms")
        self.require("rate_hz", 1 <= self.rate_hz <= 1e6, "choose 1 to 1,000,000 Hz")
        self.require("ratio", 1 <= self.ratio <= 100, "choose 1 to 100")


@linked
def _learn(least, ratio, width, height, found, counts, mask):  # type: ignore[no-untyped-def]
    """Set the bits of hot pixels; one that was found no longer counts for its neighbours. Then all counts are 0."""
    for row in range(1, np.int64(height) + 1):
        for column in range(1, np.int64(width) + 1):
            mine = np.uint32(counts[row, column])
            if mine < least:
                continue
            most = np.uint32(0)
            for r in range(row - 1, row + 2):
                for c in range(column - 1, column + 2):
                    if (r != row or c != column) and counts[r, c] != HOT:
                        most = max(most, np.uint32(counts[r, c]))
            if mine > np.uint32(most * ratio) and mine > np.uint32(1):
                counts[row, column] = np.uint16(HOT)
                mask[row - 1, (column - 1) >> 3] |= np.uint8(1 << ((column - 1) & 7))
                found[0] += np.uint32(1)
    counts[:] = 0


@linked
def _count(  # type: ignore[no-untyped-def]
    learn_us, least, ratio, width, height, phase, began, found, counts, mask, t, x, y, count,
):  # fmt: skip
    """Count events until the time to learn is over; return how many came before."""
    one = np.uint64(1)
    for i in range(count):
        column, row = np.uint64(x[i]), np.uint64(y[i])
        if column >= width or row >= height:
            continue
        now = np.uint32(t[i])
        if phase[0] == np.uint32(0):
            phase[0], began[0] = np.uint32(LEARNING), now
        if np.uint32(now - began[0]) >= learn_us:
            _learn(least, ratio, width, height, found, counts, mask)
            phase[0] = np.uint32(LEARNED)
            return i
        if counts[row + one, column + one] < HOT - 1:
            counts[row + one, column + one] += np.uint16(1)
    return count


@kernel
def process(  # type: ignore[no-untyped-def]
    learn_us, least, ratio, width, height, phase, began, outside, dropped, found, counts, mask,
    t, x, y, p, out_t, out_x, out_y, out_p, count,
):  # fmt: skip
    """Copy the events of pixels that are not hot; return how many."""
    n, before, gone = np.uint64(0), np.uint64(0), np.uint32(0)
    if phase[0] != np.uint32(LEARNED):
        before = _count(
            learn_us, least, ratio, width, height, phase, began, found, counts, mask, t, x, y, np.uint64(count),
        )  # fmt: skip
    for i in range(np.uint64(count)):
        column, row = np.uint64(x[i]), np.uint64(y[i])
        if column >= width or row >= height:
            outside[0] += np.uint32(1)
            continue
        bit = (np.uint32(mask[row, column >> np.uint64(3)]) >> np.uint32(column & np.uint64(7))) & np.uint32(1)
        hot = bit if i >= before else np.uint32(0)
        out_t[n], out_x[n], out_y[n], out_p[n] = t[i], x[i], y[i], p[i]
        n += np.uint64(np.uint32(1) - hot)
        gone += hot
    dropped[0] += gone
    return np.int64(n)


class HotPixels(EventStage):
    """Hot-pixel mask; see the module."""

    name = "hot_pixels"
    Parameters = HotPixelsParameters
    kernel = staticmethod(process)
    keeps_on_gap = ("phase", "began", "found", "counts", "mask")

    @classmethod
    def tables_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_hot_pixels_tables``."""
        return layout(learn_us="u4", least="u4", ratio="u4", width="u4", height="u4")

    @classmethod
    def state_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_hot_pixels_state``."""
        scalars = dict.fromkeys(("phase", "began", "outside", "dropped", "found"), "u4")
        counts, mask = (capacity.rows + 2, capacity.columns + 2), (capacity.rows, -(-capacity.columns // 8))
        return layout(**scalars, counts=("u2", counts), mask=("u1", mask))

    @classmethod
    def design(cls, parameters: HotPixelsParameters, signal: EventFormat, capacity: Capacity) -> Design:
        """Turn the rate into a count."""
        tables = blank(cls.tables_layout(capacity))
        tables["learn_us"] = round(1000 * parameters.learn_ms)
        tables["least"] = max(1, min(HOT - 1, round(parameters.rate_hz * parameters.learn_ms / 1000)))
        tables["ratio"], tables["width"], tables["height"] = parameters.ratio, signal.width, signal.height
        return Design(tables, signal, {"events of a hot pixel while learning, least": int(tables["least"])})

    @classmethod
    def examples(cls) -> Iterator[Any]:
        """Yield a short and a longer time to learn."""
        yield HotPixelsParameters(learn_ms=2.0, rate_hz=10_000, ratio=3)
        yield HotPixelsParameters(learn_ms=4.5, rate_hz=2000, ratio=1)
