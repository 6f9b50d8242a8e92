"""What an experts' forward pass sees in place of a parameter [experts, ...]: matrices that are read by tiles.

The pass runs as it was written. Where it multiplies by one expert's slice, or by all slices at once, the
product is read; anything else that it does with the numbers is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from crossgrid.kernels.errors import ConfigError

#: reads x[..., in] by an expert's matrix: (expert, x, whether its slice was used as [in, out])
Read = Callable[[int, Tensor, bool], Tensor]

#: torch's names of x @ w
PRODUCTS = frozenset({"matmul", "__matmul__", "mm", "bmm"})


class ExpertStack:
    """A parameter [experts, a, b] that can be multiplied by."""

    def __init__(self, name: str, like: Tensor, read: Read, turned: bool = False) -> None:
        self.name, self.like, self.read, self.turned = name, like, read, turned
        first, *rest = like.shape
        self.shape = torch.Size([first, *(reversed(rest) if turned else rest)])
        self.dtype, self.device, self.ndim = like.dtype, like.device, len(self.shape)

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        return self.ndim

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[ExpertSlice]:
        return (self[expert] for expert in range(len(self)))

    def unbind(self, dim: int = 0) -> tuple[ExpertSlice, ...]:
        """The experts' slices."""
        if dim != 0:
            raise refused(self.name, f"unbind along axis {dim}")
        return tuple(self)

    def __getitem__(self, expert: Any) -> ExpertSlice:
        if not isinstance(expert, int) and not (isinstance(expert, Tensor) and expert.dim() == 0):
            raise refused(self.name, "a slice of other experts than one")
        return ExpertSlice(self, int(expert), self.turned)

    def transpose(self, first: int, second: int) -> ExpertStack:
        """The stack of turned slices."""
        if {first % 3, second % 3} != {1, 2}:
            raise refused(self.name, f"transpose of axes {first} and {second}")
        return ExpertStack(self.name, self.like, self.read, not self.turned)

    @property
    def mT(self) -> ExpertStack:
        return self.transpose(1, 2)

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Tensor:
        own = next(a for a in [*args, *(kwargs or {}).values()] if isinstance(a, ExpertStack))
        name = getattr(func, "__name__", str(func))
        if name not in PRODUCTS or kwargs or len(args) != 2 or args[1] is not own or args[0].dim() != 3:
            raise refused(own.name, name)
        return torch.stack([own.read(e, x, not own.turned) for e, x in enumerate(args[0])])


class ExpertSlice:
    """One expert's slice of a stack, [a, b], or turned [b, a]."""

    def __init__(self, stack: ExpertStack, expert: int, turned: bool) -> None:
        self.stack, self.expert, self.turned = stack, expert, turned
        rest = stack.like.shape[1:]
        self.shape = torch.Size(reversed(rest) if turned else rest)
        self.dtype, self.device, self.ndim = stack.dtype, stack.device, 2

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        return self.ndim

    def t(self) -> ExpertSlice:
        """The slice turned."""
        return ExpertSlice(self.stack, self.expert, not self.turned)

    def to(self, *like: Any, **named: Any) -> ExpertSlice:
        """Itself: tiles answer in the type and on the device of what they read."""
        return self

    def float(self) -> ExpertSlice:
        """Itself, as ``to``."""
        return self

    def contiguous(self) -> ExpertSlice:
        """Itself."""
        return self

    @property
    def T(self) -> ExpertSlice:
        return self.t()

    @property
    def mT(self) -> ExpertSlice:
        return self.t()

    def transpose(self, first: int, second: int) -> ExpertSlice:
        """The slice turned."""
        return self.t() if first % 2 != second % 2 else self

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Tensor:
        named = dict(zip(("input", "weight", "bias"), args, strict=False)) | (kwargs or {})
        own = next(a for a in named.values() if isinstance(a, ExpertSlice))
        name = getattr(func, "__name__", str(func))
        x, bias = named.get("input"), named.get("bias")
        if named.get("weight", named.get("mat2", named.get("other"))) is not own or isinstance(
            bias, ExpertSlice
        ):
            raise refused(own.stack.name, name)
        if name == "linear":
            y = own.stack.read(own.expert, x, own.turned)
            return y if bias is None else y + bias.to(y.dtype)
        if name not in PRODUCTS or bias is not None:
            raise refused(own.stack.name, name)
        return own.stack.read(own.expert, x, not own.turned)


def refused(name: str, what: str) -> ConfigError:
    """The error for what tiles cannot do with the experts' weights ``name``."""
    return ConfigError(
        f"{name}: {what} cannot be computed by tiles, which multiply by one expert's matrix: linear(x, "
        "w[expert]), x @ w[expert] or bmm(x, w); write it so, or name the module in exclude_modules"
    )
