"""Lanes of int8, twice as many as of int16: for values that lie within a byte of something known. See `lanes`."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from pipeline.lanes import WIDTH16, Lanes, lanes16, loader, operation, shuffled, splatter, vector

WIDTH8 = 2 * WIDTH16
lanes8 = Lanes(8)

load8 = operation(loader(lanes8))  # (array, row, column): ``array[row, column : column + WIDTH8]``, int8
splat8 = operation(splatter(lanes8))  # (integer): `WIDTH8` times


@operation
def narrowed(_context: Any, a: Any, b: Any) -> Any:
    """Return the int16 lanes of a, then those of b, each held within int8."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        both = shuffled(builder, arguments[0], arguments[1], list(range(WIDTH8)))
        for name, end in (("smax", -128), ("smin", 127)):
            kind = ir.FunctionType(both.type, [both.type] * 2)
            function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{WIDTH8}i16")
            both = builder.call(function, [both, ir.Constant(both.type, [end] * WIDTH8)])
        return builder.trunc(both, vector(8))

    return lanes8(a, b), generate


@operation(prefer_literal=True)
def half(_context: Any, value: Any, first: Any) -> Any:
    """Return the int8 lanes from `first` on, a constant, as int16 lanes."""
    picked = list(range(first.literal_value, first.literal_value + WIDTH16))

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.sext(shuffled(builder, arguments[0], arguments[0], picked), vector(16))

    return lanes16(value, first), generate
