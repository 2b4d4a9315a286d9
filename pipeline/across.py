"""A filter of a few registers of channels taken over all channels, tile by tile, for any number of them. See `lanes`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from pipeline.fixed import inlined
from pipeline.lanes import WIDTH, address, operation
from pipeline.memory import scratch

LINE = 32  # int16 of one line of memory
TILE = 64  # frames that are worked on for all channels before going on, so that they are still in the cache


@operation
def fetch(_context: Any, array: Any, row: Any, column: Any) -> Any:  # noqa: ARG001
    """Ask for the line of memory with ``array[row, column]``, which may lie anywhere, without waiting for it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = address(context, builder, signature.args[0], 1, *arguments)[0]
        byte, hint = ir.IntType(8).as_pointer(), [ir.IntType(32)(value) for value in (0, 3, 1)]  # to read, often, as data
        kind = ir.FunctionType(ir.VoidType(), [byte, *(value.type for value in hint)])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [builder.bitcast(pointer, byte), *hint])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), generate


@inlined
def fetch_first(x, frames):  # type: ignore[no-untyped-def]
    """Ask for the memory of the first `TILE` frames in order, as it is slow at columns; what follows is asked for tile by tile."""
    for ahead in range(0, min(frames, TILE) * x.shape[1], LINE):
        fetch(x, 0, ahead)


@inlined
def copy(source, row, column, target, target_row, target_column, rows, columns):  # type: ignore[no-untyped-def]
    """Copy ``rows x columns`` values: channels that do not fill a register are worked on in an array that does."""
    for n in range(rows):
        for c in range(columns):
            target[target_row + n, target_column + c] = source[row + n, column + c]


def across(
    run: Callable[..., Any],
    rows: int,
    kind: Any = np.int32,
    run_wide: Callable[..., Any] | None = None,
    run_narrow: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """Return ``apply(tables, state, x, y, frames, channels)``, which takes `run` over all channels.

    y must not be x: where the channels leave a rest, the last register overlaps one before, so that some are filtered twice.

    Parameters
    ----------
    run : callable
        Inlined ``run(tables, state, x, y, first, last, column)``: filters frames `first` to `last` - 1 of `WIDTH` channels from
        `column` on, x: int16 [frames, channels] -> y, and leaves in state: `kind` [rows, channels] what the next frame needs. It
        may look at the frames before, if they are in x, and `fetch` those a `TILE` later. `tables` is a tuple of what it likes.
    rows : int
        Rows of the state that `run` uses.
    kind : type
        Of the state: np.int32 or np.int16.
    run_wide : callable, optional
        The same for 2 `WIDTH` channels, which takes as many of them as it can.
    run_narrow : callable, optional
        The same for `WIDTH` / 2 channels, which takes a rest of so many.
    """
    wide, run_two = (0, run) if run_wide is None else (2 * WIDTH, run_wide)
    least, run_half = (0, run) if run_narrow is None else (WIDTH // 2, run_narrow)

    @inlined
    def apply(tables, state, x, y, frames, channels):  # type: ignore[no-untyped-def]
        rest, few = channels % WIDTH, channels < WIDTH
        spare = scratch((2 * TILE if few else 0, WIDTH), np.int16)
        kept = scratch((rows, WIDTH), kind)
        last = least if rest <= least else WIDTH  # channels of the last register
        fetch_first(x, frames)
        for first in range(0, frames, TILE):
            length = min(frames - first, TILE)
            if few:  # channels that fill no register are worked on in arrays that do
                copy(state, 0, 0, kept, 0, 0, rows, channels)
                copy(x, first, 0, spare, 0, 0, length, channels)
            elif rest != 0:
                copy(state, 0, channels - last, kept, 0, 0, rows, last - rest)
            c = 0 if rest == 0 else -WIDTH
            while c < channels - rest:
                if wide > 0 and c >= 0 and c + wide <= channels - rest:
                    run_two(tables, state, x, y, first, first + length, c)
                    c += wide
                    continue
                memory, given, result, begin = (kept, spare, spare[TILE:], 0) if few else (state, x, y, first)
                # the last channels may overlap those before and go first, as the state of both is then that before the tile
                if least > 0 and c < 0 and not few and last == least:
                    run_half(tables, memory, given, result, begin, begin + length, channels - last)
                else:
                    run(tables, memory, given, result, begin, begin + length, c if c >= 0 else 0 if few else channels - last)
                if c < 0 and not few:
                    copy(kept, 0, 0, state, 0, channels - last, rows, last - rest)
                c += WIDTH
            if few:
                copy(kept, 0, 0, state, 0, 0, rows, channels)
                copy(spare, TILE, 0, y, first, 0, length, channels)

    return apply
