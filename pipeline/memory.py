"""Arrays for kernels that nobody counts references to: where there is memory already, and on the stack.

Numba counts the references to every array, also to those that it does not own, with a call for each: where dozens of arrays are
handed on for each spike, that takes longer than the arithmetic. Functions compiled by `fixed.bare` do without. They can take views
of arrays, but make none with NumPy's functions: they are given scratch memory from here.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

_operation: Any = intrinsic
ALIGNMENT = 64  # bytes of scratch memory: a line


def _array(context: Any, builder: Any, kind: Any, shape: Any, data: Any) -> Any:
    """Return an array of rows that follow each other, from `data` on, or on the stack where that is None."""
    word = context.get_value_type(types.intp)
    size = ir.Constant(word, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
    extents, strides = cgutils.unpack_tuple(builder, shape, kind.ndim), [size]
    for extent in reversed(extents):
        strides.insert(0, builder.mul(strides[0], extent))
    if data is None:
        data = builder.alloca(ir.IntType(8), size=strides[0])
        data.align = ALIGNMENT
    result = context.make_array(kind)(context, builder)
    pointer = builder.bitcast(data, result.data.type)
    populate_array(result, data=pointer, shape=extents, strides=strides[1:], itemsize=size, meminfo=None)
    return result._getvalue()


@_operation
def view(_context: Any, pointer: Any, shape: Any, dtype: Any) -> Any:
    """Return an array of a shape (a tuple of int64) and type without gaps at a pointer."""
    kind = types.Array(dtype.dtype, shape.count, "C")

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return _array(context, builder, kind, arguments[1], arguments[0])

    return kind(pointer, types.UniTuple(types.intp, shape.count), dtype), generate


@_operation
def scratch(_context: Any, shape: Any, dtype: Any) -> Any:
    """Return an array of a shape (tuple of int64) and type on the stack, not cleared, until the function returns: not in a loop."""
    kind = types.Array(dtype.dtype, shape.count, "C")

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return _array(context, builder, kind, arguments[0], None)

    return kind(types.UniTuple(types.intp, shape.count), dtype), generate
