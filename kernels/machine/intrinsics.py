"""Processor instructions that numba does not name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.numpy_support import from_dtype

EIGHT = 8
LOCALITY = 2  # of prefetched lines: 3 is the first-level cache, 2 the second
_WORD, _HALF, _BYTE, _FLOAT = ir.IntType(32), ir.IntType(16), ir.IntType(8), ir.FloatType()
_WORDS, _FLOATS = ir.VectorType(_WORD, EIGHT), ir.VectorType(_FLOAT, EIGHT)
_FOUR_FLOATS, _FOUR_WORDS = ir.VectorType(_FLOAT, 4), ir.VectorType(_WORD, 4)
_SIGN = 0x80000000


@intrinsic
def popcount(typing_context: Any, word: Any) -> Any:
    """The number of set bits of an unsigned integer."""
    assert isinstance(word, types.Integer)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return word(word), generate


def _eight(context: Any, builder: Any, array_type: Any, array: Any, at: Any, element: Any) -> Any:
    """A pointer to eight elements of a C-contiguous array, from number ``at`` on."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), ir.VectorType(element, EIGHT).as_pointer())


def _all(builder: Any, value: Any, vector: Any) -> Any:
    """A vector of eight times ``value``."""
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, value, _WORD(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_WORDS, [0] * EIGHT))


def _load(builder: Any, pointer: Any, there: Any) -> Any:
    """Eight floats, zero where they are not ``there``: those are not touched in memory."""
    kind = ir.FunctionType(_FLOATS, [pointer.type, _WORD, there.type, _FLOATS])
    load = cgutils.get_or_insert_function(builder.module, kind, "llvm.masked.load.v8f32.p0")
    return builder.call(load, [pointer, _WORD(4), there, ir.Constant(_FLOATS, [0.0] * EIGHT)])


def _bits(builder: Any, lanes: Any, shift: int) -> Any:
    """Eight conditions as bits of a word, from bit ``shift`` on."""
    return builder.shl(builder.zext(builder.bitcast(lanes, _BYTE), _WORD), _WORD(shift))


class _Lanes:
    """Eight floats for a formula of plain arithmetic: evaluated on them it writes vector instructions."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def _operand(self, other: Any) -> Any:
        return other.value if isinstance(other, _Lanes) else ir.Constant(_FLOATS, [float(other)] * EIGHT)

    def __mul__(self, other: Any) -> _Lanes:
        return _Lanes(self.builder, self.builder.fmul(self.value, self._operand(other)))

    def __sub__(self, other: Any) -> _Lanes:
        return _Lanes(self.builder, self.builder.fsub(self.value, self._operand(other)))

    def __gt__(self, other: Any) -> Any:
        return self.builder.fcmp_ordered(">", self.value, self._operand(other))

    def __ge__(self, other: Any) -> Any:
        return self.builder.fcmp_ordered(">=", self.value, self._operand(other))


def fire_eight_by(
    train_margin: Callable[..., Any], surely: Callable[..., Any], perhaps: Callable[..., Any]
) -> Any:
    """For numba: trains of one slot for eight lines, by the formulas of what fires.

    Reads up to eight floats of ``values`` from ``line`` on, ``lines`` at most, the rest being zero, and eight
    words of ``halves`` (uint16) from ``half``; writes eight ``codes`` from ``code``. Returns a bit for each
    line that a further draw has to decide.
    """

    @intrinsic
    def fire_eight(
        typing_context: Any, values: Any, line: Any, lines: Any, scale: Any, halves: Any, half: Any,
        codes: Any, code: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            values, line, lines, scale, halves, half, codes, code = arguments
            types_of = signature.args
            below = _all(builder, builder.trunc(lines, _WORD), _WORDS)
            there = builder.icmp_signed("<", ir.Constant(_WORDS, list(range(EIGHT))), below)
            value = _load(builder, _eight(context, builder, types_of[0], values, line, _FLOAT), there)
            drawn = builder.load(_eight(context, builder, types_of[4], halves, half, _HALF), align=2)
            word = builder.bitcast(value, _WORDS)
            bits = builder.and_(word, ir.Constant(_WORDS, [_SIGN - 1] * EIGHT))
            magnitude = _Lanes(builder, builder.bitcast(bits, _FLOATS))
            level = magnitude * _Lanes(builder, _all(builder, scale, _FLOATS))
            random = _Lanes(builder, builder.sitofp(builder.zext(drawn, _WORDS), _FLOATS))
            margin = train_margin(level, random)
            fires, touched = surely(margin), perhaps(margin)
            sign = builder.and_(word, ir.Constant(_WORDS, [_SIGN] * EIGHT))
            place = _eight(context, builder, types_of[6], codes, code, _WORD)
            builder.store(builder.or_(sign, builder.zext(fires, _WORDS)), place, align=4)
            return _bits(builder, builder.xor(fires, touched), 0)

        index = types.int64
        return types.uint32(values, index, index, types.float32, halves, index, codes, index), generate

    return fire_eight


@intrinsic
def signs_of_eight(typing_context: Any, codes: Any, at: Any) -> Any:
    """Which of eight codes fire with a positive value (bits 0 to 7), and with a negative one (8 to 15)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        codes, at = arguments
        code = builder.load(_eight(context, builder, signature.args[0], codes, at, _WORD), align=4)
        nothing = ir.Constant(_WORDS, [0] * EIGHT)
        train = builder.and_(code, ir.Constant(_WORDS, [_SIGN - 1] * EIGHT))
        fires, negative = builder.icmp_unsigned("!=", train, nothing), builder.icmp_signed("<", code, nothing)
        up = builder.and_(fires, builder.not_(negative))
        return builder.or_(_bits(builder, up, 0), _bits(builder, builder.and_(fires, negative), EIGHT))

    return types.uint32(codes, types.int64), generate


@intrinsic
def put_eight(typing_context: Any, table: Any, first: Any, more: Any, out: Any, at: Any) -> Any:
    """Eight int32 of flat ``table`` from ``first`` on, plus ``more``, to flat ``out`` from ``at`` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        table, first, more, out, at = arguments
        values = builder.load(_eight(context, builder, signature.args[0], table, first, _WORD), align=4)
        values = builder.add(values, _all(builder, builder.trunc(more, _WORD), _WORDS))
        builder.store(values, _eight(context, builder, signature.args[3], out, at, _WORD), align=4)
        return context.get_dummy_value()

    index = types.int64
    return types.void(table, index, index, out, index), generate


@intrinsic
def gather_four(
    typing_context: Any, rows: Any, a: Any, b: Any, c: Any, d: Any, columns: Any, at: Any, lanes: Any
) -> Any:
    """columns[n lanes + at + i] = rows[place i + n] for n < 4 and the four places a, b, c, d: a transpose.

    Both are pointers to float32; ``lanes`` is the length of one column.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, *places, columns, at, lanes = arguments

        def pointer(data: Any, index: Any) -> Any:
            return builder.bitcast(builder.gep(data, [index]), _FOUR_FLOATS.as_pointer())

        def mixed(x: Any, y: Any, *order: int) -> Any:
            return builder.shuffle_vector(x, y, ir.Constant(_FOUR_WORDS, list(order)))

        w, x, y, z = (builder.load(pointer(rows, place), align=4) for place in places)
        low_wx, low_yz = mixed(w, x, 0, 4, 1, 5), mixed(y, z, 0, 4, 1, 5)
        high_wx, high_yz = mixed(w, x, 2, 6, 3, 7), mixed(y, z, 2, 6, 3, 7)
        transposed = (
            mixed(low_wx, low_yz, 0, 1, 4, 5), mixed(low_wx, low_yz, 2, 3, 6, 7),
            mixed(high_wx, high_yz, 0, 1, 4, 5), mixed(high_wx, high_yz, 2, 3, 6, 7),
        )  # fmt: skip
        for values in transposed:
            builder.store(values, pointer(columns, at), align=4)
            at = builder.add(at, lanes)
        return context.get_dummy_value()

    index = types.int64
    return types.void(rows, index, index, index, index, columns, index, index), generate


@functools.cache
def numbers(kind: Any) -> Any:
    """For numba: float32 numbers at a pointer, from ``first`` on, ``apart`` each, as named tuple ``kind``."""
    result = types.NamedUniTuple(types.float32, len(kind._fields), kind)

    @intrinsic
    def read(typing_context: Any, data: Any, first: Any, apart: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data, place, apart = arguments
            values = []
            for _ in kind._fields:
                values.append(builder.load(builder.gep(data, [place]), align=4))
                place = builder.add(place, apart)
            return context.make_tuple(builder, signature.return_type, values)

        return result(data, types.int64, types.int64), generate

    return read


@functools.cache
def takes_wide_vectors() -> bool:
    """Whether this processor has vectors of 512 bits and hardly slows down where they are used.

    The first ones that had them do; those since Ice Lake, which have VBMI2 too, do not. Numba's own setting,
    ``NUMBA_CPU_FEATURES``, is obeyed: without ``+avx512vbmi2`` there, vectors are not wide.
    """
    asked = getattr(numba.config, "CPU_FEATURES", None)
    if asked is not None:
        return "+avx512vbmi2" in asked.split(",")
    return bool(get_host_cpu_features().get("avx512vbmi2"))


@intrinsic
def wide_vectors(typing_context: Any) -> Any:
    """Let loops of the function that calls it be vectorised as widely as ``takes_wide_vectors`` says.

    LLVM takes half of AVX-512's width unless a function asks for all; random numbers come in half the time.
    It says nothing of the functions that this one calls. Each lane computes as ever: no bit changes.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if takes_wide_vectors():
            attributes: set[str] = builder.function.attributes
            set.add(attributes, '"prefer-vector-width"="512"')  # llvmlite's own takes names alone
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def prefetch(typing_context: Any, data: Any, at: Any) -> Any:
    """Ask for the cache line of number ``at`` from a pointer on, into the second-level cache."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte = builder.bitcast(builder.gep(arguments[0], [arguments[1]]), _BYTE.as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [byte.type, _WORD, _WORD, _WORD])
        fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(fetch, [byte, _WORD(0), _WORD(LOCALITY), _WORD(1)])
        return context.get_dummy_value()

    return types.void(data, types.int64), generate


def unpacked(kind: Any, record: Any) -> Any:
    """For numba: a function of an array [1] of ``record`` that gives its fields as a named tuple ``kind``.

    As values: fields that a loop reads from memory would keep it from being vectorised.
    """
    members = from_dtype(record)
    result = types.NamedTuple([members.typeof(name) for name in kind._fields], kind)

    @intrinsic
    def unpack(typing_context: Any, array: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            values = []
            for name, member in zip(kind._fields, result.types, strict=True):
                stored = context.get_data_type(member)
                pointer = cgutils.get_record_member(builder, data, members.offset(name), stored)
                values.append(context.unpack_value(builder, member, pointer, align=1))
            return context.make_tuple(builder, result, values)

        return result(array), generate

    return unpack
