"""AnalogConvTranspose1d, 2d and 3d: a pixel is read once; the windows that it makes are added digitally."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from crossgrid.kernels.errors import ConfigError, InputError
from crossgrid.kernels.patches.unfold import window

from ...config.rpu import RPUConfig
from ..base import AnalogLayer, require_digital_bias
from ..inputs import eager, in_autocast_type, require_input
from ..keys import key_of
from .overlap import Windows, overlapped
from .sizes import Size, each_axis, require_groups


class _AnalogConvTranspose(AnalogLayer):
    """A transposed convolution: the tiles W[out_channels x kernel, in_channels / groups] read pixels.

    A pixel's channels are one vector; what comes out is a window of the image to be made, and windows that
    overlap are added digitally. A training step pulses the tiles once for each pixel.

    Args:
        in_channels, out_channels: channels of input and output images.
        kernel_size, stride, padding, output_padding, dilation: one number or one a spatial dimension.
        groups: parts of the channels that do not see each other, as for the convolutions.
        bias: add a digital bias.
        rpu_config, seed: as for ``AnalogLinear``.
    """

    dimensions: ClassVar[int]
    digital: ClassVar[type[nn.ConvTranspose1d] | type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        rpu_config: RPUConfig | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        name, axes = type(self).__name__, self.dimensions
        require_groups(name, groups, in_channels, out_channels)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = each_axis(name, "kernel_size", kernel_size, axes)
        self.stride = each_axis(name, "stride", stride, axes)
        self.dilation = each_axis(name, "dilation", dilation, axes)
        self.padding = each_axis(name, "padding", padding, axes, 0)
        self.output_padding = each_axis(name, "output_padding", output_padding, axes, 0)
        limits = [max(s, d) for s, d in zip(self.stride, self.dilation, strict=True)]
        if any(more >= limit for more, limit in zip(self.output_padding, limits, strict=True)):
            raise ConfigError(
                f"{name}: output_padding = {self.output_padding} must be below stride or dilation, {limits}"
            )
        pixel = window(1, axes=axes)
        kept = in_channels, out_channels // groups, *self.kernel_size
        out_size = out_channels * math.prod(self.kernel_size)
        why = "its outputs are sums of the windows that overlap, each of which would bring the column"
        require_digital_bias(name, bias, rpu_config, why)
        spec = self._spec(
            seed, out_size, in_channels // groups, rpu_config, False, pixel, groups, kept, inputs_first=True
        )
        self._build(spec, out_channels if bias else None)

    @classmethod
    def from_digital(cls, module: nn.Module, rpu_config: RPUConfig, name: str) -> _AnalogConvTranspose:
        """The analog twin of a torch layer, with its weights."""
        assert isinstance(module, cls.digital)
        sizes: Any = module  # torch types the padding of all convolutions as a word or numbers
        layer = cls(
            module.in_channels, module.out_channels, module.kernel_size, module.stride, sizes.padding,
            module.output_padding, module.groups, module.bias is not None, module.dilation, rpu_config,
            key_of(module, name),
        )  # fmt: skip
        layer._take_over(module, name)
        return layer

    def _twin(self, bias: bool) -> nn.Module:
        make: Callable[..., nn.Module] = self.digital
        return make(
            self.in_channels, self.out_channels, self.kernel_size, self.stride, self.padding,
            self.output_padding, self.groups, bias, self.dilation,
        )  # fmt: skip

    if TYPE_CHECKING:  # torch types a module's call as Any

        def __call__(self, input: Tensor, output_size: list[int] | None = None) -> Tensor: ...

    @eager
    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Images y[B, out_channels, ...] of images x[B, in_channels, ...], of ``output_size`` where that is
        one of the sizes that the stride leaves open."""
        x, name = input, self.grid.spec.name
        require_input(name, x)
        batched = x.dim() == self.dimensions + 2
        images = x if batched else x.unsqueeze(0)
        if images.dim() != self.dimensions + 2 or images.shape[1] != self.in_channels:
            raise InputError(
                f"{name}: input of shape {tuple(x.shape)}; images with {self.in_channels} "
                f"channels and {self.dimensions} spatial dimensions are needed"
            )
        lie = self._windows(tuple(images.shape[2:]), output_size)
        rows = self.analog_tile(in_autocast_type(images), self.weight)
        y = overlapped(rows, images.shape[0], self.out_channels, lie)
        if self.bias is not None:
            y = y + self.bias.to(y.dtype).reshape(-1, *(1,) * self.dimensions)
        return y if batched else y.squeeze(0)

    def _windows(self, positions: tuple[int, ...], output_size: list[int] | None) -> Windows:
        """How windows lie in the image that pixels at ``positions`` make."""
        lie = Windows(
            positions, self.kernel_size, self.stride, self.dilation, self.padding, self.output_padding
        )
        if output_size is not None:
            least = replace(lie, output_padding=(0,) * self.dimensions)
            wanted = tuple(output_size)[-self.dimensions :]
            more = tuple(n - m for n, m in zip(wanted, least.size, strict=True))
            if any(not 0 <= extra < s for extra, s in zip(more, self.stride, strict=True)):
                most = tuple(m + s - 1 for m, s in zip(least.size, self.stride, strict=True))
                raise InputError(
                    f"{self.grid.spec.name}: output_size = {tuple(output_size)} is not between {least.size} "
                    f"and {most}, the sizes that an image of {positions} can be made"
                )
            lie = replace(lie, output_padding=more)
        if min(lie.size) < 1:
            raise InputError(
                f"{self.grid.spec.name}: an image of {positions} makes one of {lie.size}: use a larger image "
                "or less padding"
            )
        return lie

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}"
        text += f", kernel_size={self.kernel_size}, stride={self.stride}"
        for name, plain in (("padding", 0), ("dilation", 1), ("output_padding", 0)):
            if any(value != plain for value in getattr(self, name)):
                text += f", {name}={getattr(self, name)}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        return text if self.bias is not None else text + ", bias=False"


class AnalogConvTranspose1d(_AnalogConvTranspose):
    """A 1-D transposed convolution on tiles."""

    dimensions = 1
    digital = nn.ConvTranspose1d


class AnalogConvTranspose2d(_AnalogConvTranspose):
    """A 2-D transposed convolution on tiles."""

    dimensions = 2
    digital = nn.ConvTranspose2d


class AnalogConvTranspose3d(_AnalogConvTranspose):
    """A 3-D transposed convolution on tiles."""

    dimensions = 3
    digital = nn.ConvTranspose3d
