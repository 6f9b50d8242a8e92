"""The read of stacked tiles on CPUs: blocks of vectors and lines go through all stages while in the cache.

How the work is cut into blocks and threads never changes a bit of the result.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from ...machine.jit import borrowed, kernel
from ...machine.ready import ready
from ...machine.threads import PROCESSORS
from ..rows import Rows
from ..settings import ANALOG_SUM, DIGITAL_SUM, ONE_PASS, SECOND_PASS
from ..spread import Spread
from .inputs import SEVERAL, convert_inputs, convert_task, scales_kernel
from .lines import Place
from .product import View
from .stages import Block, converted_output, line_signal, settings_in, stage, unsigned

__all__ = ["at_bound", "attempt", "passed", "prepare", "ready", "scales", "threads", "watched"]

LINE_BLOCK = 64
WIDE_BLOCK, MANY_LINES = 512, 4096  # columns of w that are read together where there are many: whole rows
CHUNK = 4096  # inputs that are converted together
BLOCK_WORK = 1 << 18  # multiply-adds that a block holds at least, where there are enough rows
SERIAL_WORK = 400_000  # below this many multiply-adds a second thread costs more than it saves
NEAR = np.float32(1 - 2**-19)  # of the bound: whatever a factor's rounding may bring to it
LINE_WORK = 60  # multiply-adds that take as long as the noise and conversion of one value

compiled = numba.njit(error_model="numpy")


@compiled
def one_sign(block, u, sign):
    """The positive (``sign`` 1) or negative (-1) inputs, a new matrix."""
    part = View(np.empty(block.rows * block.length, np.float32), 0, block.length)
    for r in range(block.rows):
        for j in range(block.length):
            value = u.data[unsigned(u.first + r * u.step + j)]
            part.data[unsigned(r * block.length + j)] = value if value * sign > 0 else np.float32(0)
    return part


@compiled
def weights_at_negative(settings, spread, block, w, w_TOI):
    """What negative inputs see of the block's weights."""
    if len(spread.read_factor_TOI) == 0:
        return w
    out_size, in_size = w_TOI.shape[1:]
    if settings.transposed:
        seen = View(np.empty(out_size * block.lines, np.float32), 0, block.lines)
        for o in range(out_size):
            for i in range(block.lines):
                c = block.line + i
                seen.data[o * block.lines + i] = w_TOI[block.t, o, c] * spread.read_factor_TOI[block.t, o, c]
        return seen
    seen = View(np.empty(block.lines * in_size, np.float32), 0, in_size)
    for i in range(block.lines):
        o = block.line + i
        for c in range(in_size):
            seen.data[i * in_size + c] = w_TOI[block.t, o, c] * spread.read_factor_TOI[block.t, o, c]
    return seen


@compiled
def add_second(block, second, y):
    for r in range(block.rows):
        for i in range(block.lines):
            y.data[unsigned(y.first + r * y.step + i)] += second.data[unsigned(r * block.lines + i)]


@stage
def read_passes(settings, spread, block, w, w_TOI, u, y, above, below):
    """The product and the ADC; negative and positive inputs in passes of their own where that is chosen."""
    separate = settings.passes != ONE_PASS
    second = y
    if separate:
        second = View(np.empty(block.rows * block.lines, np.float32), 0, block.lines)
    for number in range(2 if separate else 1):
        w_seen, u_seen, y_seen, draw = w, u, y, 0
        if separate:
            u_seen = one_sign(block, u, np.float32(1 if number else -1))
        if separate and number == 0:
            w_seen = weights_at_negative(settings, spread, block, w, w_TOI)
        if number == 1:
            y_seen, draw = second, SECOND_PASS
        line_signal(settings, spread, block, draw, w_seen, u_seen, y_seen)
        if settings.passes == ANALOG_SUM:
            if number == 0:
                continue
            add_second(block, second, y)
            y_seen, draw = y, 0
        converted_output(settings, spread, block, draw, y_seen, above, below)
    if settings.passes == DIGITAL_SUM:
        add_second(block, second, y)


class Operands(NamedTuple):
    """The arrays that an attempt reads, and the inputs as they drive the lines.

    Of the inputs none are there where each is read by one task alone, which converts it then.
    """

    keys_T2: Any
    w_TOI: Any
    x_RI: Any
    scaled: bool  # whether scale_M is known, or else worked out, and finite_C with it
    scale_M: Any
    finite_C: Any  # of each chunk of inputs, or task: whether all of them are
    u_MI: Any
    only_M: Any  # the only input of a row that is not zero, or SEVERAL


class Turn(NamedTuple):
    """Which attempt it is: the factor of its inputs' scale, the first vector's time, its number."""

    factor: Any
    tick: int
    number: int


class Cut(NamedTuple):
    """How outputs are cut into blocks of rows and lines."""

    row_blocks: int  # of each tile
    row_block: int
    line_block: int


class Outputs(NamedTuple):
    """The results, and how many of a row's values in each block of lines are beyond either bound, or near."""

    y_NL: Any
    above_KN: Any
    below_KN: Any
    near_KN: Any


class Part(NamedTuple):
    """Output rows ``first`` .. ``first + rows`` and lines ``line`` .. ``line + lines`` of tile ``t``."""

    t: int
    first: int
    rows: int
    line: int
    lines: int
    input_first: int  # the first of their rows of inputs


@compiled
def one_input_each(only_R):
    dense = False
    for r in range(len(only_R)):
        dense = dense or only_R[r] == SEVERAL
    return not dense


@compiled
def read_part(settings, spread, rows, operands, turn, out, part, k, u_RI, only_R):
    """All stages of one part, whose lines are block ``k``."""
    t, n, count, line, lines, m = part
    w_TOI, y_NL, key = operands.w_TOI, out.y_NL, operands.keys_T2[t]
    out_size, in_size = w_TOI.shape[1:]
    length = out_size if settings.transposed else in_size
    place = Place(settings.stream, turn.number, turn.tick, rows.vector_N, n, count, line, lines)
    block = Block(t, line, lines, count, length, key[0], key[1], place, only_R, one_input_each(only_R))
    w_first = t * out_size * in_size + (line if settings.transposed else line * in_size)
    w = View(w_TOI.reshape(-1), w_first, in_size)
    u = View(u_RI.reshape(-1), 0, length)
    y = View(y_NL.reshape(-1), n * y_NL.shape[1] + line, y_NL.shape[1])
    above, below = out.above_KN[k, n : n + count], out.below_KN[k, n : n + count]
    above[:] = 0
    below[:] = 0
    read_passes(settings, spread, block, w, w_TOI, u, y, above, below)
    for r in range(count):
        gain = operands.scale_M[m + r] * turn.factor * settings.out_scale
        if gain == 0:
            above[r] = below[r] = 0
        at, near = y.first + r * y.step, np.int32(0)
        for i in range(at, at + lines):
            near += np.int32(abs(y.data[unsigned(i)]) >= settings.out_bound * NEAR)
            y.data[unsigned(i)] *= gain
        out.near_KN[k, n + r] = near


@compiled
def read_task(task, cut, settings, spread, rows, operands, turn, out):
    """``read_part`` for one block of rows and lines of a tile."""
    line_blocks, lines = len(out.above_KN), out.y_NL.shape[1]
    t = task // (line_blocks * cut.row_blocks)
    k = task // cut.row_blocks % line_blocks
    n = rows.first_T1[t] + task % cut.row_blocks * cut.row_block
    count = min(cut.row_block, rows.first_T1[t + 1] - n)
    line = k * cut.line_block
    if count <= 0:
        return
    first = rows.input_first_T[t] + n - rows.first_T1[t]
    stop, length = first + count, operands.u_MI.shape[1]
    if len(operands.u_MI) == 0:
        u_RI, only_R = np.empty((count, length), np.float32), np.empty(count, np.int64)
        operands.finite_C[task] = convert_inputs(settings, rows, operands, turn, first, stop, u_RI, only_R)
    else:
        u_RI, only_R = operands.u_MI[first:stop], operands.only_M[first:stop]
    part = Part(t, n, count, line, min(cut.line_block, lines - line), first)
    read_part(settings, spread, rows, operands, turn, out, part, k, u_RI, only_R)


@compiled
def chunks_of(operands):
    """The chunks in which inputs are converted before they are read."""
    return len(operands.finite_C) if len(operands.u_MI) > 0 else 0


@numba.njit(error_model="numpy", parallel=True)
def attempt_in_parallel(tasks, chunk, cut, settings, spread, rows, operands, turn, out):
    chunks = chunks_of(operands)
    if chunks == 1:  # to wake threads for it would take longer
        convert_task(0, chunk, settings, rows, operands, turn)
    else:
        for task in numba.prange(chunks):
            convert_task(np.int64(task), chunk, settings, rows, operands, turn)
    for task in numba.prange(tasks):
        read_task(np.int64(task), cut, settings, spread, rows, operands, turn, out)


@compiled
def attempt_in_sequence(tasks, chunk, cut, settings, spread, rows, operands, turn, out):
    spread, rows, operands, out = borrowed((spread, rows, operands, out))
    for task in range(chunks_of(operands)):
        convert_task(task, chunk, settings, rows, operands, turn)
    for task in range(tasks):
        read_task(task, cut, settings, spread, rows, operands, turn, out)


@kernel
def attempt(prepared, spread, keys_T2, w_TOI, x_RI, scale_M, rows, factor, tick, number, threads):
    """One attempt at ``rows``; see ``naive.attempt``."""
    settings, spread, rows = settings_in(prepared), Spread(*spread), Rows(*rows)
    tiles, out_size, in_size = w_TOI.shape
    lines, length = (in_size, out_size) if settings.transposed else (out_size, in_size)
    line_block = WIDE_BLOCK if settings.transposed and tiles * lines >= MANY_LINES else LINE_BLOCK
    row_block = min(max(BLOCK_WORK // (min(lines, LINE_BLOCK) * (length + LINE_WORK)) // 12 * 12, 48), 384)
    most = 0
    for t in range(tiles):
        most = max(most, rows.first_T1[t + 1] - rows.first_T1[t])
    line_blocks = (lines + line_block - 1) // line_block
    cut = Cut((most + row_block - 1) // row_block, row_block, line_block)
    if line_blocks == 1 and tiles == 1 and threads > 1:  # so many blocks that all threads have alike
        blocks = (cut.row_blocks + threads - 1) // threads * threads
        cut = Cut(blocks, (most + blocks - 1) // blocks, line_block)
    y_NL = np.empty((len(rows.vector_N), lines), np.float32)
    above_KN = np.empty((line_blocks, len(y_NL)), np.int32)
    below_KN = np.empty((line_blocks, len(y_NL)), np.int32)
    near_KN = np.empty((line_blocks, len(y_NL)), np.int32)
    inputs, scaled = len(rows.source_M), len(scale_M) > 0
    scale_M = scale_M if scaled else np.empty(inputs, np.float32)
    tasks = tiles * line_blocks * cut.row_blocks
    once = line_blocks == 1 and (tiles == 1 or not rows.shared)  # each input is read by one task
    u_MI = np.empty((0 if once else inputs, length), np.float32)
    only_M = np.empty(len(u_MI), np.int64)
    chunk = max(CHUNK // length, 1)
    finite_C = np.ones(tasks if once else (inputs + chunk - 1) // chunk, np.bool_)
    operands = Operands(keys_T2, w_TOI, x_RI, scaled, scale_M, finite_C, u_MI, only_M)
    out = Outputs(y_NL, above_KN, below_KN, near_KN)
    turn = Turn(np.float32(factor), tick, number)
    if threads > 1:
        attempt_in_parallel(tasks, chunk, cut, settings, spread, rows, operands, turn, out)
    else:
        attempt_in_sequence(tasks, chunk, cut, settings, spread, rows, operands, turn, out)
    hits_N = np.empty(len(y_NL), np.bool_)
    clips_N = np.empty(len(y_NL), np.int64)
    total = near = 0
    for n in range(len(y_NL)):
        above = below = 0
        for k in range(line_blocks):
            above += above_KN[k, n]
            below += below_KN[k, n]
            near += near_KN[k, n]
        hits_N[n] = above > 0 or (settings.bm_test_negative_bound and below > 0)
        clips_N[n] = above + below
        total += above + below
    return y_NL, hits_N, clips_N, total, near, scale_M, finite_C.all()


@kernel
def at_bound(y_TBL, limit_M, first_T):
    """See ``naive.at_bound``; where there is none, the mask is empty."""
    tiles, batch, lines = y_TBL.shape
    found = 0
    for t in range(tiles):
        for b in range(batch):
            limit = limit_M[first_T[t] + b]
            if limit > 0:
                for line in range(lines):
                    found += abs(y_TBL[t, b, line]) >= limit
    mask_TBL = np.zeros(y_TBL.shape if found else (0, 0, 0), np.uint8)
    if found:
        for t in range(tiles):
            for b in range(batch):
                limit = limit_M[first_T[t] + b]
                for line in range(lines):
                    mask_TBL[t, b, line] = limit > 0 and abs(y_TBL[t, b, line]) >= limit
    return found, mask_TBL


def prepare(settings):
    """Settings as the kernels take them."""
    return settings.packed()


def passed(named):
    """A plain tuple: numba looks up a named one's class in every call, and that takes long."""
    return tuple(named)


def threads(vectors, lines, length):
    """See ``naive.threads``."""
    return PROCESSORS.unwatched(vectors * lines * (length + LINE_WORK), SERIAL_WORK)


def watched(vectors, lines, length):
    """See ``naive.watched``."""
    return PROCESSORS.call(vectors * lines * (length + LINE_WORK), SERIAL_WORK)


scales = scales_kernel
