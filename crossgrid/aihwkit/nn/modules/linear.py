"""AnalogLinear."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ...missing import absent
from ...simulator.configs.configs import SingleRPUConfig
from .base import AnalogLayerBase


class AnalogLinear(AnalogLayerBase):
    """y = x W^T + b with W on one tile, or on an array where it is larger than one.

    Args:
        in_features, out_features: inputs and outputs of a vector.
        bias: whether there is one; ``mapping.digital_bias`` says where.
        rpu_config: how the tiles behave.
        tile_module_class: the class of what holds the matrix; chosen by its size if not given.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        rpu_config: Any = None,
        tile_module_class: Any = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features, self.bias = in_features, out_features, bias
        self.weight = None  # it is on the tiles: see get_weights
        config = SingleRPUConfig() if rpu_config is None else rpu_config
        make = tile_module_class or config.get_default_tile_module_class(out_features, in_features)
        self.analog_module = make(out_features, in_features, config, bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights as torch's linear layer does."""
        weight = torch.empty(self.out_features, self.in_features)
        nn.init.kaiming_uniform_(weight, a=math.sqrt(5))
        bias = None
        if self.bias:
            bound = 1 / math.sqrt(self.in_features)
            bias = torch.empty(self.out_features).uniform_(-bound, bound)
        self.set_weights(weight, bias)

    def forward(self, x_input: Tensor) -> Tensor:
        """y[..., out_features] of x_input[..., in_features]."""
        y: Tensor = self.analog_module(x_input)
        return y

    @classmethod
    def from_digital(cls, module: nn.Linear, rpu_config: Any, tile_module_class: Any = None) -> AnalogLinear:
        """The analog twin of ``module``, with its weights."""
        has_bias = module.bias is not None
        layer = cls(module.in_features, module.out_features, has_bias, rpu_config, tile_module_class)
        layer.set_weights(module.weight, module.bias)
        return layer.to(module.weight.device, module.weight.dtype).train(module.training)

    @classmethod
    def to_digital(cls, module: AnalogLinear, realistic: bool = False) -> nn.Module:
        """The torch layer with the weights on the devices, estimated from products if ``realistic``."""
        weight, bias = module.get_weights(realistic=realistic)
        like = next(module.analog_tiles()).weight
        digital = nn.Linear(module.in_features, module.out_features, bias is not None)
        return filled(digital, weight, bias).to(like.device, like.dtype).train(module.training)

    def extra_repr(self) -> str:
        text = f"in_features={self.in_features}, out_features={self.out_features}, bias={bool(self.bias)}"
        return f"{text}, {type(next(self.analog_tiles()).rpu_config).__name__}"


def filled(digital: Any, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """``digital`` with a weight, of any shape of the same size, and a bias."""
    with torch.no_grad():
        digital.weight.copy_(weight.reshape(digital.weight.shape))
        if bias is not None:
            digital.bias.copy_(bias)
    made: nn.Module = digital
    return made


__getattr__ = absent(__name__)
