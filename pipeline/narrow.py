"""Four channels in a register, a lane of 64 bits for each: what is left where the channels fill no whole number of registers.

The type is `lanes64`, with the operators and functions of `pipeline.lanes`. Values are those of int32: the low half of a lane is
the value, the high half may hold anything, as `two_products` and `store_rounded` do not look at it. So the sum of two products
needs no sorting of even and odd channels, and a recursion has its next value sooner than with eight channels.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from pipeline.fixed import INT16_MAX, INT16_MIN
from pipeline.lanes import address, held, lanes64, loader, many, operation, vector
from pipeline.lanes import store as store  # the same for four lanes

COUNT = lanes64.count
INT32S = vector(32, COUNT)
load = operation(loader(lanes64))  # (array, row, column): ``array[row, column : column + COUNT]``, int16 or int32


@operation
def change(_context: Any, x: Any, n: Any, before: Any, m: Any, column: Any, gain: Any, scale: Any) -> Any:  # noqa: ARG001
    """Return ``(x[n] - before[m]) gain >> scale`` of `COUNT` channels from `column` on: int16 arrays, int32 `gain` and `scale`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, n, before, m, column, gain, scale = arguments
        values = []
        for kind, array, row in ((signature.args[0], x, n), (signature.args[2], before, m)):
            pointer, _, size = address(context, builder, kind, COUNT, array, row, column)
            values.append(builder.sext(builder.load(pointer, align=size), INT32S))
        product = builder.mul(builder.sub(*values), many(builder, gain, INT32S))
        return builder.sext(builder.ashr(product, many(builder, scale, INT32S)), vector(64))

    return lanes64(x, types.intp, before, types.intp, types.intp, types.int32, types.int32), generate


@operation
def store_rounded(_context: Any, array: Any, row: Any, column: Any, value: Any, shift: Any) -> Any:  # noqa: ARG001
    """Set ``array[row, column : column + COUNT]``, int16, to `value` over 2**shift, rounded to nearest, held within int16."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer, elements, size = address(context, builder, signature.args[0], COUNT, *arguments[:3])
        bits = many(builder, arguments[4], INT32S)
        half = builder.shl(ir.Constant(INT32S, [1] * COUNT), builder.sub(bits, ir.Constant(INT32S, [1] * COUNT)))
        rounded = builder.ashr(builder.add(builder.trunc(arguments[3], INT32S), half), bits)
        least, most = (ir.Constant(INT32S, [end] * COUNT) for end in (INT16_MIN, INT16_MAX))
        builder.store(builder.trunc(held(builder, rounded, least, most), elements), pointer, align=size)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, value, types.int32), generate
