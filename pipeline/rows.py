"""Rows of int16 that fill no whole number of registers: moved, multiplied and looked through with `lanes`."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from pipeline import lanes
from pipeline.across import copy
from pipeline.fixed import inlined, merged
from pipeline.lanes import WIDTH, WIDTH16, address, many, operation


@operation
def last(_context: Any, value: Any, count: Any) -> Any:  # noqa: ARG001
    """Return the last `count` lanes of `value`, and 0 in those before."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        given, number = arguments
        place = ir.Constant(given.type, list(range(value.count)))
        first = many(builder, builder.sub(ir.Constant(number.type, value.count), number), given.type)
        return builder.select(builder.icmp_signed(">=", place, first), given, ir.Constant(given.type, [0] * value.count))

    return value(value, types.int64), generate


@operation
def _copy(_context: Any, source: Any, row: Any, target: Any, target_row: Any, rows: Any) -> Any:  # noqa: ARG001
    """Copy whole rows of the same length and type from one array to another, without gaps in either."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        given, row, result, target_row, rows = arguments
        zero = ir.Constant(row.type, 0)
        sink, *_ = address(context, builder, signature.args[2], 1, result, target_row, zero)
        origin, *_ = address(context, builder, signature.args[0], 1, given, row, zero)
        stride = cgutils.unpack_tuple(builder, context.make_array(signature.args[0])(context, builder, given).strides, 2)[0]
        cgutils.raw_memcpy(builder, sink, origin, builder.mul(rows, stride), 1)
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp, types.intp), generate


@inlined
def move(source, row, target, target_row, rows, columns):  # type: ignore[no-untyped-def]
    """Copy rows of `columns` int16 between arrays without gaps."""
    if source.shape[1] == columns and target.shape[1] == columns:
        _copy(source, row, target, target_row, rows)
    else:
        copy(source, row, 0, target, target_row, 0, rows, columns)


@inlined
def _products(a, b):  # type: ignore[no-untyped-def]
    """Return the sums of four products each, int64, less 2: four times -32768 squared twice, which leaves int32, does not then."""
    return lanes.widened(lanes.pair_products(a, b) - 1)


@merged
def dot(a, row, column, b, b_row, b_column, count):  # type: ignore[no-untyped-def]
    """Return the sum of products of any number of int16 of two rows, int64."""
    result = np.int64(0)
    if count < WIDTH16:
        for m in range(count):
            result += np.int64(a[row, column + m]) * np.int64(b[b_row, b_column + m])
        return result
    sums = lanes.splat64(0)
    for m in range(0, count - WIDTH16 + 1, WIDTH16):
        sums = sums + _products(lanes.load16(a, row, column + m), lanes.load16(b, b_row, b_column + m))
    # the rest lies at the end of one more register, which overlaps those before
    end = count - WIDTH16
    rest = last(lanes.load16(a, row, column + end), count % WIDTH16)
    sums = sums + _products(rest, lanes.load16(b, b_row, b_column + end))
    return lanes.total(sums) + WIDTH * (count // WIDTH16 + 1)


@merged
def beyond(a, row, column, count, flip, level):  # type: ignore[no-untyped-def]
    """Return whether any of `count` int16 of a row is `level` or more; with `flip` -1 and not 0, -`level` or less.

    Fewer than `WIDTH16` are not looked at: then there may be.
    """
    if count < WIDTH16:
        return True
    most = lanes.load16(a, row, column + count - WIDTH16) ^ flip  # ^ -1 is -1 - a
    for m in range(0, count - WIDTH16, WIDTH16):
        most = lanes.larger(most, lanes.load16(a, row, column + m) ^ flip)
    return np.int64(lanes.most(most)) >= level + flip
