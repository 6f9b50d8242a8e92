"""AnalogLinear: a fully connected layer on tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from crossgrid.kernels.errors import InputError

from ..config.rpu import RPUConfig
from .base import AnalogLayer


class AnalogLinear(AnalogLayer):
    """y = x W^T + b with W on analog tiles.

    Args:
        in_features: inputs of a vector.
        out_features: outputs of a vector.
        bias: add a digital bias.
        rpu_config: how the tiles behave; a ``SingleRPUConfig`` with a ``ConstantStepDevice`` if not given.
            The layer keeps its own copy.
        seed: the 64-bit key of everything random in this layer; drawn from torch's generator if not given.

    Raises:
        ConfigError: a size below one, or something else than an RPU configuration.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        rpu_config: RPUConfig | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self._build(out_features, in_features, None, rpu_config, seed, bias)

    @classmethod
    def from_digital(cls, module: nn.Linear, rpu_config: RPUConfig, name: str) -> AnalogLinear:
        """The analog twin of a torch layer, with its weights."""
        layer = cls(module.in_features, module.out_features, module.bias is not None, rpu_config)
        layer.grid.rename(name)
        layer.set_weights(module.weight, module.bias)
        return layer

    @classmethod
    def from_transposed(cls, module: nn.Module, rpu_config: RPUConfig, name: str) -> AnalogLinear:
        """The analog twin of a Hugging Face ``Conv1D``: a linear layer that keeps its weight as [in, out]."""
        weight, bias = cast(Tensor, module.weight), cast(Tensor, module.bias)
        in_size, out_size = weight.shape
        layer = cls(in_size, out_size, True, rpu_config)
        layer.grid.rename(name)
        layer.set_weights(weight.t(), bias)
        return layer

    def to_digital(self) -> nn.Linear:
        """A torch layer with this layer's present weights."""
        weight, bias = self.get_weights()
        module = nn.Linear(self.in_features, self.out_features, bias is not None)
        with torch.no_grad():
            module.weight.copy_(weight)
            if bias is not None:
                module.bias.copy_(bias)
        return module

    if TYPE_CHECKING:  # torch types a module's call as Any

        def __call__(self, x: Tensor) -> Tensor: ...

    def forward(self, x: Tensor) -> Tensor:
        """y[..., out_features] of x[..., in_features]."""
        if x.dim() == 0 or x.shape[-1] != self.in_features:
            raise InputError(
                f"{self.grid.spec.name}: input of shape {tuple(x.shape)}; its last dimension must be "
                f"{self.in_features} wide"
            )
        if x.dim() == 2:
            return cast(Tensor, self.analog_tile(x, self.bias))
        y = self.analog_tile(x.reshape(-1, self.in_features), self.bias)
        return cast(Tensor, y.reshape(*x.shape[:-1], self.out_features))

    def extra_repr(self) -> str:
        bias = self.bias is not None
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={bias}"
