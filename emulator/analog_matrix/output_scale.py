"""The digital factors between what tiles hold and what a layer means by it: W = s a W_tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..config.rpu import MappingParameter
from ..tiles.bank import Floats
from .conversions import as_array


class OutputScale(nn.Module):
    """a, which maps weights into the range of the devices, and s, which is learned and starts at 1.

    Each is one number or one for each output. They serve the whole layer (or a whole output), not each tile:
    partial sums of tiles are added before they are applied. No learning rate depends on a: what trains the
    tiles moves a W_tiles as if there were none.
    """

    mapping: Tensor  # a
    learned: nn.Parameter | None  # s

    def __init__(self, parameter: MappingParameter, out_size: int, each_output: bool = False) -> None:
        super().__init__()
        self.omega = parameter.weight_scaling_omega
        columnwise = each_output or parameter.weight_scaling_columnwise
        self.register_buffer("mapping", torch.ones(out_size if columnwise else 1))
        of_each = parameter.out_scaling_columnwise
        learns = parameter.learn_out_scaling
        self.learned = nn.Parameter(torch.ones(out_size if of_each else 1)) if learns else None

    @classmethod
    def of(cls, parameter: MappingParameter, out_size: int, remapped: bool = False) -> OutputScale | None:
        """The scales that a layer needs, or None where tiles hold the weights as they are.

        Remapping rescales outputs one by one, so it needs a factor for each.
        """
        if not (remapped or parameter.weight_scaling_omega > 0 or parameter.learn_out_scaling):
            return None
        return cls(parameter, out_size, remapped)

    @torch.no_grad()
    def fit(self, w_OI: Floats) -> None:
        """Choose a so that the largest |W / a| is omega (omega 0: a = 1), and s = 1."""
        each = len(self.mapping) > 1
        largest = np.abs(w_OI).max(axis=1) if each else np.abs(w_OI).max(keepdims=True).ravel()
        scale = np.where(largest > 0, largest / np.float32(self.omega), 1) if self.omega else largest * 0 + 1
        self.mapping.copy_(torch.from_numpy(scale.astype(np.float32)))
        if self.learned is not None:
            self.learned.fill_(1.0)

    def fitted(self, w_OI: Floats) -> Floats:
        """a after ``fit``, as the tiles' hosts take it: [1] or [out]."""
        self.fit(w_OI)
        return as_array(self.mapping)

    @torch.no_grad()
    def store(self, scales_O: Floats) -> None:
        """Take over a for each output; a layer with one for all takes the first."""
        self.mapping.copy_(torch.from_numpy(scales_O[: len(self.mapping)]))

    def divide(self, w_OI: Any) -> Any:
        """W / a: what the tiles hold of a weight, an array or a tensor."""
        if isinstance(w_OI, Tensor):
            return w_OI / self.mapping.to(w_OI).reshape(-1, 1)
        divided: Floats = (w_OI / as_array(self.mapping).reshape(-1, 1)).astype(np.float32)
        return divided

    def factor(self) -> Floats:
        """s a as a column, [out, 1] or [1, 1]: what W_tiles is multiplied by."""
        factor: Floats = as_array(self.mapping).reshape(-1, 1)
        return factor if self.learned is None else factor * as_array(self.learned).reshape(-1, 1)
