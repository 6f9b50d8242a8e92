"""A digitally trained weight, and with its bias where both are on the same tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..tiles.bank import Floats
from ..tiles.layer_spec import LayerSpec
from .weights import plain, weight_of


@dataclass(frozen=True, slots=True)
class Seen:
    """A tensor as it was: its memory, held so that no other tensor gets it, and its version."""

    memory: Tensor
    version: int | None  # tensors that were made in torch's inference mode count none

    @classmethod
    def of(cls, weight: Tensor) -> Seen:
        """A tensor as it is now."""
        return cls(plain(weight), None if weight.is_inference() else weight._version)

    def is_(self, weight: Tensor) -> bool:
        """Whether ``weight`` is that tensor, and nobody is known to have written to it since."""
        same = weight.data_ptr() == self.memory.data_ptr()
        return same and self.version is not None and weight._version == self.version


@dataclass(slots=True)
class JoinedWeight:
    """[W b] of a weight and a bias that are parameters of their own: the same tensor until one changes."""

    spec: LayerSpec
    parts: tuple[Tensor, Tensor]
    seen: tuple[Seen, Seen]
    values: Tensor  # [out, in]; it requires a gradient where the weight does

    @classmethod
    def of(cls, spec: LayerSpec, weight: Tensor, bias: Tensor) -> JoinedWeight:
        """The two as they are now."""
        with torch.inference_mode(False), torch.no_grad():  # it serves passes of any mode
            values = joined(spec, plain(weight), plain(bias)).requires_grad_(weight.requires_grad)
        return cls(spec, (weight, bias), (Seen.of(weight), Seen.of(bias)), values)

    def is_of(self, weight: Tensor, bias: Tensor) -> bool:
        """Whether these two were joined, and nobody is known to have written to them since."""
        alike = self.values.requires_grad == weight.requires_grad
        return alike and self.seen[0].is_(weight) and self.seen[1].is_(bias)

    @torch.no_grad()
    def write(self, w_OI: Floats) -> None:
        """Change the two parameters, and what they make."""
        weight, bias = self.parts
        weight.copy_(weight_of(self.spec, w_OI))
        bias.copy_(torch.from_numpy(w_OI[:, -1]))
        self.values.copy_(joined(self.spec, plain(weight), plain(bias)))
        self.seen = Seen.of(weight), Seen.of(bias)


def joined(spec: LayerSpec, weight: Tensor, bias: Tensor) -> Tensor:
    """[W b], of the weight's type and on its device: a copy."""
    return torch.cat([spec.matrix(weight), bias.to(weight).unsqueeze(1)], dim=1)


class Join(torch.autograd.Function):
    """[W b] in the memory in which it stands already, as what a weight and a bias make."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor, values: Tensor, spec: LayerSpec) -> Tensor:
        ctx.spec, ctx.dtypes = spec, (weight.dtype, bias.dtype)
        return plain(values)

    @staticmethod
    def backward(ctx: Any, d_OI: Tensor) -> Any:
        of_weight, of_bias = ctx.dtypes
        return ctx.spec.weight(d_OI).to(of_weight), d_OI[:, -1].to(of_bias), None, None
