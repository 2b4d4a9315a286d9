"""Region of interest and mounting: crop the sensor, then exchange its axes, then mirror them.

    inside  <=>  left <= x < left + w  and  top <= y < top + h
    (u, v) = (x - left, y - top),  exchanged if `transpose`,  then u -> width - 1 - u if `flip_x`,  v -> height - 1 - v if `flip_y`

so that whichever way a camera is mounted, what follows sees the flow along x. The width and height that mirror are those after the
exchange. `firmware/src/region.c` is the same text in C.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.blocks import EventFormat
from pipeline.capacity import Capacity
from pipeline.errors import BitspikeError
from pipeline.events.filtering import EventStage
from pipeline.fixed import kernel
from pipeline.layout import blank, layout
from pipeline.stage import Design, Parameters


@dataclass(frozen=True)
class RegionParameters(Parameters):
    """Parameters in pixels of the sensor.

    Attributes
    ----------
    left, top : int
        First column and row of the region.
    width, height : int
        Columns and rows of the region; 0 is all that there are from `left` or `top` on.
    transpose : bool
        Exchange x and y.
    flip_x, flip_y : bool
        Mirror x, or y, afterwards.
    """

    left: int = 0
    top: int = 0
    width: int = 0
    height: int = 0
    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    def __post_init__(self) -> None:
        for name in ("left", "top", "width", "height"):
            self.require(name, 0 <= getattr(self, name) <= 1 << 14, "choose 0 to 16384")


@kernel
def process(  # type: ignore[no-untyped-def]
    left, top, width, height, transpose, flip_x, flip_y, outside, t, x, y, p, out_t, out_x, out_y, out_p, count,
):  # fmt: skip
    """Copy the events inside to their new places; return how many."""
    n = np.uint64(0)
    for i in range(np.uint64(count)):
        u, v = np.uint32(np.uint32(x[i]) - left), np.uint32(np.uint32(y[i]) - top)  # what is before the region wraps beyond it
        inside = u < width and v < height
        if transpose != 0:
            mirrored_u = np.uint32(height - np.uint32(1) - v) if flip_x != 0 else v
            mirrored_v = np.uint32(width - np.uint32(1) - u) if flip_y != 0 else u
        else:
            mirrored_u = np.uint32(width - np.uint32(1) - u) if flip_x != 0 else u
            mirrored_v = np.uint32(height - np.uint32(1) - v) if flip_y != 0 else v
        out_t[n], out_x[n], out_y[n], out_p[n] = t[i], np.uint16(mirrored_u), np.uint16(mirrored_v), p[i]
        n += np.uint64(inside)
    outside[0] += np.uint32(np.uint64(count) - n)
    return np.int64(n)


class Region(EventStage):
    """Region of interest and mounting; see the module."""

    name = "region"
    grows = False
    Parameters = RegionParameters
    kernel = staticmethod(process)

    @classmethod
    def tables_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_region_tables``."""
        return layout(**dict.fromkeys(("left", "top", "width", "height", "transpose", "flip_x", "flip_y"), "u4"))

    @classmethod
    def state_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_region_state``."""
        return layout(outside="u4")

    @classmethod
    def design(cls, parameters: RegionParameters, signal: EventFormat, capacity: Capacity) -> Design:
        """Hold the region against the sensor."""
        p = parameters
        width, height = p.width or signal.width - p.left, p.height or signal.height - p.top
        if width < 1 or p.left + width > signal.width:
            raise BitspikeError(f"left, width: columns {p.left} to {p.left + width} are not on a sensor of {signal.width}")
        if height < 1 or p.top + height > signal.height:
            raise BitspikeError(f"top, height: rows {p.top} to {p.top + height} are not on a sensor of {signal.height}")
        tables = blank(cls.tables_layout(capacity))
        tables["left"], tables["top"], tables["width"], tables["height"] = p.left, p.top, width, height
        tables["transpose"], tables["flip_x"], tables["flip_y"] = p.transpose, p.flip_x, p.flip_y
        size = (height, width) if p.transpose else (width, height)
        return Design(tables, signal.with_(width=size[0], height=size[1]))

    @classmethod
    def examples(cls) -> Iterator[Any]:
        """Yield a crop, and crops that are turned."""
        yield RegionParameters(left=3, top=2, width=6, height=4)
        yield RegionParameters(left=1, transpose=True, flip_x=True)
        yield RegionParameters(top=1, flip_x=True, flip_y=True)
        yield RegionParameters(height=5, transpose=True, flip_y=True)
