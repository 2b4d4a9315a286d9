"""Frames of channels turned into channels of frames, and back, a register at a time: see `lanes`."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from pipeline.lanes import WIDTH, WIDTH16, _operation, address, vector


def _turned(builder: Any, rows: list[Any]) -> list[Any]:
    """Exchange rows and columns of eight registers of 2 x 8 int16, each half by itself, by three rounds of interleaving."""
    halves = [[8 * (i // 8) + (i % 8) // 2 + 16 * (i % 2) + up for i in range(16)] for up in (0, 4)]
    for _ in range(3):
        pairs = [(rows[i], rows[i + 4]) for i in range(4)]
        rows = [builder.shuffle_vector(a, b, ir.Constant(vector(32, 16), half)) for a, b in pairs for half in halves]
    return rows


@_operation
def turn_in(_context: Any, source: Any, row: Any, column: Any, target: Any, line: Any, at: Any) -> Any:  # noqa: ARG001
    """Set ``target[line + c, at + r] = source[row + r, column + c]`` for `WIDTH16` rows and `WIDTH` columns of int16."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        given, row, column, result, line, at = arguments
        rows = []
        for r in range(WIDTH):
            halves = []
            for half in (r, r + WIDTH):
                place = builder.add(row, ir.Constant(row.type, half))
                pointer, _, size = address(context, builder, signature.args[0], WIDTH, given, place, column)
                halves.append(builder.load(pointer, align=size))
            rows.append(builder.shuffle_vector(*halves, ir.Constant(vector(32, 16), list(range(16)))))
        for c, turned in enumerate(_turned(builder, rows)):
            place = builder.add(line, ir.Constant(line.type, c))
            pointer, _, size = address(context, builder, signature.args[3], WIDTH16, result, place, at)
            builder.store(turned, pointer, align=size)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, target, types.intp, types.intp), generate


@_operation
def turn_out(_context: Any, source: Any, line: Any, at: Any, target: Any, row: Any, column: Any) -> Any:  # noqa: ARG001
    """Set ``target[row + r, column + c] = source[line + c, at + r]`` for `WIDTH16` rows and `WIDTH` columns of int16."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        given, line, at, result, row, column = arguments
        lines = []
        for c in range(WIDTH):
            place = builder.add(line, ir.Constant(line.type, c))
            pointer, _, size = address(context, builder, signature.args[0], WIDTH16, given, place, at)
            lines.append(builder.load(pointer, align=size))
        for r, turned in enumerate(_turned(builder, lines)):
            for half in (0, WIDTH):
                part = builder.shuffle_vector(turned, turned, ir.Constant(vector(32, WIDTH), list(range(half, half + WIDTH))))
                place = builder.add(row, ir.Constant(row.type, r + half))
                pointer, _, size = address(context, builder, signature.args[3], WIDTH, result, place, column)
                builder.store(part, pointer, align=size)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, target, types.intp, types.intp), generate
