"""Registers of int16 and their pairs: two int16 side by side are one lane of int32, and processors multiply and add both at once.

`zipped` and `packed` keep the order that processors do this in, which is not that of the channels: eight of sixteen lanes are 0
to 3 and 8 to 11, the others 4 to 7 and 12 to 15. `packed` takes it back, and `crossed` brings lanes of int32 into it and out of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from pipeline.fixed import INT16_MAX, INT16_MIN, inlined
from pipeline.lanes import LANES16, WIDTH, WIDTH16, held, lanes, lanes16, load16, many, operation, shuffled, splat, store, vector

QUARTER = WIDTH16 // 4


def _turned(kind: Any, to: Any) -> Callable[..., Any]:
    def function(_context: Any, a: Any) -> Any:
        def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], to)

        return kind(a), generate

    return function


halves = operation(_turned(lanes16, LANES16))  # (int32 lanes): each as two int16, the low one first


@inlined
def splat_pair(a, b):  # type: ignore[no-untyped-def]
    """Return the int16 a and b, `WIDTH` times in turn."""
    return halves(splat(np.int32(np.int32(b) << np.int32(16)) | (np.int32(a) & np.int32(0xFFFF))))


@operation
def load_pair(_context: Any, array: Any, row: Any) -> Any:  # noqa: ARG001
    """Return the int16 ``array[row], array[row + 1]``, `WIDTH` times in turn."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(32).as_pointer())
        return builder.bitcast(many(builder, builder.load(pointer, align=2)), LANES16)

    return lanes16(array, types.intp), generate


def _two(kind: Any, first: list[int], second: list[int]) -> Callable[..., Any]:
    """Return the making of ``(a, b)``: two registers with these lanes of both."""

    def function(_context: Any, a: Any, b: Any) -> Any:
        result = types.UniTuple(kind, 2)

        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            values = [shuffled(builder, arguments[0], arguments[1], numbers) for numbers in (first, second)]
            return context.make_tuple(builder, result, values)

        return result(a, b), generate

    return function


_PARTS = [[p + i for p in (first, first + WIDTH16 // 2) for i in range(QUARTER)] for first in (0, QUARTER)]
zipped = operation(_two(lanes16, *([i + up for i in part for up in (0, WIDTH16)] for part in _PARTS)))  # (a, b): pairs of lanes
_CROSSED = [[first + i for first in (up, up + WIDTH) for i in range(QUARTER)] for up in (0, QUARTER)]
crossed = operation(_two(lanes, *_CROSSED))  # (a, b): the lower halves of both, the upper halves of both; twice is as before


@operation
def odd_from(_context: Any, a: Any, b: Any) -> Any:
    """Return the even lanes of a, the odd ones of b."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return shuffled(builder, arguments[0], arguments[1], [i + WIDTH16 * (i % 2) for i in range(WIDTH16)])

    return lanes16(a, b), generate


@operation
def packed(_context: Any, a: Any, b: Any) -> Any:
    """Return the int32 lanes of two registers in one of int16, held within the range; in the order that `zipped` takes apart."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        value = shuffled(builder, arguments[0], arguments[1], _CROSSED[0] + _CROSSED[1])
        least, most = (ir.Constant(vector(32, WIDTH16), [end] * WIDTH16) for end in (INT16_MIN, INT16_MAX))
        return builder.trunc(held(builder, value, least, most), LANES16)

    return lanes16(a, b), generate


@inlined
def spread(source, target, rows, columns):  # type: ignore[no-untyped-def]
    """Copy rows of fewer than `WIDTH16` int16 to rows of `WIDTH16`, or back; what the long rows hold beyond is of no meaning.

    Whole registers are moved: they take in the short rows that follow, or are written over by these; the last go one by one.
    """
    whole = max(0, (rows * columns - WIDTH16) // columns + 1)
    if min(source.shape[1], target.shape[1]) > columns:  # something else lies between the short rows
        whole = 0
    for n in range(whole):
        store(target, n, 0, load16(source, n, 0))
    for n in range(whole, rows):
        for c in range(columns):
            target[n, c] = source[n, c]
