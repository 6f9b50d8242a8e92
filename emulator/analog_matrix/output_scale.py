"""The digital factor between what tiles hold and what a layer means by it: W = a * W_tiles."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ..config.rpu import MappingParameter
from ..tiles.bank import Floats
from .autograd import as_array


class OutputScale(nn.Module):
    """a, one number or one for each output; the layer's outputs are multiplied by it.

    One factor serves the whole layer (or a whole output), not each tile: partial sums of tiles
    that share it are added before it is applied.
    """

    value: Tensor

    def __init__(self, mapping: MappingParameter, out_size: int, each_output: bool = False) -> None:
        super().__init__()
        self.omega = mapping.weight_scaling_omega
        columnwise = each_output or mapping.weight_scaling_columnwise or mapping.out_scaling_columnwise
        ones = torch.ones(out_size if columnwise else 1)
        if mapping.learn_out_scaling:
            self.value = nn.Parameter(ones)
        else:
            self.register_buffer("value", ones)

    @classmethod
    def of(cls, mapping: MappingParameter, out_size: int, remapped: bool = False) -> OutputScale | None:
        """The scale that a layer needs, or None where tiles hold the weights as they are.

        Remapping rescales outputs one by one, so it needs a factor for each.
        """
        if not (remapped or mapping.weight_scaling_omega > 0 or mapping.learn_out_scaling):
            return None
        return cls(mapping, out_size, remapped)

    def forward(self, y_BO: Tensor) -> Tensor:
        """The outputs in the layer's own units."""
        return y_BO * self.value.to(y_BO)

    @torch.no_grad()
    def split(self, w_OI: Floats) -> Floats:
        """Choose a so that the largest |W / a| is omega, and return W / a (omega 0: a = 1)."""
        largest = np.abs(w_OI).max(axis=1) if len(self.value) > 1 else np.abs(w_OI).max(keepdims=True).ravel()
        scale = np.where(largest > 0, largest / np.float32(self.omega), 1) if self.omega else largest * 0 + 1
        self.value.copy_(torch.from_numpy(scale.astype(np.float32)))
        divided: Floats = (w_OI / self.factor()).astype(np.float32)
        return divided

    @torch.no_grad()
    def store(self, scales_O: Floats) -> None:
        """Take over one factor for each output; a layer with one factor for all takes the first."""
        self.value.copy_(torch.from_numpy(scales_O[: len(self.value)]))

    def factor(self) -> Floats:
        """a as a column, [out, 1] or [1, 1]."""
        return as_array(self.value).reshape(-1, 1)
