"""The decoders of a camera's words, EVT2 and EVT3, as C: on this machine or on an emulated core.

They stand before a chain where the processor sees what the sensor sends. `sensors.events.evt2` and `evt3` have the same in Python;
both give the same events and count the same damage. See ``firmware/include/bitspike/words.h``.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from pipeline.blocks import EventFormat
from pipeline.layout import Field, blank, layout

DECODERS = ("evt2", "evt3")
MOST = {"evt2": 1, "evt3": 12}  # events of one word
WORD = {"evt2": 4, "evt3": 2}  # bytes
LOOK = 4096  # BS_LOOK
ROOM = 4096  # events that a call may give
COUNTS = ("early", "outside", "unknown", "refused", "held", "triggers", "others")
EVENT = (np.int64, np.uint16, np.uint16, np.uint8)
_WORDS: dict[str, Field] = {"words.doubted": "u4", "words.waiting": "u4", "words.done": "u4", "words.parts": "u4"}


class Library(Protocol):
    """What calls a C function by its name: `native.Native` or `target.Target`."""

    name: str

    def call(self, function: str, *arguments: np.ndarray | int) -> int:
        """Call a function that returns int32; arrays go by address, integers as uint32."""


class Decoded(NamedTuple):
    """Events: t int64 in microseconds, x and y uint16, p uint8, all [n]."""

    t: np.ndarray
    x: np.ndarray
    y: np.ndarray
    p: np.ndarray


def tables_layout() -> np.dtype:
    """Return the layout of ``bs_evt2_tables`` and ``bs_evt3_tables``."""
    return layout(width="u4", height="u4")


def state_layout(name: str) -> np.dtype:
    """Return the layout of ``bs_evt2_state`` or ``bs_evt3_state``."""
    times: dict[str, Field] = {"time": "i8", "base": "i8"}
    vector: dict[str, Field] = dict.fromkeys(("x", "y", "p") if name == "evt3" else (), "u4")
    counts: dict[str, Field] = dict.fromkeys(("started", *COUNTS), "u4")
    words: dict[str, Field] = {**_WORDS, "words.part": ("u1", 4), "waited": ("u1", WORD[name] * LOOK)}
    return layout(**times, **vector, **counts, **words)


def tables_for(sensor: EventFormat) -> np.ndarray:
    """Return the tables for a sensor."""
    tables = blank(tables_layout())
    tables["width"], tables["height"] = sensor.width, sensor.height
    return tables


class Decoder:
    """A decoder that runs as C.

    Parameters
    ----------
    name : str
        One of `DECODERS`.
    sensor : EventFormat
        Size of the sensor.
    library : Library
        Where it runs.
    room : int
        Events that one call of the C may give.

    Raises
    ------
    BitspikeError
        The emulator or the compiler is not installed.
    """

    def __init__(self, name: str, sensor: EventFormat, library: Library, room: int = ROOM) -> None:
        self.name, self.room = name, max(room, MOST[name])
        self.tables, self.state = tables_for(sensor), blank(state_layout(name))
        self._library, self._taken = library, np.zeros(1, np.uint32)
        self._given = Decoded(*(np.empty(self.room, kind) for kind in EVENT))
        if library.call(f"bs_{name}_init", self.tables, self.state) != 0:
            raise ValueError(f"{name}: no decoder for {sensor.width} x {sensor.height} pixels")

    def decode(self, data: bytes | np.ndarray, final: bool = False) -> Decoded:
        """Return the events of the next bytes of the stream, which may be cut anywhere; with `final`, what waits too."""
        left, parts = np.frombuffer(data, np.uint8), [Decoded(*(np.empty(0, kind) for kind in EVENT))]
        function = f"bs_{self.name}_process"
        while True:
            held = np.ascontiguousarray(left)
            count = self._library.call(
                function, self.tables, self.state, held, *self._given, self._taken, len(left), self.room, int(final)
            )
            left = left[int(self._taken[0]) :]
            if count == 0 and not len(left):
                return Decoded(*(np.concatenate(column) for column in zip(*parts, strict=True)))
            parts.append(Decoded(*(column[:count].copy() for column in self._given)))

    def counts(self) -> dict[str, int]:
        """Return the damage so far, and what was passed over, as `sensors.events.source` names it."""
        return {name: int(self.state[name]) for name in COUNTS} | {"cut": int(self.state["words.parts"])}
