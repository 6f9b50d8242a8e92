"""A model's outputs over micro-batches as those of one batch, and what each goes backward with.

Outputs may be tensors in tuples, lists, mappings, dataclasses and whatever torch's pytrees know.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils._pytree import SUPPORTED_NODES, tree_flatten, tree_unflatten

from crossgrid.kernels.errors import ConfigError

from ..nn.recurrent.network import AnalogRecurrent

Criterion: TypeAlias = Callable[[Any, Any], Tensor]


def flatten(tree: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """The leaves of ``tree``, and what puts others in their places."""
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type) and type(tree) not in SUPPORTED_NODES:
        names = [field.name for field in dataclasses.fields(tree) if field.init]
        leaves, back = flatten([getattr(tree, name) for name in names])
        return leaves, lambda new: dataclasses.replace(tree, **dict(zip(names, back(new), strict=True)))
    if type(tree) in SUPPORTED_NODES or not isinstance(tree, Mapping):
        return _flatten_nodes(tree)
    leaves, back = flatten(list(tree.values()))
    return leaves, lambda new: type(tree)(zip(tree, back(new), strict=True))  # type: ignore[call-arg]


def _flatten_nodes(tree: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """What torch's pytrees know, with whatever they hold that they do not know."""
    children, spec = tree_flatten(tree)
    if len(children) == 1 and children[0] is tree:
        return [tree], lambda new: new[0]
    parts = [flatten(child) for child in children]
    ends = [0]
    for leaves, _ in parts:
        ends.append(ends[-1] + len(leaves))

    def back(new: Sequence[Any]) -> Any:
        pieces = [piece(new[a:b]) for (_, piece), a, b in zip(parts, ends[:-1], ends[1:], strict=True)]
        return tree_unflatten(pieces, spec)

    return [leaf for leaves, _ in parts for leaf in leaves], back


@dataclasses.dataclass(frozen=True, slots=True)
class Joined:
    """Outputs of micro-batches of ``sizes`` samples, joined along each tensor's axis of samples."""

    value: Any
    axes: list[int | None]  # of each leaf; None: it is no tensor of several samples
    sizes: list[int]

    def parts_of(self, leaf: int, tensor: Tensor) -> Sequence[Tensor]:
        """A tensor like the joined leaf, split into those of the micro-batches."""
        axis = self.axes[leaf]
        return [tensor] if axis is None or len(self.sizes) == 1 else tensor.split(self.sizes, dim=axis)


def join(model: nn.Module, outputs: Sequence[Any], sizes: Sequence[int], setting: str) -> Joined:
    """The outputs of all micro-batches as one.

    Args:
        sizes: samples of each micro-batch.
        setting: the argument that made micro-batches, for errors.

    Raises:
        ConfigError: a tensor has no axis of samples, or it cannot be told which one it is.
    """
    flat = [flatten(output)[0] for output in outputs]
    back = flatten(outputs[0])[1]
    if len(outputs) == 1:
        return Joined(outputs[0], [None] * len(flat[0]), list(sizes))
    recurrent = any(isinstance(module, (nn.RNNBase, AnalogRecurrent)) for module in model.modules())
    axes, joined = [], []
    for leaves in zip(*flat, strict=True):
        axis = _axis(leaves, sizes, setting, recurrent and len(flat[0]) > 1)
        axes.append(axis)
        joined.append(leaves[0] if axis is None else torch.cat(leaves, dim=axis))
    return Joined(back(joined), axes, list(sizes))


def _axis(leaves: Sequence[Any], sizes: Sequence[int], setting: str, states: bool) -> int | None:
    """The axis of samples: the first one that has as many entries as there are samples, in all micro-batches.

    Recurrent layers give states [layers, samples, ...]: where two axes fit, ``states`` says that the first
    one is no better than the second.
    """
    first = leaves[0]
    if not isinstance(first, Tensor):
        return None
    fits = [
        axis
        for axis in range(first.dim())
        if all(leaf.shape[axis] == size for leaf, size in zip(leaves, sizes, strict=True))
    ]
    if not fits:
        raise ConfigError(
            f"an output of shape {tuple(first.shape)} has no axis of {sizes[0]} samples, so those of several "
            f"micro-batches cannot be joined; use {setting} so that there is one, or leave the output away"
        )
    if states and len(fits) > 1 and fits[0] == 0 and fits[1] == 1:
        raise ConfigError(
            f"an output of shape {tuple(first.shape)} has two axes of {sizes[0]} samples, as a state "
            f"[layers, samples, ...] may have; choose another {setting}"
        )
    return fits[0]


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """The loss of a whole batch, and the gradients with which its micro-batches go backward."""

    loss: Tensor  # 0-d, where it was computed
    gradients: dict[int, Sequence[Tensor]]  # by leaf of an output: one for each micro-batch

    def ends(self, number: int, output: Any) -> tuple[list[Tensor], list[Tensor]]:
        """The tensors of a micro-batch's output that go backward, and their gradients."""
        own = flatten(output)[0]
        return [own[n] for n in self.gradients], [each[number] for each in self.gradients.values()]


def judge(
    model: nn.Module, outputs: Sequence[Any], sizes: Sequence[int], criterion: Criterion, y: Any
) -> Judged:
    """What ``criterion`` says of the outputs of all micro-batches together: it is that of the whole batch."""
    joined = join(model, outputs, sizes, "micro_batches=1")
    leaves, back = flatten(joined.value)
    learned = [n for n, leaf in enumerate(leaves) if isinstance(leaf, Tensor) and leaf.requires_grad]
    cut = {n: leaves[n].detach().requires_grad_() for n in learned}
    loss = criterion(back([cut.get(n, leaf) for n, leaf in enumerate(leaves)]), y)
    loss.backward()  # type: ignore[no-untyped-call]
    reached = {n: joined.parts_of(n, leaf.grad) for n, leaf in cut.items() if leaf.grad is not None}
    return Judged(loss.detach(), reached)


def add_gradients(parameters: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """Add what one micro-batch gave."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is not None:
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


def norm_of(gradient: Tensor, kind: float) -> Tensor:
    """The norm of one gradient."""
    norm: Tensor = torch.linalg.vector_norm(gradient, kind)
    return norm


def total_norm(norms: Mapping[str, Tensor], names: Iterable[str], kind: float) -> Tensor:
    """The norm of all gradients together, in the order of the model's parameters: the same in any cut."""
    each = [norms[name] for name in names if name in norms]
    return norm_of(torch.stack(each), kind) if each else torch.zeros(())


def clip_factor(norm: Tensor, max_norm: float) -> Tensor:
    """What gradients are multiplied with so that their norm is at most ``max_norm``, as torch has it.

    Raises:
        ConfigError: it is no number above 0, or the norm is none.
    """
    if isinstance(max_norm, bool) or not isinstance(max_norm, (int, float)) or not max_norm > 0:
        raise ConfigError(f"max_norm = {max_norm!r} must be a number above 0")
    if not torch.isfinite(norm):
        raise ConfigError(
            f"the gradients' norm is {norm.item()}, which no factor scales; lower the learning rate"
        )
    return (max_norm / (norm + 1e-6)).clamp(max=1.0)
