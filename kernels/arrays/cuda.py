"""What changes devices outside of pulses, on a CUDA card: diffusion and decay after a mini-batch, resets.

Draws and the order of all steps are those of ``array.py``: the bits are the same.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl

from ..devices.base import PulsedDevice, changes_type, changing_names
from ..devices.drawn.cuda import drawn_row
from ..machine.cuda.clock import move_on
from ..machine.programs import programs
from ..pulsed_update.cuda.exact import Outer, with_products
from ..pulsed_update.cuda.steps import saturated, warps_of, write_noise
from ..rng import Stream
from ..rng.cuda import counter_low, counter_top, normal_pair, philox4x32

DIFFUSION, RESET = tl.constexpr(int(Stream.DIFFUSION)), tl.constexpr(int(Stream.RESET))


class Changing(NamedTuple):
    """The devices, and what changes them; what there is none of is any tensor."""

    w_TOI: Any
    seen_TOI: Any
    population: Any  # parameters, or the keys that they are drawn from
    keys: Any
    saturated_TO: Any  # devices at a bound, of each row
    diffusion_TOI: Any  # this and the next two: where they are not drawn as well
    decay_TOI: Any
    level_TOI: Any
    mask_TOI: Any  # uint8, 1 where a device is reset
    some: Any  # int32, whether any is
    clock: Any


class Sizes(NamedTuple):
    """Of the tiles, of a launch, and numbers that all devices share."""

    rows: Any
    columns: Any
    programs: Any
    advance: Any  # what the clock moves on by
    extra: Any  # of the draws of a reset
    level: Any  # that a reset or a decay leads to
    std: Any  # of a reset
    write_noise: Any


class Changed(NamedTuple):
    """What a kernel is compiled for."""

    diffuses: bool
    decays: bool
    resets: bool
    levelled: bool  # whether each device has a level of its own
    learns: bool  # by outer products, without pulses
    bounded: bool  # whether these stay within the bounds
    write: int  # the ``extra`` of the write noise; -1: there is none
    drawn: bool


@triton.jit
def clipped(w_I, low_I, high_I):
    return tl.maximum(tl.minimum(w_I, high_I), low_I)


@triton.jit
def first_normal(k0, k1, column, row, tick, extra, STREAM: tl.constexpr):
    """Standard normal number 0 of each column."""
    low, top = counter_low(tick), counter_top(STREAM, extra, tick)
    word, _, _, _ = philox4x32(k0, k1, column.to(tl.uint32), tl.zeros_like(low) + row, low, top)
    xi, _ = normal_pair(word)
    return xi


@triton.jit
def change_row(
    own, sizes, outer, program, formula: tl.constexpr, KIND: tl.constexpr, PARAMETERS: tl.constexpr,
    BLOCK: tl.constexpr, HOW: tl.constexpr,
):  # fmt: skip
    """The devices of one row of one tile: outer products, a reset, or diffusion and then decay.

    A formula gives a ``KIND`` of all that is drawn of a device, see ``changes_type``.
    """
    t, row = program // sizes.rows, program % sizes.rows
    column = tl.arange(0, BLOCK)
    here = column < sizes.columns
    at = program.to(tl.int64) * sizes.columns + column
    w_I = tl.load(own.w_TOI + at, here, 0.0)
    if HOW.drawn:
        drawn = drawn_row(own.population, t, row, column, sizes.columns, formula, KIND)
        low_I, high_I = drawn.min_bound, drawn.max_bound
    else:
        low_I = tl.load(own.population + at * PARAMETERS, here, 0.0)
        high_I = tl.load(own.population + at * PARAMETERS + 1, here, 0.0)
    k0 = tl.load(own.keys + 2 * t).to(tl.uint32, bitcast=True)
    k1 = tl.load(own.keys + 2 * t + 1).to(tl.uint32, bitcast=True)
    tick, row_word = tl.load(own.clock), tl.cast(row, tl.uint32)
    level_I = tl.zeros_like(w_I) + sizes.level
    if HOW.levelled:
        level_I = drawn.reset_bias if HOW.drawn else tl.load(own.level_TOI + at, here, 0.0)
    if HOW.learns:
        w_I = with_products(w_I, low_I, high_I, outer, t, row, column, HOW.bounded)
    if HOW.resets:
        xi = first_normal(k0, k1, column, row_word, tick, sizes.extra, RESET)
        chosen = tl.load(own.mask_TOI + at, here, 0) > 0
        w_I = clipped(tl.where(chosen, level_I + sizes.std * xi, w_I), low_I, high_I)
    if HOW.diffuses:
        xi = first_normal(k0, k1, column, row_word, tick, 0, DIFFUSION)
        rate_I = drawn.diffusion_rates if HOW.drawn else tl.load(own.diffusion_TOI + at, here, 0.0)
        w_I = clipped(w_I + rate_I * xi, low_I, high_I)
    if HOW.decays:
        scale_I = drawn.decay_scales if HOW.drawn else tl.load(own.decay_TOI + at, here, 0.0)
        w_I = clipped((w_I - level_I) * scale_I + level_I, low_I, high_I)
    tl.store(own.w_TOI + at, w_I, here)
    tl.store(own.saturated_TO + program, saturated(w_I, low_I, high_I, here))
    if HOW.write >= 0:
        xi = write_noise(k0, k1, column, row_word, tick, HOW.write)
        tl.store(own.seen_TOI + at, w_I + sizes.write_noise * xi, here)


@triton.jit
def change_kernel(
    own, sizes, outer, findings, formula: tl.constexpr, KIND: tl.constexpr, PARAMETERS: tl.constexpr,
    BLOCK: tl.constexpr, HOW: tl.constexpr,
):  # fmt: skip
    """All rows of all tiles; none once anything was found wrong, nor where nothing is to be reset."""
    program = tl.program_id(0)
    right = tl.load(findings) == 0
    if HOW.resets:
        right = right & (tl.load(own.some) > 0)
    if right:
        change_row(own, sizes, outer, program, formula, KIND, PARAMETERS, BLOCK, HOW)
    move_on(own.clock, sizes.advance, sizes.programs)


def change(
    device: PulsedDevice, formula: Any, own: Changing, sizes: Sizes, outer: Outer | None, findings: Any,
    how: Changed,
) -> None:  # fmt: skip
    """Launch a change of all devices; ``formula``: what draws them and what changes them, or None."""
    none = own.w_TOI
    outer = Outer(none, none, none, none, 0.0, 0, 0, 0) if outer is None else outer
    block = triton.next_power_of_2(sizes.columns)
    change_kernel[programs("rows of a change", sizes.programs)](
        own, sizes, outer, findings, formula=formula, KIND=changes_type(changing_names(device)),
        PARAMETERS=len(device.parameters), BLOCK=block, HOW=how, enable_fp_fusion=False,
        num_warps=warps_of(block),
    )  # fmt: skip
