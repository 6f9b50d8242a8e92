"""AnalogBilinear: a form of two inputs, one read by the tiles, the other multiplied digitally."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from crossgrid.kernels.errors import ConfigError, InputError

from ..config.rpu import RPUConfig
from .base import AnalogLayer, require_digital_bias
from .inputs import eager, require_input
from .keys import key_of


class AnalogBilinear(AnalogLayer):
    """y_o = x1^T A_o x2 + b_o: the tiles W[out x in1, in2] read x2, the sum with x1 is digital.

    Args:
        in1_features, in2_features, out_features: as torch has them.
        bias: add a digital bias.
        rpu_config, seed: as for ``AnalogLinear``.
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        rpu_config: RPUConfig | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        if min(in1_features, in2_features, out_features) < 1:
            raise ConfigError(
                f"AnalogBilinear: in1_features = {in1_features}, in2_features = {in2_features} and "
                f"out_features = {out_features} must be at least 1"
            )
        self.in1_features, self.in2_features, self.out_features = in1_features, in2_features, out_features
        kept = out_features, in1_features, in2_features
        why = "a tile's results are multiplied by the first input before they are added"
        require_digital_bias(type(self).__name__, bias, rpu_config, why)
        spec = self._spec(seed, out_features * in1_features, in2_features, rpu_config, False, kept=kept)
        self._build(spec, out_features if bias else None)

    @classmethod
    def from_digital(cls, module: nn.Bilinear, rpu_config: RPUConfig, name: str) -> AnalogBilinear:
        """The analog twin of a torch layer, with its weights."""
        layer = cls(
            module.in1_features, module.in2_features, module.out_features, module.bias is not None,
            rpu_config, key_of(module, name),
        )  # fmt: skip
        layer._take_over(module, name)
        return layer

    def _twin(self, bias: bool) -> nn.Module:
        return nn.Bilinear(self.in1_features, self.in2_features, self.out_features, bias)

    if TYPE_CHECKING:  # torch types a module's call as Any

        def __call__(self, input1: Tensor, input2: Tensor) -> Tensor: ...

    @eager
    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        """y[..., out] of x1[..., in1] and x2[..., in2], which are alike but for their last dimension."""
        name = self.grid.spec.name
        for x in (input1, input2):
            require_input(name, x)
        widths = input1.shape[-1:], input2.shape[-1:]
        if widths != ((self.in1_features,), (self.in2_features,)) or input1.shape[:-1] != input2.shape[:-1]:
            raise InputError(
                f"{name}: inputs of shapes {tuple(input1.shape)} and {tuple(input2.shape)}; they must be "
                f"{self.in1_features} and {self.in2_features} wide and otherwise alike"
            )
        matrix = self._only()
        forms = matrix.product(input2).unflatten(-1, (self.out_features, self.in1_features))
        y = (forms @ input1.to(forms.dtype).unsqueeze(-1)).squeeze(-1)
        return y if self.bias is None else y + self.bias.to(y.dtype)

    def extra_repr(self) -> str:
        text = f"in1_features={self.in1_features}, in2_features={self.in2_features}"
        return f"{text}, out_features={self.out_features}, bias={self.bias is not None}"
