"""Sixteen channels in two registers: twice the work for each step of a recursion, while another step waits for its result.

The type is `lanes.Lanes` of 2 `WIDTH` int32, with the same operators and functions. Its lanes are not in the channels' order: the
first register holds channels 0 to 3 and 8 to 11, the second one 4 to 7 and 12 to 15, as that is what processors' instructions for
interleaving two registers of int16 give, and what those for packing two registers into one expect. `load` and `store` see to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from pipeline.fixed import INT16_MAX, INT16_MIN, inlined
from pipeline.lanes import (
    LANES,
    LANES16,
    WIDTH,
    WIDTH16,
    Lanes,
    address,
    has_avx2,
    held,
    many,
    operation,
    pairs_multiplied,
    shuffled,
    vector,
)

wide = Lanes(32, 2)
ORDER = [i % 4 + 4 * (0, 2, 1, 3)[i // 4] for i in range(WIDTH16)]  # the channel of each lane, and the lane of each channel
# pairs of two registers' int16: those that become the first register; four lanes on, those of the second
LOW = [i // 2 % 4 + 8 * (i // 8) + 16 * (i % 2) for i in range(WIDTH16)]


@operation
def load(_context: Any, array: Any, row: Any, column: Any) -> Any:  # noqa: ARG001
    """Return ``array[row, column : column + 2 WIDTH]``, int16 or int32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer, _, size = address(context, builder, signature.args[0], wide.count, *arguments)
        value = builder.load(pointer, align=size)
        value = shuffled(builder, value, value, ORDER)
        return value if size == 4 else builder.sext(value, vector(32, wide.count))

    return wide(array, types.intp, types.intp), generate


@operation
def store(_context: Any, array: Any, row: Any, column: Any, value: Any) -> Any:  # noqa: ARG001
    """Set ``array[row, column : column + 2 WIDTH]`` (int16 or int32) to the low bits of `value`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer, elements, size = address(context, builder, signature.args[0], wide.count, *arguments[:3])
        given = arguments[3] if size == 4 else builder.trunc(arguments[3], elements)
        builder.store(shuffled(builder, given, given, ORDER), pointer, align=size)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, value), generate


@operation
def _store_held(_context: Any, array: Any, row: Any, column: Any, value: Any) -> Any:  # noqa: ARG001
    """Set ``array[row, column : column + 2 WIDTH]``, int16, to `value` held within the range of int16."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer, _, size = address(context, builder, signature.args[0], wide.count, *arguments[:3])
        given = arguments[3]
        if has_avx2(context):  # one instruction
            first, second = (shuffled(builder, given, given, list(range(i, i + WIDTH))) for i in (0, WIDTH))
            kind = ir.FunctionType(LANES16, [LANES, LANES])
            packed = builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx2.packssdw"), [first, second])
        else:
            least, most = (ir.Constant(given.type, [end] * wide.count) for end in (INT16_MIN, INT16_MAX))
            packed = builder.trunc(held(builder, given, least, most), vector(16, wide.count))
            packed = shuffled(builder, packed, packed, ORDER)
        builder.store(packed, pointer, align=size)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, value), generate


@inlined
def store_rounded(array, row, column, value, shift):  # type: ignore[no-untyped-def]
    """Set ``array[row, column : column + 2 WIDTH]``, int16, to `value` over 2**shift, rounded to nearest, held within int16."""
    half = np.int32(1) << np.int32(shift - 1)
    _store_held(array, row, column, (value + half) >> shift)


@inlined
def change(x, n, before, m, column, gain, scale):  # type: ignore[no-untyped-def]
    """Return ``(x[n] - before[m]) gain >> scale`` of 2 `WIDTH` channels from `column` on: int16 arrays, `gain` from 0 to 32767."""
    return _change(x, n, before, m, column, gain) >> scale


@operation
def _change(_context: Any, x: Any, n: Any, before: Any, m: Any, column: Any, gain: Any) -> Any:  # noqa: ARG001
    """Return ``(x[n] - before[m]) gain`` of 2 `WIDTH` channels from `column` on: int16 arrays, `gain` int32 from 0 to 32767."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, n, before, m, column, gain = arguments
        values = []
        for kind, array, row in ((signature.args[0], x, n), (signature.args[2], before, m)):
            pointer, _, size = address(context, builder, kind, WIDTH16, array, row, column)
            values.append(builder.load(pointer, align=size))
        word = ir.IntType(32)
        factors = builder.or_(builder.and_(gain, word(0xFFFF)), builder.shl(builder.neg(gain), word(16)))
        factors = builder.bitcast(many(builder, factors, LANES), LANES16)
        pairs = [shuffled(builder, values[0], values[1], [i + up for i in LOW]) for up in (0, 4)]
        first, second = (pairs_multiplied(context, builder, one, factors) for one in pairs)
        return shuffled(builder, first, second, list(range(2 * WIDTH)))

    return wide(x, types.intp, before, types.intp, types.intp, types.int32), generate
