"""Analog convolutions: patches are unfolded before the tiles."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...exceptions import ConfigError
from ...missing import absent
from ...simulator.configs.configs import SingleRPUConfig
from .base import AnalogLayerBase
from .linear import filled
from .unfold import images_of, patches_of


class AnalogConvNd(AnalogLayerBase):
    """What the three convolutions have in common; arguments as of torch's, then ``rpu_config``."""

    dimensions: ClassVar[int]
    digital: ClassVar[Any]
    bias: Any  # whether there is one; where it is not on a tile, the parameter

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        rpu_config: Any = None,
        tile_module_class: Any = None,
        use_indexed: bool | None = None,
    ) -> None:
        super().__init__()
        if groups != 1:
            raise ValueError(
                f"groups = {groups} of aihwkit's layers must be 1; cg.convert_to_analog(model) takes groups"
            )
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride = self._sizes(kernel_size), self._sizes(stride)
        self.padding, self.dilation = self._sizes(padding), self._sizes(dilation)
        self.padding_mode, self.weight, self.use_indexed = padding_mode, None, False
        self.in_features, self.out_features = in_channels * math.prod(self.kernel_size), out_channels
        self._add_tiles(bias, SingleRPUConfig() if rpu_config is None else rpu_config, tile_module_class)
        self.reset_parameters()

    def _sizes(self, value: Any) -> tuple[int, ...]:
        if isinstance(value, str):
            raise ConfigError(f"padding = '{value}' must be a number, or one for each dimension")
        sizes = (value,) * self.dimensions if isinstance(value, int) else tuple(value)
        return sizes * self.dimensions if len(sizes) == 1 else sizes

    def _add_tiles(self, bias: bool, rpu_config: Any, tile_module_class: Any) -> None:
        self.bias = bias
        sizes = self.out_features, self.in_features
        make = tile_module_class or rpu_config.get_default_tile_module_class(*sizes)
        self.analog_module = make(*sizes, rpu_config, bias)

    def reset_parameters(self) -> None:
        """Draw new weights as torch's convolution does."""
        weight = torch.empty(self.out_features, self.in_features)
        nn.init.kaiming_uniform_(weight, a=math.sqrt(5))
        bound, bias = 1 / math.sqrt(self.in_features), None
        if self.bias is not None and self.bias is not False:
            bias = torch.empty(self.out_features).uniform_(-bound, bound)
        self.set_weights(weight, bias)

    def set_weights(self, weight: Any, bias: Any = None, **kwargs: Any) -> None:
        """Write a weight of torch's shape or [out, in x window], and the bias."""
        flat = torch.as_tensor(weight).reshape(self.out_features, self.in_features)
        super().set_weights(flat, bias, **kwargs)

    def _patches(self, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        return patches_of(x, self.kernel_size, self.stride, self.padding, self.dilation, self.padding_mode)

    def forward(self, x_input: Tensor) -> Tensor:
        """Images y[B, out_channels, ...] of images x_input[B, in_channels, ...]."""
        batched = x_input.dim() == self.dimensions + 2
        x = x_input if batched else x_input.unsqueeze(0)
        y = self._product(x)
        return y if batched else y.squeeze(0)

    def _product(self, x: Tensor) -> Tensor:
        rows, spatial = self._patches(x)
        return images_of(self.analog_module(rows), len(x), spatial)

    @classmethod
    def from_digital(cls, module: Any, rpu_config: Any, tile_module_class: Any = None) -> AnalogConvNd:
        """The analog twin of ``module``, with its weights."""
        layer = cls(
            module.in_channels, module.out_channels, module.kernel_size, module.stride, module.padding,
            module.dilation, module.groups, module.bias is not None, module.padding_mode, rpu_config,
            tile_module_class,
        )  # fmt: skip
        layer.set_weights(module.weight, module.bias)
        return layer.to(module.weight.device, module.weight.dtype).train(module.training)

    @classmethod
    def to_digital(cls, module: AnalogConvNd, realistic: bool = False) -> nn.Module:
        """The torch layer with the weights on the devices, estimated from products if ``realistic``."""
        weight, bias = module.get_weights(realistic=realistic)
        like = next(module.analog_tiles()).weight
        digital = cls.digital(
            module.in_channels, module.out_channels, module.kernel_size, module.stride, module.padding,
            module.dilation, module.groups, bias is not None, module.padding_mode,
        )  # fmt: skip
        return filled(digital, weight, bias).to(like.device, like.dtype).train(module.training)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        text += f", stride={self.stride}, padding={self.padding}, dilation={self.dilation}"
        return f"{text}, {type(next(self.analog_tiles()).rpu_config).__name__}"


class AnalogConv1d(AnalogConvNd):
    """A 1-D convolution."""

    dimensions = 1
    digital = nn.Conv1d


class AnalogConv2d(AnalogConvNd):
    """A 2-D convolution."""

    dimensions = 2
    digital = nn.Conv2d


class AnalogConv3d(AnalogConvNd):
    """A 3-D convolution."""

    dimensions = 3
    digital = nn.Conv3d


__getattr__ = absent(__name__)
