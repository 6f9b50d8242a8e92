"""Converters between weights and conductances, of tensors."""

from __future__ import annotations

from typing import Any

import torch

from crossgrid.kernels.inference import BaseConductanceConverter as BaseConductanceConverter
from crossgrid.kernels.inference.noise.converters import ConductanceScale

from ...missing import absent


class OfTensors:
    """A converter that also takes tensors, without a scale: it is then that of the tensor itself."""

    __slots__ = ()

    def convert_to_conductances(self, weights: Any, scale: ConductanceScale | None = None) -> Any:
        """The target conductances [µS] of weights; of a tensor with what converts them back."""
        convert: Any = super()
        if scale is not None:
            return convert.convert_to_conductances(weights, scale)
        w = weights.detach().cpu().float().numpy()
        own = self.scale_of(w)  # type: ignore[attr-defined]
        found = convert.convert_to_conductances(w, own)
        params = {"scale_ratio": float(own.ratio_us), "min_weight": float(own.w_min), "scale": own}
        params |= {"f_lst": list(self.f_lst)} if hasattr(self, "f_lst") else {}
        return [torch.from_numpy(g).to(weights) for g in found], params

    def convert_back_to_weights(self, conductances: Any, params: Any) -> Any:
        """The weights that conductances [µS] stand for; ``params`` is what converted them."""
        convert: Any = super()
        if isinstance(params, ConductanceScale):
            return convert.convert_back_to_weights(conductances, params)
        arrays = [each.detach().cpu().float().numpy() for each in conductances]
        back = torch.from_numpy(convert.convert_back_to_weights(arrays, params["scale"]))
        return back.to(conductances[0])


__getattr__ = absent(__name__)
