"""AnalogLinear: a fully connected layer on tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from torch import Tensor, nn

from crossgrid.kernels.errors import InputError

from ..config.rpu import RPUConfig
from .base import AnalogLayer
from .inputs import eager, in_autocast_type, require_input
from .keys import key_of


class AnalogLinear(AnalogLayer):
    """y = x W^T + b with W on analog tiles.

    Args:
        in_features: inputs of a vector.
        out_features: outputs of a vector.
        bias: add a bias: digital, or a column of the tiles (``mapping.digital_bias``).
        rpu_config: how the tiles behave; a ``SingleRPUConfig`` with a ``ConstantStepDevice`` if not given.
            The layer keeps its own copy.
        seed: the 64-bit key of everything random in this layer; drawn from torch's generator if not given.
        transposed: makes the torch twin from (outputs, inputs) where that keeps its weight as [in, out].

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
        transposed: Callable[[int, int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features, self.transposed = in_features, out_features, transposed
        inputs_first = transposed is not None
        kept = (in_features, out_features) if inputs_first else None
        spec = self._spec(
            seed, out_features, in_features, rpu_config, bias, kept=kept, inputs_first=inputs_first
        )
        self._build(spec, out_features if bias else None)

    @classmethod
    def from_digital(cls, module: nn.Linear, rpu_config: RPUConfig, name: str) -> AnalogLinear:
        """The analog twin of a torch layer, with its weights."""
        key = key_of(module, name)
        layer = cls(module.in_features, module.out_features, module.bias is not None, rpu_config, key)
        layer._take_over(module, name)
        return layer

    @classmethod
    def from_transposed(cls, module: nn.Module, rpu_config: RPUConfig, name: str) -> AnalogLinear:
        """The analog twin of a Hugging Face ``Conv1D``: a linear layer that keeps its weight as [in, out]."""
        in_size, out_size = cast(Tensor, module.weight).shape
        layer = cls(in_size, out_size, True, rpu_config, key_of(module, name), type(module))
        layer._take_over(module, name)
        return layer

    def _twin(self, bias: bool) -> nn.Module:
        if self.transposed is not None:
            return self.transposed(self.out_features, self.in_features)
        return nn.Linear(self.in_features, self.out_features, bias)

    if TYPE_CHECKING:  # torch types a module's call as Any

        def __call__(self, input: Tensor) -> Tensor: ...

    @eager
    def forward(self, input: Tensor) -> Tensor:
        """y[..., out_features] of x[..., in_features]."""
        x, tiles = input, self.analog_tile
        name = tiles.grid.spec.name
        require_input(name, x)
        if x.dim() == 0 or x.shape[-1] != self.in_features:
            raise InputError(
                f"{name}: input of shape {tuple(x.shape)}; its last dimension must be {self.in_features} wide"
            )
        x = in_autocast_type(x)
        if x.dim() == 2:
            return cast(Tensor, tiles(x, self.weight, self.bias))
        rows = tiles(x.reshape(-1, self.in_features), self.weight, self.bias)
        return cast(Tensor, rows.reshape(*x.shape[:-1], self.out_features))

    def extra_repr(self) -> str:
        bias = self.bias is not None
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={bias}"
