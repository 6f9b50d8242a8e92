"""Converters between weights and conductances, of tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from crossgrid.kernels.inference import BaseConductanceConverter as BaseConductanceConverter
from crossgrid.kernels.inference.noise.converters import ConductanceScale

from ...missing import absent


class OfTensors:
    """A converter that also takes tensors, without a scale: it is then that of the tensor itself."""

    __slots__ = ()

    def convert_to_conductances(self, w: Any, scale: ConductanceScale | None = None) -> Any:
        """The target conductances [µS] of weights; of a tensor with what converts them back."""
        convert: Any = super()
        if scale is not None:
            return convert.convert_to_conductances(w, scale)
        own = self.scale_of(w.detach().cpu().float().numpy())  # type: ignore[attr-defined]
        found = convert.convert_to_conductances(w.detach().cpu().float().numpy(), own)
        params = {"scale_ratio": float(own.ratio_us), "min_weight": float(own.w_min), "scale": own}
        return [torch.from_numpy(g).to(w) for g in found], params

    def convert_back_to_weights(self, g: Any, scale: Any) -> Any:
        """The weights that conductances [µS] stand for; ``scale`` is what converted them."""
        convert: Any = super()
        if isinstance(scale, ConductanceScale):
            return convert.convert_back_to_weights(g, scale)
        arrays = [each.detach().cpu().float().numpy() for each in g]
        weights: Tensor = torch.from_numpy(convert.convert_back_to_weights(arrays, scale["scale"])).to(g[0])
        return weights


__getattr__ = absent(__name__)
