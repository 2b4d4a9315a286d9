"""Channels side by side in one vector register: a type for kernels, so that a recursion over time runs on eight channels at once.

A loop over channels that the compiler turns into vectors must go through memory for what one frame leaves to the next: a filter's
state is then written and read again for every frame. Here a variable of the kernel is `WIDTH` channels' int32, the state stays in
registers, and the text of the kernel is that of one channel::

    y1 = load(history, 0, channel)
    for n in range(frames):
        y1 = load(x, n, channel) - (y1 >> 3)
        store(y, n, channel, y1)
    store(history, 0, channel, y1)

Lanes know ``+``, ``-``, ``*``, ``^``, ``<<`` and ``>>`` (arithmetic) with other lanes or with an integer for all, all modulo
2**32, and the functions below; so do `WIDTH16` lanes of int16, modulo 2**16. Arrays have two dimensions; `store` keeps the low
bits that the array's type holds. Rows that fill no whole number of registers are in `rows`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

from pipeline.fixed import inlined

WIDTH, WIDTH16 = 8, 16  # lanes of int32, of int16
LINE = 32  # int16 of one line of memory
TILE = 256  # frames that are worked on for all channels before going on, so that they are still in the cache
_operation: Any = intrinsic


def _vector(bits: int, count: int = 0) -> ir.VectorType:
    return ir.VectorType(ir.IntType(bits), count or 8 * WIDTH * 4 // bits)


LANES, LANES16, PAIRS = _vector(32), _vector(16), _vector(64)


class Lanes(types.Type):
    """The type of `WIDTH` int32 or `WIDTH16` int16 in a register."""

    def __init__(self, bits: int) -> None:
        self.bits, self.count = bits, 8 * WIDTH * 4 // bits
        super().__init__(name=f"lanes(int{bits} x {self.count})")


lanes, lanes16, lanes64 = Lanes(32), Lanes(16), Lanes(64)


@register_model(Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _vector(kind.bits))


def _all(builder: Any, value: Any, vector: ir.VectorType = LANES) -> Any:
    """Return `value` (any integer) in every lane."""
    element = vector.element
    if value.type.width != element.width:
        value = (builder.trunc if value.type.width > element.width else builder.sext)(value, element)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.IntType(32)(0))
    return builder.shuffle_vector(one, one, ir.Constant(_vector(32, vector.count), [0] * vector.count))


def _operator(operation: Any, emit: Callable[[Any, Any, Any], Any]) -> None:
    @type_callable(operation)
    def typer(_context: Any) -> Any:
        return lambda a, b: a if isinstance(a, Lanes) and (a is b or isinstance(b, types.Integer)) else None

    @lower_builtin(operation, Lanes, Lanes)
    def with_lanes(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return emit(builder, *arguments)

    @lower_builtin(operation, Lanes, types.Integer)
    def with_integer(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return emit(builder, arguments[0], _all(builder, arguments[1], arguments[0].type))


_operator(operator.add, lambda builder, a, b: builder.add(a, b))
_operator(operator.sub, lambda builder, a, b: builder.sub(a, b))
_operator(operator.mul, lambda builder, a, b: builder.mul(a, b))
_operator(operator.lshift, lambda builder, a, b: builder.shl(a, b))
_operator(operator.rshift, lambda builder, a, b: builder.ashr(a, b))
_operator(operator.xor, lambda builder, a, b: builder.xor(a, b))


def _address(context: Any, builder: Any, kind: Any, count: int, given: Any, row: Any, column: Any) -> Any:
    """Return where ``given[row, column]`` lies, as a pointer to `count` elements."""
    array = context.make_array(kind)(context, builder, given)
    stride = cgutils.unpack_tuple(builder, array.strides, 2)[0]
    size = kind.dtype.bitwidth // 8
    offset = builder.add(builder.mul(row, stride), builder.mul(column, ir.Constant(column.type, size)))
    elements = _vector(8 * size, count)
    return builder.bitcast(cgutils.pointer_add(builder, array.data, offset), elements.as_pointer()), elements, size


def _loader(kind: Lanes) -> Callable[..., Any]:
    def load(_context: Any, array: Any, row: Any, column: Any) -> Any:  # noqa: ARG001
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer, elements, size = _address(context, builder, signature.args[0], kind.count, *arguments)
            value = builder.load(pointer, align=size)
            return value if elements == _vector(kind.bits) else builder.sext(value, _vector(kind.bits))

        return kind(array, types.intp, types.intp), generate

    return load


load = _operation(_loader(lanes))  # (array, row, column): ``array[row, column : column + WIDTH]``, int16 or int32
load16 = _operation(_loader(lanes16))  # (array, row, column): ``array[row, column : column + WIDTH16]``, int16


@_operation
def store(_context: Any, array: Any, row: Any, column: Any, value: Any) -> Any:  # noqa: ARG001
    """Set ``array[row, column : column + the lanes of value]`` (int16 or int32) to the low bits of `value`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer, elements, size = _address(context, builder, signature.args[0], value.count, *arguments[:3])
        given = arguments[3] if elements == arguments[3].type else builder.trunc(arguments[3], elements)
        builder.store(given, pointer, align=size)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, value), generate


@_operation
def fetch(_context: Any, array: Any, row: Any, column: Any) -> Any:  # noqa: ARG001
    """Ask for the line of memory with ``array[row, column]``, which may lie anywhere, without waiting for it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _address(context, builder, signature.args[0], 1, *arguments)[0]
        byte, hint = ir.IntType(8).as_pointer(), [ir.IntType(32)(value) for value in (0, 3, 1)]  # to read, often, as data
        kind = ir.FunctionType(ir.VoidType(), [byte, *(value.type for value in hint)])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [builder.bitcast(pointer, byte), *hint])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), generate


def _splatter(kind: Lanes) -> Callable[..., Any]:
    def splat(_context: Any, value: Any) -> Any:
        def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return _all(builder, arguments[0], _vector(kind.bits))

        return kind(value), generate

    return splat


splat = _operation(_splatter(lanes))  # (integer): `WIDTH` times
splat16 = _operation(_splatter(lanes16))  # (integer): `WIDTH16` times


def _lower(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed("<", a, b), a, b)


def _higher(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed(">", a, b), a, b)


def _of_two(emit: Callable[[Any, Any, Any], Any]) -> Callable[..., Any]:
    def function(_context: Any, a: Any, b: Any) -> Any:
        def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return emit(builder, *arguments)

        return a(a, b), generate

    return function


smaller = _operation(_of_two(_lower))  # (a, b): the lower of each two lanes
larger = _operation(_of_two(_higher))  # (a, b): the higher of each two lanes
less = _operation(_of_two(lambda builder, a, b: builder.sext(builder.icmp_signed("<", a, b), a.type)))  # (a, b): -1 where a < b


@_operation
def difference16(_context: Any, a: Any, b: Any) -> Any:
    """Return ``a - b`` of int16 lanes, held within the range of int16."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(LANES16, [LANES16, LANES16])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.ssub.sat.v{WIDTH16}i16"), arguments)

    return lanes16(a, b), generate


@_operation
def chosen(_context: Any, mask: Any, a: Any, b: Any) -> Any:
    """Return a where `mask` is not 0, else b."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        zero = ir.Constant(arguments[0].type, [0] * mask.count)
        return builder.select(builder.icmp_signed("!=", arguments[0], zero), arguments[1], arguments[2])

    return a(mask, a, b), generate


@_operation
def clipped(_context: Any, value: Any, low: Any, top: Any) -> Any:
    """Return the lanes held within `low` and `top`, two integers."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        least, most = (_all(builder, end, arguments[0].type) for end in arguments[1:])
        return _higher(builder, _lower(builder, arguments[0], most), least)

    return value(value, low, top), generate


@_operation(prefer_literal=True)
def three_products(_context: Any, a: Any, ka: Any, b: Any, kb: Any, c: Any, kc: Any, shift: Any) -> Any:
    """Return ``(a ka + b kb + c kc) >> shift``: a, b, c lanes; ka, kb, kc int32 for all; the sum int64; the result its low 32 bits.

    `shift` is a constant from 1 to 31.
    """
    bits = shift.literal_value

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        half = ir.Constant(PAIRS, [32] * (WIDTH // 2))
        even = odd = ir.Constant(PAIRS, [0] * (WIDTH // 2))
        for value, factor in zip(arguments[0:6:2], arguments[1:6:2], strict=True):
            # processors multiply the even int32 of a register to int64; the odd ones are shifted into their place
            v = builder.bitcast(value, PAIRS)
            k = builder.bitcast(_all(builder, factor), PAIRS)
            k = builder.ashr(builder.shl(k, half), half)
            even = builder.add(even, builder.mul(builder.ashr(builder.shl(v, half), half), k))
            odd = builder.add(odd, builder.mul(builder.ashr(v, half), k))
        low = builder.lshr(even, ir.Constant(PAIRS, [bits] * (WIDTH // 2)))
        high = builder.shl(odd, ir.Constant(PAIRS, [32 - bits] * (WIDTH // 2)))
        pick = ir.Constant(LANES, [i + WIDTH * (i & 1) for i in range(WIDTH)])
        return builder.shuffle_vector(builder.bitcast(low, LANES), builder.bitcast(high, LANES), pick)

    return lanes(a, ka, b, kb, c, kc, shift), generate


@_operation
def pair_products(_context: Any, a: Any, b: Any) -> Any:
    """Return ``a[2 i] b[2 i] + a[2 i + 1] b[2 i + 1]`` of int16 lanes as int32 lanes; only four times -32768 leaves int32."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        x, y = (builder.sext(value, _vector(32, WIDTH16)) for value in arguments)
        product = builder.mul(x, y)
        even, odd = (ir.Constant(LANES, list(range(first, WIDTH16, 2))) for first in (0, 1))
        return builder.add(builder.shuffle_vector(product, product, even), builder.shuffle_vector(product, product, odd))

    return lanes(a, b), generate


@_operation
def widened(_context: Any, a: Any) -> Any:
    """Return the sums of lane i and lane i + `WIDTH` / 2, int64."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        halves = (ir.Constant(_vector(32, WIDTH // 2), list(range(first, first + WIDTH // 2))) for first in (0, WIDTH // 2))
        low, high = (builder.sext(builder.shuffle_vector(arguments[0], arguments[0], half), PAIRS) for half in halves)
        return builder.add(low, high)

    return lanes64(a), generate


@_operation
def total(_context: Any, a: Any) -> Any:
    """Return the sum of all lanes, modulo what one lane holds."""

    def generate(_target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, count = arguments[0], signature.args[0].count
        while count > 1:
            count //= 2
            low, high = (ir.Constant(_vector(32, count), list(range(first, first + count))) for first in (0, count))
            value = builder.add(builder.shuffle_vector(value, value, low), builder.shuffle_vector(value, value, high))
        return builder.extract_element(value, ir.IntType(32)(0))

    return types.Integer.from_bitwidth(a.bits, True)(a), generate


splat64 = _operation(_splatter(lanes64))  # (integer): WIDTH / 2 times


@inlined
def copy(source, row, column, target, target_row, target_column, rows, columns):  # type: ignore[no-untyped-def]
    """Copy ``rows x columns`` values: channels that do not fill a register are worked on in an array that does."""
    for n in range(rows):
        for c in range(columns):
            target[target_row + n, target_column + c] = source[row + n, column + c]


def _turned(builder: Any, rows: list[Any]) -> list[Any]:
    """Exchange rows and columns of eight registers of 2 x 8 int16, each half by itself, by three rounds of interleaving."""
    halves = [[8 * (i // 8) + (i % 8) // 2 + 16 * (i % 2) + up for i in range(16)] for up in (0, 4)]
    for _ in range(3):
        pairs = [(rows[i], rows[i + 4]) for i in range(4)]
        rows = [builder.shuffle_vector(a, b, ir.Constant(_vector(32, 16), half)) for a, b in pairs for half in halves]
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
                pointer, _, size = _address(context, builder, signature.args[0], WIDTH, given, place, column)
                halves.append(builder.load(pointer, align=size))
            rows.append(builder.shuffle_vector(*halves, ir.Constant(_vector(32, 16), list(range(16)))))
        for c, turned in enumerate(_turned(builder, rows)):
            place = builder.add(line, ir.Constant(line.type, c))
            pointer, _, size = _address(context, builder, signature.args[3], WIDTH16, result, place, at)
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
            pointer, _, size = _address(context, builder, signature.args[0], WIDTH16, given, place, at)
            lines.append(builder.load(pointer, align=size))
        for r, turned in enumerate(_turned(builder, lines)):
            for half in (0, WIDTH):
                part = builder.shuffle_vector(turned, turned, ir.Constant(_vector(32, WIDTH), list(range(half, half + WIDTH))))
                place = builder.add(row, ir.Constant(row.type, r + half))
                pointer, _, size = _address(context, builder, signature.args[3], WIDTH, result, place, column)
                builder.store(part, pointer, align=size)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, target, types.intp, types.intp), generate


def across(run: Callable[..., Any], rows: int, kind: Any = np.int32) -> Callable[..., Any]:
    """Return ``apply(tables, state, x, y, frames, channels)``, which takes `run` over all channels.

    Parameters
    ----------
    run : callable
        Inlined ``run(tables, state, x, y, frames, column)``: filters `WIDTH` channels from `column` on, x: int16 [frames, channels]
        -> y, and leaves in state: `kind` [rows, channels] what the next frame needs. `tables` is a tuple of what it likes.
    rows : int
        Rows of the state that `run` uses.
    kind : type
        Of the state: np.int32 or np.int16.
    """

    @inlined
    def apply(tables, state, x, y, frames, channels):  # type: ignore[no-untyped-def]
        rest, narrow = channels % WIDTH, channels < WIDTH
        spare = np.empty((2, TILE if narrow else 0, WIDTH), np.int16)
        kept = np.empty((rows, WIDTH), kind)
        for first in range(0, frames, TILE):
            length = min(frames - first, TILE)
            for n in range(first, first + length):  # in order: memory is slow at the columns that are gone along below
                for c in range(0, channels, LINE):
                    fetch(x, n, c)
            if narrow:  # channels that fill no register are worked on in arrays that do
                copy(state, 0, 0, kept, 0, 0, rows, channels)
                copy(x, first, 0, spare[0], 0, 0, length, channels)
            elif rest != 0:
                copy(state, 0, channels - WIDTH, kept, 0, 0, rows, WIDTH - rest)
            for c in range(0 if rest == 0 else -WIDTH, channels - rest, WIDTH):
                memory, given, result = (kept, spare[0], spare[1]) if narrow else (state, x[first:], y[first:])
                # the last eight channels overlap those before and go first, as the state of both is then that before the tile
                run(tables, memory, given, result, length, c if c >= 0 else 0 if narrow else channels - WIDTH)
                if c < 0 and not narrow:
                    copy(kept, 0, 0, state, 0, channels - WIDTH, rows, WIDTH - rest)
            if narrow:
                copy(kept, 0, 0, state, 0, 0, rows, channels)
                copy(spare[1], 0, 0, y, first, 0, length, channels)

    return apply
