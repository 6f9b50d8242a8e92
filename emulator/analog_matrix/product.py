"""The autograd function of hardware-aware training: tiles read, the digital trainer learns."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.grad
from torch import Tensor
from torch.autograd.function import once_differentiable

from crossgrid.kernels.analog_mvm.cpu.gradient import weight_gradient
from crossgrid.kernels.machine.pages import Recycled
from crossgrid.kernels.patches.unfold import Window

from ..hosts.grid import TileGrid
from ..tiles.bank import Floats
from ..tiles.layer_spec import LayerSpec
from .conversions import as_array

FEW_VECTORS = 32  # of more, a BLAS is the faster one


class HardwareAwareProduct(torch.autograd.Function):
    """y = W~ x on the tiles with the mini-batch's modified weights W~; dL/dW passes straight through.

    z = W~^T d is read on the tiles; dL/dW = d^T x is computed digitally, in this process, as the trainer of a
    hardware-aware network is digital. So it has the same bits wherever the tiles live.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, factor: Floats | None, grid: TileGrid, modify: int | None,
        keep: bool, memory: Recycled,
    ) -> Tensor:  # fmt: skip
        y_BO, record = grid.forward(as_array(x), keep, modify)
        ctx.record, ctx.grid, ctx.shape, ctx.memory = record, grid, tuple(x.shape), memory
        ctx.factor, ctx.dtype = factor, weight.dtype
        if keep:
            ctx.save_for_backward(x)
        return torch.from_numpy(y_BO).to(x.device, x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        z = grad = None
        if ctx.needs_input_grad[0]:
            z = torch.from_numpy(ctx.grid.backward(ctx.record, as_array(d), ctx.shape)).to(d)
        if ctx.needs_input_grad[1]:
            grad = _weight_gradient(x, d, ctx.grid.spec, ctx.memory)
            if ctx.factor is not None:  # y = a (W / a) x: the tiles' gradient is a times that of W
                grad = grad / torch.from_numpy(ctx.factor).to(grad)
            grad = grad.t() if ctx.grid.spec.transposed else grad.reshape(ctx.grid.spec.weight_shape)
            grad = grad.to(ctx.dtype)
        return z, grad, None, None, None, None, None


def _weight_gradient(x: Tensor, d_BO: Tensor, spec: LayerSpec, memory: Recycled) -> Tensor:
    """dL/dW[out, in] of what the tiles hold."""
    if spec.patches is None:
        return _matrix_gradient(x, d_BO, memory)
    return _kernel_gradient(x, d_BO, spec.patches, spec.groups)


def _matrix_gradient(x_BI: Tensor, d_BO: Tensor, memory: Recycled) -> Tensor:
    """dL/dW[out, in] of a linear layer.

    Of few vectors on a processor a BLAS spends most of its time on writing, and the system on fresh pages.
    """
    if len(x_BI) > FEW_VECTORS or x_BI.device.type != "cpu" or x_BI.dtype != torch.float32:
        return d_BO.t() @ x_BI
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
