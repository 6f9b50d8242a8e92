"""A weight matrix on several tiles, each with scales, range and compensation of its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...exceptions import AnalogBiasConfigError
from ...missing import absent


def split_sizes(size: int, largest: int) -> list[int]:
    """``size`` in as few near-equal parts of at most ``largest`` (0: any) as there can be."""
    parts = 1 if largest <= 0 else -(-size // largest)
    return [size // parts + (k < size % parts) for k in range(parts)]


class TileModuleArray(nn.Module):
    """W[out_size, in_size] on tiles: ``array[i][o]`` holds block i of the inputs, o of the outputs.

    Args:
        out_size, in_size: outputs and inputs.
        rpu_config: how the tiles behave, and how large they are.
        bias: add a digital bias to the sum.

    Raises:
        AnalogBiasConfigError: the bias would be a column of one of several tiles.
    """

    bias: nn.Parameter | None

    def __init__(
        self, out_size: int, in_size: int, rpu_config: Any, bias: bool = False, **kwargs: Any
    ) -> None:
        super().__init__()
        mapping = rpu_config.mapping
        if bias and not mapping.digital_bias:
            raise AnalogBiasConfigError(
                "mapping.digital_bias = False with a matrix on several tiles: set it to True, or "
                "mapping.max_input_size and max_output_size to 0"
            )
        self.out_size, self.in_size = out_size, in_size
        self.in_sizes = split_sizes(in_size, mapping.max_input_size)
        self.out_sizes = split_sizes(out_size, mapping.max_output_size)
        self.analog_tile_count = len(self.in_sizes) * len(self.out_sizes)
        self.bias = nn.Parameter(torch.zeros(out_size)) if bias else None
        make = rpu_config.tile_class
        self.array: Any = nn.ModuleList(
            nn.ModuleList(make(o, i, rpu_config, bias=False, **kwargs) for o in self.out_sizes)
            for i in self.in_sizes
        )

    def blocks(self) -> list[tuple[Any, slice, slice]]:
        """Each tile with its rows and columns of the matrix."""
        found, left = [], 0
        for width, column in zip(self.in_sizes, self.array, strict=True):
            top = 0
            for height, tile in zip(self.out_sizes, column, strict=True):
                found.append((tile, slice(top, top + height), slice(left, left + width)))
                top += height
            left += width
        return found

    @torch.no_grad()
    def set_weights(self, weight: Tensor, bias: Tensor | None = None, **kwargs: Any) -> None:
        """Write W[out_size, in_size] and the bias; further arguments as of a tile."""
        w = torch.as_tensor(weight).reshape(self.out_size, self.in_size)
        for tile, rows, columns in self.blocks():
            tile.set_weights(w[rows, columns], None, **kwargs)
        if self.bias is not None and bias is not None:
            self.bias.copy_(torch.as_tensor(bias))

    @torch.no_grad()
    def get_weights(self, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        """W[out_size, in_size] and the bias; arguments as of a tile."""
        w = torch.empty(self.out_size, self.in_size)
        for tile, rows, columns in self.blocks():
            w[rows, columns] = tile.get_weights(**kwargs)[0]
        return w, None if self.bias is None else self.bias.detach().cpu().clone()

    def forward(self, x_input: Tensor, tensor_view: Any = None) -> Tensor:
        """y[..., out_size]: the tiles' products, summed up in digital."""
        parts = x_input.split(self.in_sizes, -1)
        columns = zip(parts, self.array, strict=True)
        sums = [torch.cat([tile(x) for tile in column], -1) for x, column in columns]
        y = torch.stack(sums).sum(0) if len(sums) > 1 else sums[0]
        return y if self.bias is None else y + self.bias


__getattr__ = absent(__name__)
