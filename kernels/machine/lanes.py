"""Register-blocked products for numba, of a summation order that depends on nothing but the length.

Each generator emits one micro-kernel as LLVM vector code; Python's loops here unroll it. An element of
the result sees the same fused multiply-adds in the same order in every block size, so that how the
work is cut (batch, stack, threads) never changes a bit. That excludes a BLAS.

* ``dot_block``: w and u both run along the summed index. Lane l of 8 sums the indices = l mod 8 in
  order; the lanes are then added as ((l0+l4)+(l2+l6)) + ((l1+l5)+(l3+l7)).
* ``turned_block``: the same sums where w runs along the result: a vector holds one lane of many results,
  so that lanes are added without a shuffle, which for a short sum takes longer than all its terms.
* ``axpy_block``: w runs along the result; each element is summed in order.
"""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import functools
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .intrinsics import takes_wide_vectors

LANES = 8
#: of ``axpy_block``, whose lanes are never added: as many as are worth it, see ``wide_vectors``
WIDE_LANES = 16 if takes_wide_vectors() else LANES
_FLOAT = ir.FloatType()
_INDEX = ir.IntType(64)
_LANE = ir.IntType(32)


class _Emitter:
    """A few vector instructions over flat float32 memory."""

    def __init__(self, builder: Any, magnitude: bool = False, lanes: int = LANES) -> None:
        self.builder = builder
        self.module = builder.module
        self.magnitude = magnitude
        self.lanes, self.vector = lanes, ir.VectorType(_FLOAT, lanes)

    def declared(self, name: str, result: Any, arguments: list[Any]) -> Any:
        return cgutils.get_or_insert_function(self.module, ir.FunctionType(result, arguments), name)

    def address(self, base: Any, index: Any) -> Any:
        element = self.builder.gep(base, [index])
        return self.builder.bitcast(element, self.vector.as_pointer())

    def load(self, base: Any, index: Any, mask: Any = None) -> Any:
        """A vector of floats; 0 in lanes that ``mask`` excludes, which are not touched in memory."""
        pointer = self.address(base, index)
        if mask is None:
            return self.builder.load(pointer, align=4)
        load = self.declared(
            f"llvm.masked.load.v{self.lanes}f32.p0",
            self.vector,
            [pointer.type, _LANE, mask.type, self.vector],
        )
        return self.builder.call(load, [pointer, _LANE(4), mask, self.vector([0.0] * self.lanes)])

    def store(self, base: Any, index: Any, value: Any, mask: Any = None) -> None:
        pointer = self.address(base, index)
        if mask is None:
            self.builder.store(value, pointer, align=4)
            return
        store = self.declared(
            f"llvm.masked.store.v{self.lanes}f32.p0",
            ir.VoidType(),
            [self.vector, pointer.type, _LANE, mask.type],
        )
        self.builder.call(store, [value, pointer, _LANE(4), mask])

    def weights(self, base: Any, index: Any, mask: Any = None) -> Any:
        """A vector of weights, or their magnitudes."""
        value = self.load(base, index, mask)
        if not self.magnitude:
            return value
        fabs = self.declared(f"llvm.fabs.v{self.lanes}f32", self.vector, [self.vector])
        return self.builder.call(fabs, [value])

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        fma = self.declared(f"llvm.fma.v{self.lanes}f32", self.vector, [self.vector] * 3)
        return self.builder.call(fma, [a, b, c])

    def shuffled(self, one: Any, other: Any, places: range) -> Any:
        """The elements of two vectors, one behind the other, at ``places``."""
        chosen = ir.Constant(ir.VectorType(_LANE, len(places)), [*places])
        return self.builder.shuffle_vector(one, other, chosen)

    def splat(self, value: Any) -> Any:
        undefined = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(undefined, value, _LANE(0))
        zeros = ir.Constant(ir.VectorType(_LANE, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, undefined, zeros)

    def mask_below(self, count: Any) -> Any:
        """Lanes 0 .. count-1."""
        wide = ir.VectorType(_LANE, self.lanes)
        limit = self.builder.trunc(count, _LANE)
        undefined = ir.Constant(wide, ir.Undefined)
        first = self.builder.insert_element(undefined, limit, _LANE(0))
        limits = self.builder.shuffle_vector(first, undefined, ir.Constant(wide, [0] * self.lanes))
        return self.builder.icmp_signed("<", ir.Constant(wide, list(range(self.lanes))), limits)

    def lane_sum(self, value: Any) -> Any:
        """((l0+l4)+(l2+l6)) + ((l1+l5)+(l3+l7))."""
        width = self.lanes // 2
        while width:
            low = self.shuffled(value, value, range(width))
            value = self.builder.fadd(low, self.shuffled(value, value, range(width, 2 * width)))
            width //= 2
        return self.builder.extract_element(value, _LANE(0))


def _accumulators(builder: Any, count: int, lanes: int) -> list[Any]:
    vector = ir.VectorType(_FLOAT, lanes)
    zero = vector([0.0] * lanes)
    slots = [cgutils.alloca_once(builder, vector) for _ in range(count)]
    for slot in slots:
        builder.store(zero, slot)
    return slots


@functools.cache
def dot_block(rows: int, vectors: int, magnitude: bool = False, wide: bool = WIDE_LANES > LANES) -> Any:
    """A micro-kernel for numba: y[v, r] = sum over i of w[r, i] u[v, i], for a block of rows and vectors.

    Arguments: w, first element of w, distance of w's rows, u, its first, its distance, the length of
    the sum, y, its first, the distance of its vectors; matrices are pointers to float32, indices flat.
    ``wide``: rows two by two in a vector of twice the lanes, where their number is even.
    """
    together = 2 if wide and rows % 2 == 0 else 1

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        w, w_first, w_step, u, u_first, u_step, length, y, y_first, y_step = arguments
        code, joined = _Emitter(builder, magnitude), _Emitter(builder, lanes=together * LANES)
        sums = _accumulators(builder, rows * vectors // together, together * LANES)
        w_rows = [builder.add(w_first, builder.mul(w_step, _INDEX(r))) for r in range(rows)]
        u_rows = [builder.add(u_first, builder.mul(u_step, _INDEX(v))) for v in range(vectors)]

        def join(values: list[Any]) -> Any:
            """Values of so many rows, one behind the other."""
            return values[0] if together == 1 else code.shuffled(values[0], values[1], range(2 * LANES))

        def step(position: Any, mask: Any) -> None:
            u_values = [code.load(u, builder.add(row, position), mask) for row in u_rows]
            u_values = [join([value] * together) for value in u_values]
            w_values = [code.weights(w, builder.add(row, position), mask) for row in w_rows]
            for r in range(0, rows, together):
                w_value = join(w_values[r : r + together])
                for v, u_value in enumerate(u_values):
                    slot = sums[r // together * vectors + v]
                    builder.store(joined.fma(w_value, u_value, builder.load(slot)), slot)

        whole = builder.and_(length, _INDEX(-LANES))
        with cgutils.for_range_slice(builder, _INDEX(0), whole, _INDEX(LANES)) as (position, _):
            step(position, None)
        rest = builder.sub(length, whole)
        with builder.if_then(builder.icmp_signed(">", rest, _INDEX(0))):
            step(whole, code.mask_below(rest))
        for v in range(vectors):
            first = builder.add(y_first, builder.mul(y_step, _INDEX(v)))
            for r in range(rows):
                both = builder.load(sums[r // together * vectors + v])
                own = r % together * LANES
                total = code.lane_sum(code.shuffled(both, both, range(own, own + LANES)))
                builder.store(total, builder.gep(y, [builder.add(first, _INDEX(r))]))
        return context.get_dummy_value()

    def block(typing_context, w, w_first, w_step, u, u_first, u_step, length, y, y_first, y_step):
        return _signature(w, u, y), emit

    return intrinsic(block)


@functools.cache
def turned_block(vectors: int, lanes: int = WIDE_LANES) -> Any:
    """A micro-kernel for numba: y[v, r] = sum over i of w[i, r] u[v, i], for vectors and ``lanes`` rows r.

    Each sum is that of ``dot_block``, whose arguments it has, then the number of rows that are stored, up to
    ``lanes``; w has all of them.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        w, w_first, w_step, u, u_first, u_step, length, y, y_first, y_step, left = arguments
        code = _Emitter(builder, lanes=lanes)
        sums = _accumulators(builder, LANES * vectors, lanes)
        u_rows = [builder.add(u_first, builder.mul(u_step, _INDEX(v))) for v in range(vectors)]

        def step(position: Any, lane: int) -> None:
            w_value = code.load(w, builder.add(w_first, builder.mul(position, w_step)))
            for v, row in enumerate(u_rows):
                slot = sums[lane * vectors + v]
                factor = code.splat(builder.load(builder.gep(u, [builder.add(row, position)])))
                builder.store(code.fma(w_value, factor, builder.load(slot)), slot)

        whole = builder.and_(length, _INDEX(-LANES))
        with cgutils.for_range_slice(builder, _INDEX(0), whole, _INDEX(LANES)) as (position, _):
            for lane in range(LANES):
                step(builder.add(position, _INDEX(lane)), lane)
        rest = builder.sub(length, whole)
        for lane in range(LANES - 1):
            with builder.if_then(builder.icmp_signed(">", rest, _INDEX(lane))):
                step(builder.add(whole, _INDEX(lane)), lane)
        mask = code.mask_below(left)
        for v in range(vectors):
            values = [builder.load(sums[lane * vectors + v]) for lane in range(LANES)]
            while len(values) > 1:
                half = len(values) // 2
                values = [
                    builder.fadd(low, high) for low, high in zip(values[:half], values[half:], strict=True)
                ]
            # the lanes of dot_block that a rest lacks add +0, which makes +0 of a sum of nothing but -0
            padded = builder.fadd(values[0], code.vector([0.0] * lanes))
            total = builder.select(builder.icmp_signed(">", rest, _INDEX(0)), padded, values[0])
            code.store(y, builder.add(y_first, builder.mul(y_step, _INDEX(v))), total, mask)
        return context.get_dummy_value()

    def block(typing_context, w, w_first, w_step, u, u_first, u_step, length, y, y_first, y_step, left):
        return _signature(w, u, y, 1), emit

    return intrinsic(block)


@functools.cache
def axpy_block(
    vectors: int, chunks: int, masked: bool = False, magnitude: bool = False, lanes: int = WIDE_LANES
) -> Any:
    """A micro-kernel for numba: z[v, c] += sum over o of d[v, o] w[o, c], for vectors and lanes * chunks c.

    Arguments as of ``dot_block``, with d for u and z for y, then the number of columns left in the last
    chunk, which is used when ``masked``.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        w, w_first, w_step, d, d_first, d_step, length, z, z_first, z_step, left = arguments
        code = _Emitter(builder, magnitude, lanes)
        last = code.mask_below(left) if masked else None
        masks = [None] * (chunks - 1) + [last]
        d_rows = [builder.add(d_first, builder.mul(d_step, _INDEX(v))) for v in range(vectors)]
        z_rows = [builder.add(z_first, builder.mul(z_step, _INDEX(v))) for v in range(vectors)]
        sums = _accumulators(builder, vectors * chunks, lanes)
        for v, row in enumerate(z_rows):
            for c in range(chunks):
                value = code.load(z, builder.add(row, _INDEX(lanes * c)), masks[c])
                builder.store(value, sums[v * chunks + c])
        w_place = cgutils.alloca_once(builder, _INDEX)
        builder.store(w_first, w_place)
        with cgutils.for_range(builder, length) as loop:
            place = builder.load(w_place)
            w_values = [
                code.weights(w, builder.add(place, _INDEX(lanes * c)), masks[c]) for c in range(chunks)
            ]
            for v, row in enumerate(d_rows):
                factor = code.splat(builder.load(builder.gep(d, [builder.add(row, loop.index)])))
                for c, w_value in enumerate(w_values):
                    slot = sums[v * chunks + c]
                    builder.store(code.fma(factor, w_value, builder.load(slot)), slot)
            builder.store(builder.add(place, w_step), w_place)
        for v, row in enumerate(z_rows):
            for c in range(chunks):
                where = builder.add(row, _INDEX(lanes * c))
                code.store(z, where, builder.load(sums[v * chunks + c]), masks[c])
        return context.get_dummy_value()

    def block(typing_context, w, w_first, w_step, d, d_first, d_step, length, z, z_first, z_step, left):
        return _signature(w, d, z, 1), emit

    return intrinsic(block)


def _signature(w: Any, u: Any, y: Any, more: int = 0) -> Any:
    if {w, u, y} != {types.CPointer(types.float32)}:
        return None
    index = types.int64
    return types.void(w, index, index, u, index, index, index, y, index, index, *[index] * more)
