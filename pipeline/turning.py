"""Frames of channels turned into channels of frames, and back, a register at a time: see `lanes`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numba import types

from pipeline.lanes import WIDTH, WIDTH16, address, operation, shuffled

ALL, LOW, HIGH = (list(range(*ends)) for ends in ((WIDTH16,), (WIDTH,), (WIDTH, WIDTH16)))
TWOS = [r + half for r in range(WIDTH) for half in (0, WIDTH)]  # the rows of two halves of each register


def _turned(builder: Any, rows: list[Any]) -> list[Any]:
    """Exchange rows and columns of eight registers of 2 x 8 int16, each half by itself, by three rounds of interleaving."""
    halves = [[8 * (i // 8) + (i % 8) // 2 + 16 * (i % 2) + up for i in range(16)] for up in (0, 4)]
    for _ in range(3):
        pairs = [(rows[i], rows[i + 4]) for i in range(4)]
        rows = [shuffled(builder, a, b, half) for a, b in pairs for half in halves]
    return rows


def _places(context: Any, builder: Any, kind: Any, given: tuple[Any, Any, Any], count: int, rows: list[int]) -> Iterator[Any]:
    """Say where `count` int16 from the `given` (array, row, column) on lie, that many rows further."""
    array, row, column = given
    for r in rows:
        yield address(context, builder, kind, count, array, builder.add(row, row.type(r)), column)[0]


@operation
def turn_in(_context: Any, source: Any, row: Any, column: Any, target: Any, line: Any, at: Any) -> Any:  # noqa: ARG001
    """Set ``target[line + c, at + r] = source[row + r, column + c]`` for `WIDTH16` rows and `WIDTH` columns of int16."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        places = _places(context, builder, signature.args[0], arguments[:3], WIDTH, TWOS)
        parts = (builder.load(place, align=2) for place in places)
        rows = [shuffled(builder, low, high, ALL) for low, high in zip(parts, parts, strict=True)]
        lines = _places(context, builder, signature.args[3], arguments[3:], WIDTH16, LOW)
        for turned, place in zip(_turned(builder, rows), lines, strict=True):
            builder.store(turned, place, align=2)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, target, types.intp, types.intp), generate


@operation
def turn_out(_context: Any, source: Any, line: Any, at: Any, target: Any, row: Any, column: Any) -> Any:  # noqa: ARG001
    """Set ``target[row + r, column + c] = source[line + c, at + r]`` for `WIDTH16` rows and `WIDTH` columns of int16."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        places = _places(context, builder, signature.args[0], arguments[:3], WIDTH16, LOW)
        lines = [builder.load(place, align=2) for place in places]
        parts = (shuffled(builder, turned, turned, half) for turned in _turned(builder, lines) for half in (LOW, HIGH))
        rows = _places(context, builder, signature.args[3], arguments[3:], WIDTH, TWOS)
        for part, place in zip(parts, rows, strict=True):
            builder.store(part, place, align=2)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, target, types.intp, types.intp), generate
