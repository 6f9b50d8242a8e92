"""An example input of a model: a batch, several, some by name, or only their shapes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from crossgrid.kernels.errors import ConfigError

from .attempts import attempt


@dataclass(frozen=True, slots=True)
class Example:
    """What a model is called with; a dimension of the first tensor counts inputs (``batch_axis``)."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @property
    def tensors(self) -> list[Tensor]:
        """Every tensor in it, those by name last."""
        return tensors_of((self.args, self.kwargs))

    @property
    def shapes(self) -> str:
        """The shapes of its tensors, for errors."""
        return _shapes(self.tensors)


def example_of(model: nn.Module, given: Any, device: str | None = None) -> Example:
    """The example that a user gives for ``model``, on ``device`` (None: where it is).

    Args:
        given: a tensor, a tuple or list of what the model takes, a mapping of its arguments' names, or shapes
            in the place of tensors. A mapping whose names the model's ``forward`` does not take is an
            argument itself.

    Raises:
        ConfigError: it holds no tensor with a batch, or one that has no shape to follow.
    """
    parts = tuple(
        attempt(
            lambda part=part: _moved(part, device),  # type: ignore[misc]
            "the example input has no shape that could be followed", "give dense tensors",
        )
        for part in _parts(given, device)
    )  # fmt: skip
    tensors = tensors_of(parts)
    if not tensors or tensors[0].dim() == 0 or not len(tensors[0]):
        shown = type(given).__name__ + (f", shape {_shapes(tensors)}," if tensors else "")
        raise ConfigError(
            f"example input of type {shown} holds no batch; give a tensor with at least one sample, a tuple "
            "or a mapping of what the model takes, or the shape of one"
        )
    if len(parts) == 1 and isinstance(parts[0], dict) and _takes(model, parts[0]):
        return Example((), parts[0])
    return Example(parts, {})


def _moved(part: Any, device: str | None) -> Any:
    return part if device is None else tree_map_only(Tensor, lambda tensor: tensor.to(device), part)


def tensors_of(tree: Any) -> list[Tensor]:
    """The tensors in a tree of tuples, lists and mappings."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _parts(given: Any, device: str | None) -> tuple[Any, ...]:
    """The arguments by place; a mapping is one. Shapes count as such where no tensor is among them."""
    if isinstance(given, Mapping):
        named = dict(given)  # of a tokenizer it is a class of its own
        shapes = bool(named) and all(_is_shape(value) for value in named.values())
        return ({name: _zeros(size, device) for name, size in named.items()} if shapes else named,)
    if isinstance(given, Tensor) or not isinstance(given, (tuple, list)):
        return (given,)
    if _is_shape(given):
        return (_zeros(given, device),)
    shapes = bool(given) and all(_is_shape(part) for part in given)
    return tuple(_zeros(part, device) if shapes else part for part in given)


def _is_shape(value: Any) -> bool:
    sizes = isinstance(value, (tuple, list)) and len(value) > 0
    return sizes and all(isinstance(size, int) and not isinstance(size, bool) for size in value)


def _zeros(shape: Any, device: str | None) -> Tensor:
    return attempt(
        lambda: torch.zeros(tuple(shape), device=device), "no example input has such a shape",
        "give positive sizes, the batch first",
    )  # fmt: skip


def _takes(model: nn.Module, named: dict[Any, Any]) -> bool:
    """Whether the model's ``forward`` takes these names."""
    try:
        inspect.signature(model.forward).bind(**named)
    except TypeError:
        return False
    return True


def _shapes(tensors: list[Tensor]) -> str:
    return ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
