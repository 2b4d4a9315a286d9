"""Scratch memory for kernels: arrays on the stack, which take no time to make."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

_operation: Any = intrinsic
ALIGNMENT = 64  # bytes: a line of memory


@_operation
def scratch(_context: Any, shape: Any, dtype: Any) -> Any:
    """Return an array of a shape (tuple of int64) and type on the stack, not cleared, until the function returns: not in a loop."""
    kind = types.Array(dtype.dtype, shape.count, "C")

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        size = ir.Constant(context.get_value_type(types.intp), context.get_abi_sizeof(context.get_data_type(kind.dtype)))
        extents, strides = cgutils.unpack_tuple(builder, arguments[0], kind.ndim), [size]
        for extent in reversed(extents):
            strides.insert(0, builder.mul(strides[0], extent))
        data = builder.alloca(ir.IntType(8), size=strides[0])
        data.align = ALIGNMENT
        result = context.make_array(kind)(context, builder)
        pointer = builder.bitcast(data, result.data.type)
        populate_array(result, data=pointer, shape=extents, strides=strides[1:], itemsize=size, meminfo=None)
        return result._getvalue()

    return kind(types.UniTuple(types.intp, shape.count), dtype), generate
