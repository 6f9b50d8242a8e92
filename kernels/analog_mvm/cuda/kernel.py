"""The read of stacked tiles as one launch: scales, converters, product and bound management."""
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, check-untyped-defs=False

from __future__ import annotations

import triton
import triton.language as tl

from ...machine.cuda.clock import move_on
from ...machine.cuda.findings import found
from .. import settings
from .stages import (
    ALL,
    DIGITAL_SUM,
    NEGATIVE,
    ONE_PASS,
    POSITIVE,
    SCALE_CONSTANT,
    SCALE_MAX,
    SCALE_NONE,
    SCALE_NP_SUM,
    SECOND,
    Block,
    converted_output,
    input_block,
    line_signal,
    number_sum_scale,
    spread_of_lines,
)  # fmt: skip

NOT_FINITE = tl.constexpr(0x7F800000)  # bits of infinity; those of NaN are larger
DECAY = tl.constexpr(settings.AVERAGE_DECAY)


@triton.jit
def row_scales(inputs, n, source, inside, s, shape, STAGES: tl.constexpr):
    """Bits of each row's largest magnitude, its scale, and that of attempts that sums of inputs scale."""
    ROWS: tl.constexpr = STAGES.rows
    LOOK: tl.constexpr = STAGES.look
    SUMS: tl.constexpr = STAGES.worst or STAGES.scaling == SCALE_NP_SUM
    bits_RB = tl.zeros((ROWS, LOOK), tl.int32)
    value_RB = tl.full((ROWS, LOOK), float("-inf"), tl.float32)
    positive_RB, negative_RB = tl.zeros((ROWS, LOOK), tl.float32), tl.zeros((ROWS, LOOK), tl.float32)
    for start in range(0, shape.length, LOOK):
        term = start + tl.arange(0, LOOK)
        here = inside[:, None] & (term < shape.length)[None, :]
        x_RB = input_block(inputs, n, source, here, term, shape.length, STAGES.masked)
        bits_RB = tl.maximum(bits_RB, x_RB.to(tl.int32, bitcast=True) & 0x7FFFFFFF)
        if STAGES.scaling == SCALE_MAX:
            value_RB = tl.maximum(value_RB, tl.where(here, x_RB, float("-inf")))
        if SUMS:
            positive_RB += tl.maximum(x_RB, 0.0)
            negative_RB += tl.maximum(-x_RB, 0.0)
    bits_R = tl.max(bits_RB, 1)
    largest_R = tl.minimum(bits_R.to(tl.float32, bitcast=True), s.largest_scale)
    summed_R = largest_R
    if SUMS:
        sums_R = tl.maximum(tl.sum(positive_RB, 1), tl.sum(negative_RB, 1))
        summed_R = number_sum_scale(largest_R, sums_R, s.np_sum_finest, s.np_sum_factor)
    if STAGES.scaling == SCALE_NONE:
        scale_R = tl.full((ROWS,), 1.0, tl.float32)
    elif STAGES.scaling == SCALE_CONSTANT:
        scale_R = tl.zeros((ROWS,), tl.float32) + s.largest_scale
    elif STAGES.scaling == SCALE_MAX:
        scale_R = tl.minimum(tl.max(value_RB, 1), s.largest_scale)
    elif STAGES.scaling == SCALE_NP_SUM:
        scale_R = summed_R
    else:
        scale_R = largest_R
    summed_R = tl.where(summed_R > 0.0, summed_R, shape.unscaled)
    return bits_R, tl.where(scale_R > 0.0, scale_R, shape.unscaled), summed_R


@triton.jit
def attempt(w, inputs, s, spreads, out, shape, block, t, STAGES: tl.constexpr):
    """One attempt at a block's rows; how many of each row's outputs are above and below the bound."""
    ROWS: tl.constexpr = STAGES.rows
    above_R, below_R = tl.zeros((ROWS,), tl.int32), tl.zeros((ROWS,), tl.int32)
    going, n = block.inside, block.n
    gain_R = block.scale_R * s.out_scale
    limit_R = block.scale_R * shape.limit
    tile = t.to(tl.int64) * shape.lines * shape.length
    factor = spreads.read_factor + tile
    LOW: tl.constexpr = ALL if STAGES.passes == ONE_PASS else NEGATIVE
    begin, stop = block.first, shape.lines
    if STAGES.attempts == 1:
        stop = tl.minimum(stop, begin + STAGES.lines)
    for first in range(begin, stop, STAGES.lines):
        line = first + tl.arange(0, STAGES.lines)
        here = (going & (gain_R != 0.0))[:, None] & (line < shape.lines)[None, :]
        spread = spread_of_lines(spreads, s, t, line, shape.lines, STAGES)
        some = Block(
            block.k0, block.k1, n, block.source, going, line, first, block.tick_R, block.number, block.scale_R
        )
        y_RL = line_signal(w + tile, factor, inputs, s, some, spread, shape, LOW, 0, STAGES.factor, STAGES)
        if STAGES.passes != ONE_PASS:
            high_RL = line_signal(
                w + tile, factor, inputs, s, some, spread, shape, POSITIVE, SECOND, False, STAGES
            )
            if STAGES.passes != DIGITAL_SUM:
                y_RL += high_RL
        y_RL, over_R, under_R = converted_output(y_RL, s, some, spread, here, 0, STAGES)
        above_R += over_R
        below_R += under_R
        if STAGES.passes == DIGITAL_SUM:
            high_RL, over_R, under_R = converted_output(high_RL, s, some, spread, here, SECOND, STAGES)
            y_RL += high_RL
            above_R += over_R
            below_R += under_R
        y_RL = y_RL * gain_R[:, None]
        at = n[:, None].to(tl.int64) * shape.lines + line[None, :]
        kept = going[:, None] & (line < shape.lines)[None, :]
        tl.store(out.y + at, y_RL, kept)
        if STAGES.bounded:
            stands = (tl.abs(y_RL) >= limit_R[:, None]) & (limit_R > 0.0)[:, None]
            tl.store(out.mask + at, stands.to(tl.uint8), kept)
    return above_R, below_R


@triton.jit
def attempts(w, inputs, s, spreads, out, shape, block, t, summed_R, STAGES: tl.constexpr):
    """Attempts at a block's rows until none is beyond the bound; clips of each row's last, and retries."""
    ROWS: tl.constexpr = STAGES.rows
    number, going = block.number, block.inside
    factor = tl.full((), 1.0, tl.float32)
    clips_R, retries = tl.zeros((ROWS,), tl.int32), tl.zeros((), tl.int32)
    while tl.max(going.to(tl.int32), 0) > 0:
        scale_R = block.scale_R
        if STAGES.worst:
            scale_R = tl.where(number > 0, summed_R, scale_R)
        some = Block(
            block.k0, block.k1, block.n, block.source, going, block.line, block.first, block.tick_R, number,
            scale_R * factor,
        )  # fmt: skip
        above_R, below_R = attempt(w, inputs, s, spreads, out, shape, some, t, STAGES)
        clips_R = tl.where(going, above_R + below_R, clips_R)
        hit_R = above_R > 0
        if STAGES.below_too:
            hit_R = hit_R | (below_R > 0)
        number += 1
        going = going & hit_R & (number < STAGES.attempts)
        retries += tl.sum(going.to(tl.int32), 0)
        if STAGES.twice:
            factor = tl.where(number == 1, factor, factor * 2.0)
        else:
            factor = factor * 2.0
    return clips_R, retries


@triton.jit
def read_kernel(w, inputs, outputs, keys, s, spreads, out, shape, shared, STAGES: tl.constexpr):
    """Program (t row_blocks + r, k): output rows of block r of tile t; of several attempts all their lines,
    else those of block k."""
    t = tl.program_id(0) // shape.row_blocks
    row_0, stop = tl.load(outputs.first_row + t), tl.load(outputs.first_row + t + 1)
    begin = row_0 + (tl.program_id(0) % shape.row_blocks) * STAGES.rows
    now = tl.load(shared.clock)
    if begin < stop:
        n = begin + tl.arange(0, STAGES.rows)
        inside = n < stop
        m = tl.load(outputs.input_first + t) + n - row_0
        source = tl.load(inputs.source + m, inside, 0)
        tick_R = now + tl.load(outputs.vector + n, inside, 0)
        k0 = tl.load(keys + 2 * t).to(tl.uint32, bitcast=True)
        k1 = tl.load(keys + 2 * t + 1).to(tl.uint32, bitcast=True)
        first = tl.program_id(1) * STAGES.lines
        bits_R, scale_R, summed_R = row_scales(inputs, n, source, inside, s, shape, STAGES)
        if tl.max(bits_R, 0) >= NOT_FINITE:
            found(shared.findings, shared.finding)
        if STAGES.scaled:
            scale_R = tl.load(inputs.scale + m, inside, 0.0)
        number = tl.cast(shape.number, tl.int32)
        block = Block(k0, k1, n, source, inside, first, first, tick_R, number, scale_R)
        if STAGES.attempts == 1:
            above_R, below_R = attempt(w, inputs, s, spreads, out, shape, block, t, STAGES)
            clips_R, retries = above_R + below_R, tl.zeros((), tl.int32)
            if STAGES.per_row:
                tl.atomic_add(out.above + n, above_R, inside & (above_R > 0))
                tl.atomic_add(out.below + n, below_R, inside & (below_R > 0))
        else:
            clips_R, retries = attempts(w, inputs, s, spreads, out, shape, block, t, summed_R, STAGES)
        if not STAGES.per_row:
            clips = tl.sum(clips_R, 0)
            tl.atomic_add(out.clips + t, clips.to(tl.int64), clips > 0)
            tl.atomic_add(out.retries + t, retries.to(tl.int64), retries > 0)
    move_on(shared.clock, shape.advance, shape.programs)


@triton.jit
def average_kernel(
    inputs, outputs, scale, average, s, shape, shared, MASKED: tl.constexpr, LOOK: tl.constexpr
):
    """Program t: the running average of tile t's largest magnitudes, vector by vector, in place of scales."""
    t = tl.program_id(0)
    row_0, stop = tl.load(outputs.first_row + t), tl.load(outputs.first_row + t + 1)
    before = tl.load(average + t)
    for n in range(row_0, stop):
        m = tl.load(outputs.input_first + t) + n - row_0
        row = inputs.x + tl.load(inputs.source + m) * shape.length
        bits_B = tl.zeros((LOOK,), tl.int32)
        for start in range(0, shape.length, LOOK):
            term = start + tl.arange(0, LOOK)
            x_B = tl.load(row + term, term < shape.length, 0.0)
            if MASKED:
                none_B = tl.load(inputs.mask + n * shape.length + term, term < shape.length, 0)
                x_B = tl.where(none_B > 0, 0.0, x_B)
            bits_B = tl.maximum(bits_B, x_B.to(tl.int32, bitcast=True) & 0x7FFFFFFF)
        bits = tl.max(bits_B, 0)
        if bits >= NOT_FINITE:
            found(shared.findings, shared.finding)
        largest = tl.minimum(bits.to(tl.float32, bitcast=True), s.largest_scale)
        largest = tl.where(largest > 0.0, largest, shape.unscaled)
        moved = before + DECAY * (largest - before)
        moved = tl.where(before < 0.0, largest, moved)
        before = tl.where(bits >= NOT_FINITE, before, moved)
        tl.store(scale + m, before)
    tl.store(average + t, before)
