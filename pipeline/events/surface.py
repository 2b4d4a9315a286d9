"""Time surfaces: for each pixel the time of its last event, on a clock of 32 bits that wraps every 71.6 minutes.

The age of an entry is the clock minus the entry, modulo 2**32, which is right for as long as no entry grows older than that. So
one row is looked through at every tick of 2**19 us, and what is older than `LONG` is moved up to `LONG`: with at most `ROWS`
rows, each is seen every 17.9 minutes, and no age passes 2**31 us. After a longer silence, and before the first event, the whole
surface is set to `LONG` ago. Ages up to `LONG` are exact; times that a stage compares them with are at most `LONGEST_US`.

A surface has a margin around the sensor, so that neighbours need no test for the border.
`firmware/include/bitspike/surface.h` is the same text in C. What follows after `refresh` is for processors with vector registers
and caches: a surface of a large sensor is fetched from afar, three lines of memory an event.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from pipeline.fixed import linked

TICK_BITS = 19
ROWS = 2048  # a power of two
LONG = 1 << 30  # microseconds
LONGEST_US = 1_000_000
AHEAD = 8  # events that what belongs to a pixel is fetched ahead


@linked
def refresh(tick, surface, rows, now_tick, now):  # type: ignore[no-untyped-def]
    """Keep the ages in `surface` exact now that the tick is another one.

    tick: uint32 [1], the last tick seen and 1, 0 before the first event.  surface: uint32 [rows or more, columns].  now_tick:
    uint32, the present tick and 1; now: uint32, the clock.
    """
    past = np.uint32(now_tick - tick[0])
    old = np.uint32(now - np.uint32(LONG))
    if tick[0] == np.uint32(0) or past >= np.uint32(ROWS):
        for r in range(rows):
            for c in range(surface.shape[1]):
                surface[r, c] = old
    else:
        for k in range(past):
            row = np.int64(np.uint32(tick[0] + np.uint32(k)) & np.uint32(ROWS - 1))
            if row < rows:
                for c in range(surface.shape[1]):
                    if np.uint32(now - surface[row, c]) > np.uint32(LONG):
                        surface[row, c] = old
    tick[0] = now_tick


_operation: Any = intrinsic
_WORD, _BYTES = ir.IntType(32), ir.IntType(8).as_pointer()
_FOUR = ir.VectorType(_WORD, 4)
_AROUND = ([-1, -1, -1, 0], [-1, 0, -1, 0], [-1, -1, -1, 0])  # of three rows of four: the eight around the second of the second


def _rows(context: Any, builder: Any, kind: Any, surface: Any, row: Any, column: Any) -> list[Any]:
    """Return pointers to ``surface[row, column]`` and to what is below and twice below it."""
    array = context.make_array(kind)(context, builder, surface)
    first = cgutils.get_item_pointer(context, builder, kind, array, [row, column])
    stride = cgutils.unpack_tuple(builder, array.strides, 2)[0]
    second = cgutils.pointer_add(builder, first, stride)
    return [first, second, cgutils.pointer_add(builder, second, stride)]


@_operation
def fetch_around(_context: Any, surface: Any, row: Any, column: Any) -> Any:  # noqa: ARG001
    """Ask for the lines of memory with the place ``surface[row + 1, column + 1]`` and its neighbours, without waiting for them.

    surface: uint32 [rows, columns].  row, column: uint64; they may lie anywhere.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        given, row, column = arguments
        column = builder.add(column, column.type(1))
        kind = ir.FunctionType(ir.VoidType(), [_BYTES, _WORD, _WORD, _WORD])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        for pointer in _rows(context, builder, signature.args[0], given, row, column):
            builder.call(prefetch, [builder.bitcast(pointer, _BYTES), _WORD(0), _WORD(3), _WORD(1)])  # to read, often, as data
        return context.get_dummy_value()

    return types.void(surface, types.uint64, types.uint64), generate


@_operation
def supporters(_context: Any, surface: Any, row: Any, column: Any, now: Any, window: Any) -> Any:  # noqa: ARG001
    """Return how many of the eight around ``surface[row + 1, column + 1]`` are not more than `window` before `now`: uint32.

    Three registers of four are compared instead of eight numbers; the fourth of a row is not looked at, but must be there: one
    number more than the surface has, after the last row.  surface: uint32 [rows, columns].  row, column: uint64.  now, window:
    uint32.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        given, row, column, now, window = arguments
        clock, longest = (_four_times(builder, value) for value in (now, window))
        count = ir.Constant(_FOUR, [0] * 4)
        for pointer, places in zip(_rows(context, builder, signature.args[0], given, row, column), _AROUND, strict=True):
            last = builder.load(builder.bitcast(pointer, _FOUR.as_pointer()), align=4)
            near = builder.sext(builder.icmp_unsigned("<=", builder.sub(clock, last), longest), _FOUR)
            count = builder.sub(count, builder.and_(near, ir.Constant(_FOUR, places)))
        for other in ([2, 3, 0, 1], [1, 0, 3, 2]):
            count = builder.add(count, builder.shuffle_vector(count, count, ir.Constant(_FOUR, other)))
        return builder.extract_element(count, _WORD(0))

    return types.uint32(surface, types.uint64, types.uint64, types.uint32, types.uint32), generate


def _four_times(builder: Any, value: Any) -> Any:
    one = builder.insert_element(ir.Constant(_FOUR, ir.Undefined), value, _WORD(0))
    return builder.shuffle_vector(one, one, ir.Constant(_FOUR, [0] * 4))
