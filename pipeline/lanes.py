"""Channels side by side in one vector register: a type for kernels, so that a recursion over time runs on eight channels at once.

A loop over channels that the compiler turns into vectors must go through memory for what one frame leaves to the next: a filter's
state is then written and read again for every frame. Here a variable of the kernel is `WIDTH` channels' int32, the state stays in
registers, and the text of the kernel is that of one channel::

    y1 = load(history, 0, channel)
    for n in range(frames):
        y1 = load(x, n, channel) - (y1 >> 3)
        store(y, n, channel, y1)
    store(history, 0, channel, y1)

Lanes know ``+``, ``-``, ``*``, ``<<``, ``>>`` (arithmetic), ``&``, ``|`` and ``^`` with other lanes or with an integer for all, all
modulo 2**32, and the functions below; so do `WIDTH16` lanes of int16, modulo 2**16. Arrays have two dimensions; `store` keeps the
low bits that the array's type holds. Rows that fill no whole number of registers are in `rows`, twice the channels in `wide`, half
of them in `narrow`, pairs of int16 in `pairs`, bytes in `lanes8`; `turning` exchanges channels and frames, `across` goes over all
channels.
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

from pipeline.fixed import INT16_MAX, INT16_MIN, inlined

WIDTH, WIDTH16 = 8, 16  # lanes of int32, of int16
operation: Any = intrinsic  # a function for kernels that says itself what code it is


def vector(bits: int, count: int = 0) -> ir.VectorType:
    """Return the type of `count` integers; as many as fill a register unless told."""
    return ir.VectorType(ir.IntType(bits), count or 8 * WIDTH * 4 // bits)


LANES, LANES16, PAIRS = vector(32), vector(16), vector(64)


class Lanes(types.Type):
    """The type of the integers that fill one register (`WIDTH` int32, `WIDTH16` int16), or two (`pipeline.wide`)."""

    def __init__(self, bits: int, registers: int = 1) -> None:
        self.bits, self.count = bits, registers * 8 * WIDTH * 4 // bits
        super().__init__(name=f"lanes(int{bits} x {self.count})")


lanes, lanes16, lanes64 = Lanes(32), Lanes(16), Lanes(64)


@register_model(Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, vector(kind.bits, kind.count))


def has_avx2(context: Any) -> bool:
    """Tell whether the code is for a processor with AVX2, whose instructions the compiler does not always find by itself."""
    return "+avx2" in context.codegen().magic_tuple()[2].split(",")


def shuffled(builder: Any, a: Any, b: Any, order: list[int]) -> Any:
    """Return these lanes of a and, counted on from its last one, of b."""
    return builder.shuffle_vector(a, b, ir.Constant(vector(32, len(order)), order))


def many(builder: Any, value: Any, kind: ir.VectorType = LANES) -> Any:
    """Return `value` (any integer) in every lane."""
    element = kind.element
    if value.type.width != element.width:
        value = (builder.trunc if value.type.width > element.width else builder.sext)(value, element)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.IntType(32)(0))
    return shuffled(builder, one, one, [0] * kind.count)


def _operator(symbol: Any, emit: Callable[[Any, Any, Any], Any]) -> None:
    @type_callable(symbol)
    def typer(_context: Any) -> Any:
        return lambda a, b: a if isinstance(a, Lanes) and (a is b or isinstance(b, types.Integer)) else None

    @lower_builtin(symbol, Lanes, Lanes)
    def with_lanes(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return emit(builder, *arguments)

    @lower_builtin(symbol, Lanes, types.Integer)
    def with_integer(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return emit(builder, arguments[0], many(builder, arguments[1], arguments[0].type))


_operator(operator.add, lambda builder, a, b: builder.add(a, b))
_operator(operator.sub, lambda builder, a, b: builder.sub(a, b))
_operator(operator.mul, lambda builder, a, b: builder.mul(a, b))
_operator(operator.lshift, lambda builder, a, b: builder.shl(a, b))
_operator(operator.rshift, lambda builder, a, b: builder.ashr(a, b))
_operator(operator.and_, lambda builder, a, b: builder.and_(a, b))
_operator(operator.or_, lambda builder, a, b: builder.or_(a, b))
_operator(operator.xor, lambda builder, a, b: builder.xor(a, b))


def address(context: Any, builder: Any, kind: Any, count: int, given: Any, row: Any, column: Any) -> Any:
    """Return where ``given[row, column]`` lies, as a pointer to `count` elements."""
    array = context.make_array(kind)(context, builder, given)
    stride = cgutils.unpack_tuple(builder, array.strides, 2)[0]
    size = kind.dtype.bitwidth // 8
    offset = builder.add(builder.mul(row, stride), builder.mul(column, ir.Constant(column.type, size)))
    elements = vector(8 * size, count)
    return builder.bitcast(cgutils.pointer_add(builder, array.data, offset), elements.as_pointer()), elements, size


def loader(kind: Lanes) -> Callable[..., Any]:
    """Return the making of ``(array, row, column)``: as many of a row, from a column on, as `kind` holds."""

    def load(_context: Any, array: Any, row: Any, column: Any) -> Any:  # noqa: ARG001
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer, elements, size = address(context, builder, signature.args[0], kind.count, *arguments)
            value = builder.load(pointer, align=size)
            return value if elements == vector(kind.bits) else builder.sext(value, vector(kind.bits))

        return kind(array, types.intp, types.intp), generate

    return load


load = operation(loader(lanes))  # (array, row, column): ``array[row, column : column + WIDTH]``, int16 or int32
load16 = operation(loader(lanes16))  # (array, row, column): ``array[row, column : column + WIDTH16]``, int16


@operation
def store(_context: Any, array: Any, row: Any, column: Any, value: Any) -> Any:  # noqa: ARG001
    """Set ``array[row, column : column + the lanes of value]`` (int16 or int32) to the low bits of `value`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer, elements, size = address(context, builder, signature.args[0], value.count, *arguments[:3])
        given = arguments[3] if elements == arguments[3].type else builder.trunc(arguments[3], elements)
        builder.store(given, pointer, align=size)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, value), generate


@inlined
def change(x, n, before, m, column, gain, scale):  # type: ignore[no-untyped-def]
    """Return ``(x[n] - before[m]) gain >> scale`` of `WIDTH` channels from `column` on."""
    return (load(x, n, column) - load(before, m, column)) * gain >> scale


def splatter(kind: Lanes) -> Callable[..., Any]:
    """Return the making of ``(integer)``: in all lanes of `kind`."""

    def splat(_context: Any, value: Any) -> Any:
        def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return many(builder, arguments[0], vector(kind.bits))

        return kind(value), generate

    return splat


splat = operation(splatter(lanes))  # (integer): `WIDTH` times
splat16 = operation(splatter(lanes16))  # (integer): `WIDTH16` times


def _lower(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed("<", a, b), a, b)


def _higher(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed(">", a, b), a, b)


def held(builder: Any, value: Any, least: Any, most: Any) -> Any:
    """Return `value` held within `least` and `most`."""
    return _higher(builder, _lower(builder, value, most), least)


def _of_two(emit: Callable[[Any, Any, Any], Any]) -> Callable[..., Any]:
    def function(_context: Any, a: Any, b: Any) -> Any:
        def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return emit(builder, *arguments)

        return a(a, b), generate

    return function


smaller = operation(_of_two(_lower))  # (a, b): the lower of each two lanes
larger = operation(_of_two(_higher))  # (a, b): the higher of each two lanes
less = operation(_of_two(lambda builder, a, b: builder.sext(builder.icmp_signed("<", a, b), a.type)))  # (a, b): -1 where a < b


def _saturated(name: str) -> Callable[..., Any]:
    def emit(builder: Any, a: Any, b: Any) -> Any:
        kind = ir.FunctionType(LANES16, [LANES16, LANES16])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.sat.v{WIDTH16}i16"), [a, b])

    return _of_two(emit)


difference16 = operation(_saturated("ssub"))  # (a, b): ``a - b`` of int16 lanes, held within the range of int16
excess16 = operation(_saturated("usub"))  # (a, b): ``a - b`` of lanes that hold uint16, 0 where b is the larger


@operation
def chosen(_context: Any, mask: Any, a: Any, b: Any) -> Any:
    """Return a where `mask` is not 0, else b."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        zero = ir.Constant(arguments[0].type, [0] * mask.count)
        return builder.select(builder.icmp_signed("!=", arguments[0], zero), arguments[1], arguments[2])

    return a(mask, a, b), generate


@operation
def clipped(_context: Any, value: Any, low: Any, top: Any) -> Any:
    """Return the lanes held within `low` and `top`, two integers."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return held(builder, arguments[0], *(many(builder, end, arguments[0].type) for end in arguments[1:]))

    return value(value, low, top), generate


@inlined
def store_rounded(array, row, column, value, shift):  # type: ignore[no-untyped-def]
    """Set ``array[row, column : column + WIDTH]``, int16, to `value` over 2**shift, rounded to nearest, held within int16."""
    half = np.int32(1) << np.int32(shift - 1)
    store(array, row, column, clipped((value + half) >> shift, INT16_MIN, INT16_MAX))


@operation(prefer_literal=True)
def two_products(_context: Any, a: Any, ka: Any, b: Any, kb: Any, shift: Any) -> Any:
    """Return ``(a ka + b kb) >> shift``: a, b lanes; ka, kb int32 for all; the sum int64; the result its low 32 bits.

    `shift` is a constant from 1 to 31. Of lanes of 64 bits the low 32 count, in what is given and in the result.
    """
    bits = shift.literal_value

    def low_products(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        half = ir.Constant(PAIRS, [32] * PAIRS.count)
        values = arguments[0], many(builder, arguments[1], PAIRS), arguments[2], many(builder, arguments[3], PAIRS)
        v1, k1, v2, k2 = (builder.ashr(builder.shl(value, half), half) for value in values)
        return builder.lshr(builder.add(builder.mul(v1, k1), builder.mul(v2, k2)), ir.Constant(PAIRS, [bits] * PAIRS.count))

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kind, pairs = arguments[0].type, vector(64, a.count // 2)
        half = ir.Constant(pairs, [32] * pairs.count)
        even = odd = ir.Constant(pairs, [0] * pairs.count)
        for value, factor in zip(arguments[0:4:2], arguments[1:4:2], strict=True):
            # processors multiply the even int32 of a register to int64; the odd ones are shifted into their place
            v = builder.bitcast(value, pairs)
            k = builder.bitcast(many(builder, factor, kind), pairs)
            k = builder.ashr(builder.shl(k, half), half)
            even = builder.add(even, builder.mul(builder.ashr(builder.shl(v, half), half), k))
            odd = builder.add(odd, builder.mul(builder.ashr(v, half), k))
        low = builder.lshr(even, ir.Constant(pairs, [bits] * pairs.count))
        high = builder.shl(odd, ir.Constant(pairs, [32 - bits] * pairs.count))
        order = [i + a.count * (i & 1) for i in range(a.count)]
        return shuffled(builder, builder.bitcast(low, kind), builder.bitcast(high, kind), order)

    return a(a, ka, b, kb, shift), generate if a.bits == 32 else low_products


def pairs_multiplied(context: Any, builder: Any, a: Any, b: Any) -> Any:
    """Return the code for `pair_products`."""
    if has_avx2(context):  # by its name: of known factors the compiler makes other things
        kind = ir.FunctionType(LANES, [LANES16, LANES16])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx2.pmadd.wd"), [a, b])
    x, y = (builder.sext(value, vector(32, WIDTH16)) for value in (a, b))
    product = builder.mul(x, y)
    return builder.add(*(shuffled(builder, product, product, list(range(first, WIDTH16, 2))) for first in (0, 1)))


@operation
def pair_products(_context: Any, a: Any, b: Any) -> Any:
    """Return ``a[2 i] b[2 i] + a[2 i + 1] b[2 i + 1]`` of int16 lanes as int32 lanes; only four times -32768 leaves int32."""

    def generate(target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return pairs_multiplied(target, builder, *arguments)

    return lanes(a, b), generate


@operation
def widened(_context: Any, a: Any) -> Any:
    """Return the sums of lane i and lane i + `WIDTH` / 2, int64."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        halves = (list(range(first, first + WIDTH // 2)) for first in (0, WIDTH // 2))
        return builder.add(*(builder.sext(shuffled(builder, arguments[0], arguments[0], half), PAIRS) for half in halves))

    return lanes64(a), generate


@operation
def total(_context: Any, a: Any) -> Any:
    """Return the sum of all lanes, modulo what one lane holds."""

    def generate(_target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, count = arguments[0], signature.args[0].count
        while count > 1:
            count //= 2
            value = builder.add(*(shuffled(builder, value, value, list(range(i, i + count))) for i in (0, count)))
        return builder.extract_element(value, ir.IntType(32)(0))

    return types.Integer.from_bitwidth(a.bits, True)(a), generate


@operation
def some(_context: Any, a: Any) -> Any:
    """Return whether any lane is not 0."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        whole = ir.IntType(a.bits * a.count)
        return builder.icmp_unsigned("!=", builder.bitcast(arguments[0], whole), whole(0))

    return types.boolean(a), generate


def _reduced(name: str) -> Callable[..., Any]:
    def function(_context: Any, a: Any) -> Any:
        def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            kind = ir.FunctionType(ir.IntType(a.bits), [arguments[0].type])
            reduce = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.{name}.v{a.count}i{a.bits}")
            return builder.call(reduce, arguments)

        return types.Integer.from_bitwidth(a.bits, True)(a), generate

    return function


least = operation(_reduced("smin"))  # (a): the lowest of all lanes
most = operation(_reduced("smax"))  # (a): the highest of all lanes


@operation
def bits(_context: Any, a: Any) -> Any:
    """Return an int64 whose bit i is set where lane i is not 0."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        zero = ir.Constant(arguments[0].type, [0] * a.count)
        return builder.zext(builder.bitcast(builder.icmp_signed("!=", arguments[0], zero), ir.IntType(a.count)), ir.IntType(64))

    return types.int64(a), generate


@operation
def lowest(_context: Any, value: Any) -> Any:  # noqa: ARG001
    """Return the number of the lowest bit that is set in an int64, which must not be 0."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.IntType(1)(1))

    return types.int64(types.int64), generate


splat64 = operation(splatter(lanes64))  # (integer): WIDTH / 2 times
