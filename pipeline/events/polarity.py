"""Polarity selection: keep brighter events, darker events, or both, and exchange the two where a sensor counts them the other way.

`firmware/src/polarity.c` is the same text in C.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.blocks import EventFormat
from pipeline.capacity import Capacity
from pipeline.events.filtering import EventStage
from pipeline.fixed import kernel
from pipeline.layout import blank, layout
from pipeline.stage import Design, Parameters

KEPT = {"off": 1, "on": 2, "both": 3}  # a bit for each polarity


@dataclass(frozen=True)
class PolarityParameters(Parameters):
    """Parameters.

    Attributes
    ----------
    keep : str
        "on" (brighter), "off" (darker) or "both".
    invert : bool
        Exchange the polarities of what is kept.
    """

    keep: str = "both"
    invert: bool = False

    def __post_init__(self) -> None:
        self.require("keep", self.keep in KEPT, f"choose one of {', '.join(KEPT)}")


@kernel
def process(kept, invert, dropped, t, x, y, p, out_t, out_x, out_y, out_p, count):  # type: ignore[no-untyped-def]
    """Copy the events of the polarities that are kept; return how many."""
    n = np.uint64(0)
    for i in range(np.uint64(count)):
        polarity = np.uint32(p[i] != 0)
        out_t[n], out_x[n], out_y[n], out_p[n] = t[i], x[i], y[i], np.uint8(polarity ^ invert)
        n += np.uint64((kept >> polarity) & np.uint32(1))
    dropped[0] += np.uint32(np.uint64(count) - n)
    return np.int64(n)


class Polarity(EventStage):
    """Polarity selection; see the module."""

    name = "polarity"
    grows = False
    Parameters = PolarityParameters
    kernel = staticmethod(process)

    @classmethod
    def tables_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_polarity_tables``."""
        return layout(kept="u4", invert="u4")

    @classmethod
    def state_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_polarity_state``."""
        return layout(dropped="u4")

    @classmethod
    def design(cls, parameters: PolarityParameters, signal: EventFormat, capacity: Capacity) -> Design:
        """Take the parameters over."""
        tables = blank(cls.tables_layout(capacity))
        tables["kept"], tables["invert"] = KEPT[parameters.keep], parameters.invert
        return Design(tables, signal)

    @classmethod
    def examples(cls) -> Iterator[Any]:
        """Yield every choice."""
        yield PolarityParameters("on")
        yield PolarityParameters("off", invert=True)
        yield PolarityParameters()
