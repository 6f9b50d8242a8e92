"""Analog convolutions whose matrix is cut between channels: a kernel stays on one tile."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ...exceptions import AnalogBiasConfigError, ModuleError
from ...missing import absent
from ...simulator.tiles.array import split_sizes
from .conv import AnalogConvNd
from .unfold import images_of


class AnalogConvNdMapped(AnalogConvNd):
    """``array[i][o]`` holds channels i of the inputs and o of the outputs; the bias is digital."""

    def _add_tiles(self, bias: bool, rpu_config: Any, tile_module_class: Any) -> None:
        if bias and not rpu_config.mapping.digital_bias:
            raise AnalogBiasConfigError(
                f"{type(self).__name__}: mapping.digital_bias = False; set it to True, or take AnalogConv*d"
            )
        window, most = math.prod(self.kernel_size), rpu_config.mapping.max_input_size
        if 0 < most < window:
            raise ModuleError(
                f"{type(self).__name__}: a kernel of {window} does not fit on a tile of {most} inputs; "
                "raise mapping.max_input_size, or take AnalogConv*d"
            )
        make = tile_module_class or rpu_config.tile_class
        self.in_sizes = split_sizes(self.in_channels, most // window if most > 0 else 0)
        self.out_sizes = split_sizes(self.out_channels, rpu_config.mapping.max_output_size)
        self.bias = nn.Parameter(torch.zeros(self.out_channels)) if bias else None
        columns: list[Any] = [
            nn.ModuleList(make(o, i * window, rpu_config, bias=False) for o in self.out_sizes)
            for i in self.in_sizes
        ]
        self.array: Any = nn.ModuleList(columns)

    @torch.no_grad()
    def set_weights(self, weight: Any, bias: Any = None, **kwargs: Any) -> None:
        """Write a weight of torch's shape or [out, in x window], and the bias."""
        w = torch.as_tensor(weight).reshape(self.out_channels, self.in_channels, -1)
        for column, part in zip(self.array, w.split(self.in_sizes, 1), strict=True):
            for tile, block in zip(column, part.split(self.out_sizes, 0), strict=True):
                tile.set_weights(block.flatten(1), None, **kwargs)
        if self.bias is not None and bias is not None:
            self.bias.copy_(torch.as_tensor(bias))

    @torch.no_grad()
    def get_weights(self, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        """The weight [out, in x window] and the bias; arguments as of a tile."""
        columns = [torch.cat([tile.get_weights(**kwargs)[0] for tile in column], 0) for column in self.array]
        return torch.cat(columns, 1), None if self.bias is None else self.bias.detach().cpu().clone()

    def _product(self, x: Tensor) -> Tensor:
        total: Any = 0
        spatial: tuple[int, ...] = ()
        for channels, column in zip(x.split(self.in_sizes, 1), self.array, strict=True):
            rows, spatial = self._patches(channels)
            total = total + torch.cat([tile(rows) for tile in column], -1)
        return images_of(total if self.bias is None else total + self.bias, len(x), spatial)


class AnalogConv1dMapped(AnalogConvNdMapped):
    """A 1-D convolution."""

    dimensions = 1
    digital = nn.Conv1d


class AnalogConv2dMapped(AnalogConvNdMapped):
    """A 2-D convolution."""

    dimensions = 2
    digital = nn.Conv2d


class AnalogConv3dMapped(AnalogConvNdMapped):
    """A 3-D convolution."""

    dimensions = 3
    digital = nn.Conv3d


__getattr__ = absent(__name__)
