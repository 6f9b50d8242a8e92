"""The autograd function of hardware-aware training: tiles read, the digital trainer learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import torch
import torch.nn.grad
from torch import Tensor

from crossgrid.kernels.machine.pages import Recycled
from crossgrid.kernels.patches.unfold import Window

from ..config.rpu import InputRangeParameter
from ..hosts.grid import TileGrid
from ..hosts.records import Record
from ..tiles.bank import Mask
from ..tiles.layer_spec import LayerSpec
from .autograd import once, raise_forward_mode
from .conversions import as_array, as_tensor, as_values, each_output, is_there
from .input_range import range_gradient

FEW_VECTORS = 32  # of more, a BLAS is the faster one


@dataclass(frozen=True, slots=True)
class Reading:
    """How one pass reads the tiles of a digitally trained weight."""

    grid: TileGrid
    modify: int | None  # the draw of the modified weights that it sees, or that its first sample does
    each_sample: bool  # whether the next sample sees the next draw, or else all the same
    keep: bool  # for a backward pass
    memory: Recycled  # for gradients
    scale: Tensor | None  # a: the tiles hold W / a
    input_range: InputRangeParameter | None


class HardwareAwareProduct(torch.autograd.Function):
    """y = a r T(x / r) on tiles T that hold the mini-batch's modified W~ / a, of x clipped to the range +-r.

    z = W~^T d is read on the tiles; dL/dW = d^T x of the clipped x is computed digitally, in this process, as
    the trainer of a hardware-aware network is digital: it passes straight through the modification, and has
    the same bits wherever the tiles live. Where a tile's result stood at its ADC's bound, d is zero for it. z
    passes unmasked to inputs beyond the range, whose own gradient pulls the range out (``range_gradient``).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, r: Tensor | None, reading: Reading) -> Tensor:
        ctx.there = is_there(x, reading.grid.takes_tensors)
        ctx.r = None if r is None else r.detach().clone().to(x) if ctx.there else r.item()
        seen = x if ctx.r is None else _clipped(x, ctx.r) / ctx.r
        of_input, of_weight, of_range, _ = ctx.needs_input_grad
        keep = reading.keep and (of_input or of_weight or of_range)
        constant = 1.0 if ctx.r is None else 1.0 / ctx.r  # of a bias's column, which no range clips
        y, ctx.records = _read_forward(reading, seen, keep, constant)
        ctx.reading, ctx.shape = reading, tuple(x.shape)
        if keep:
            ctx.save_for_backward(x, weight)
        if ctx.r is not None:
            y = y.mul_(ctx.r)
        return y if reading.scale is None else y.mul_(reading.scale.to(y))

    @staticmethod
    def jvp(ctx: Any, *_: Any) -> NoReturn:
        raise_forward_mode(ctx.reading.grid.spec.name)

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        of_input, of_weight, of_range, _ = ctx.needs_input_grad
        with torch.no_grad():
            z = _read_backward(ctx, d) if of_input or of_range else None
            clipped, masks = x if ctx.r is None else _clipped(x, ctx.r), _at_bound(ctx.records, len(d))
            of_w = of_r = None
            if of_weight:
                gradient = _weight_gradient(ctx.reading, masks, clipped, d, ctx.there)
                of_w = _shaped(gradient, weight, ctx.reading.grid)
            if of_range and z is not None:
                within = _within(masks, len(d), ctx.reading.grid)
                of_r = range_gradient(x, z, ctx.r, ctx.reading.input_range, within).to(weight.dtype)
            if ctx.there:
                of_w, of_r = _learnt_there(ctx.reading.grid, d, z is not None, (of_w, of_r))
        z, of_w, of_r = (None if g is None else once(g, d, weight) for g in (z, of_w, of_r))
        return z if of_input else None, of_w, of_r, None


def _learnt_there(
    grid: TileGrid, d: Tensor, read: bool, gradients: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """Gradients on a card: zeros from when kernels found something wrong until somebody is told."""
    findings = grid.executor.findings
    if not read:  # by no kernel
        findings.note(grid.spec.name, "GRADIENT", d)
    return [None if each is None else findings.withheld(each) for each in gradients]


def _clipped(x: Tensor, r: Any) -> Tensor:
    return torch.clamp(x, -r, r)


def _read_forward(
    reading: Reading, x: Tensor, keep: bool, constant: Any
) -> tuple[Tensor, list[Record | None]]:
    """y of one pass, or of a pass for each sample, and what the tiles remember of each."""
    grid, draw = reading.grid, reading.modify
    if draw is None or not reading.each_sample or len(x) < 2:
        y_BO, record = grid.forward(as_values(x, grid.takes_tensors), keep, draw, constant=constant)
        return as_tensor(y_BO, x), [record]
    passes = [
        grid.forward(as_values(one, grid.takes_tensors), keep, draw + b, constant=constant)
        for b, one in enumerate(x.split(1))
    ]
    return torch.cat([as_tensor(y, x) for y, _ in passes]), [record for _, record in passes]


def _read_backward(ctx: Any, d: Tensor) -> Tensor:
    """z = W~^T d, shaped like the input."""
    grid, scale = ctx.reading.grid, ctx.reading.scale
    scale_O: Any = None
    if scale is not None:
        size = grid.spec.out_size
        scale_O = scale.to(d.device).expand(size) if ctx.there else each_output(scale, size)
    shape = (ctx.shape[0] // len(ctx.records), *ctx.shape[1:])
    passes = zip(ctx.records, d.chunk(len(ctx.records)), strict=True)
    parts = [
        grid.backward(record, as_values(each, grid.takes_tensors), shape, scale_O)[0]
        for record, each in passes
    ]
    return torch.cat([as_tensor(z, d) for z in parts]) if len(parts) > 1 else as_tensor(parts[0], d)


def _at_bound(records: list[Record], vectors: int) -> dict[int, Mask]:
    """Which results [vectors, out] of a block stand at its ADC's bound; blocks without any are left out."""
    if len(records) == 1:
        return records[0].at_bound
    found: dict[int, Mask] = {}
    rows = vectors // len(records)
    for n, record in enumerate(records):
        for block, mask in record.at_bound.items():
            zeros = np.zeros if isinstance(mask, np.ndarray) else mask.new_zeros
            whole = found.setdefault(block, zeros((vectors, mask.shape[1]), dtype=mask.dtype))
            whole[n * rows : (n + 1) * rows] = mask
    return found


def _within(masks: dict[int, Mask], vectors: int, grid: TileGrid) -> Any:
    """The fraction of all tiles' results that were within the ADC's bound; of masks on a card a tensor."""
    results = vectors * sum(tile.shape[0] for tile in grid.spec.tiles)
    return 1.0 - sum(mask.sum() for mask in masks.values()) / max(results, 1)


def _weight_gradient(
    reading: Reading, at_bound: dict[int, Mask], x: Tensor, d_BO: Tensor, there: bool
) -> Tensor:
    """dL/dW[out, in], without the results that stood at an ADC's bound: of each block on its own.

    ``there``: on this process's card, by torch alone.
    """
    spec, memory = reading.grid.spec, None if there else reading.memory
    if not at_bound:
        return _gradient(x, d_BO, spec, memory)
    columns = {tile.column % spec.columns: slice(tile.in_start, tile.in_stop) for tile in spec.tiles}
    of_weight = d_BO.new_empty(spec.out_size, spec.in_size)
    for column, inputs in columns.items():
        seen_BO = d_BO.clone()
        for tile in spec.tiles:
            if tile.column % spec.columns == column and tile.block in at_bound:
                mask_BO = as_tensor(at_bound[tile.block], seen_BO).bool()
                seen_BO[:, tile.out_start : tile.out_stop].masked_fill_(mask_BO, 0.0)
        of_weight[:, inputs] = _gradient(x, seen_BO, spec, memory)[:, inputs]
    return of_weight


def _shaped(gradient_OI: Tensor, weight: Tensor, grid: TileGrid) -> Tensor:
    """The gradient as torch keeps the weight."""
    gradient: Tensor = gradient_OI if grid.spec.bias_column else grid.spec.weight(gradient_OI)
    return gradient.to(weight.dtype)


def _gradient(x: Tensor, d_BO: Tensor, spec: LayerSpec, memory: Recycled | None) -> Tensor:
    if spec.patches is None:
        of_weight = _matrix_gradient(x, d_BO, memory)
    else:
        of_weight = _kernel_gradient(x, d_BO, spec.patches, spec.groups)
    if not spec.bias_column:
        return of_weight
    return torch.cat([of_weight, d_BO.sum(0).unsqueeze(1).to(of_weight)], dim=1)


def _matrix_gradient(x_BI: Tensor, d_BO: Tensor, memory: Recycled | None) -> Tensor:
    """dL/dW[out, in] of a linear layer.

    Of few vectors on a processor a BLAS spends most of its time on writing, and the system on fresh pages,
    unless there is a ``memory`` for them.
    """
    few = len(x_BI) <= FEW_VECTORS and x_BI.device.type == "cpu" and x_BI.dtype == torch.float32
    if memory is None or not few:
        return d_BO.t() @ x_BI
    from crossgrid.kernels.analog_mvm.cpu.gradient import weight_gradient  # with numba

    grad_OI = memory.empty((d_BO.shape[1], x_BI.shape[1]))
    weight_gradient(as_array(x_BI), as_array(d_BO), grad_OI)
    return torch.from_numpy(grad_OI)


def _kernel_gradient(x: Tensor, d_BO: Tensor, patches: Window, groups: int) -> Tensor:
    """dL/dW[out, channels of a group x window] of a convolution, from images and [B x positions, out]."""
    spatial = patches.output_size(tuple(x.shape[2:]))
    d = d_BO.reshape(x.shape[0], *spatial, d_BO.shape[1]).movedim(-1, 1)
    shape = (d.shape[1], x.shape[1] // groups, *patches.kernel)
    convolution = {
        1: torch.nn.grad.conv1d_weight,
        2: torch.nn.grad.conv2d_weight,
        3: torch.nn.grad.conv3d_weight,
    }[len(patches.kernel)]
    grad: Tensor = convolution(
        x, list(shape), d.contiguous(), patches.stride, patches.padding, patches.dilation, groups
    )
    return grad.reshape(shape[0], -1)
