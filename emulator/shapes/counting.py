"""What a model computes outside of its analog layers, counted while an example passes: digital work.

Every tensor operation is counted for the module that it runs in. Products are counted by torch's own formulas
(``torch.utils.flop_counter``, two operations a multiplication); others by the values that they make.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.utils._pytree import tree_leaves
from torch.utils.hooks import RemovableHandle

from crossgrid.chip import LayerShape
from crossgrid.chip.plan.digital import DigitalWork, merged

#: maximum, exponential, sum, division
SOFTMAX_OPERATIONS = 4.0

#: of ATen's operations those that are not elementwise: kind, and operations for each value that is read
_KINDS = {
    "native_batch_norm": ("normalization", 2.0),  # a scale and an offset, once trained
    "_native_batch_norm_legit_no_training": ("normalization", 2.0),
    "cudnn_batch_norm": ("normalization", 2.0),
    "native_layer_norm": ("normalization", 5.0),  # mean, variance, and a scale and an offset
    "native_group_norm": ("normalization", 5.0),
    "_fused_rms_norm": ("normalization", 4.0),
    "_softmax": ("softmax", SOFTMAX_OPERATIONS),
    "_log_softmax": ("softmax", SOFTMAX_OPERATIONS),
    "max_pool2d_with_indices": ("pooling", 1.0),
    "max_pool3d_with_indices": ("pooling", 1.0),
    "avg_pool2d": ("pooling", 1.0),
    "avg_pool3d": ("pooling", 1.0),
    "_adaptive_avg_pool2d": ("pooling", 1.0),
    "_adaptive_avg_pool3d": ("pooling", 1.0),
    "adaptive_max_pool2d": ("pooling", 1.0),
    "mean": ("pooling", 1.0),
    "embedding": ("embedding", 0.0),
    "cat": ("copy", 0.0),
    "stack": ("copy", 0.0),
}

#: operations that compute nothing, besides views and those that read no tensor
_FREE = frozenset(
    {"_to_copy", "copy_", "clone", "_unsafe_view", "native_dropout", "fill_", "zero_", "lift_fresh"}
)


@dataclass(frozen=True, slots=True)
class ModelShapes:
    """A model as a mapper sees it: the layers that tiles hold, and the work that stays digital."""

    layers: tuple[LayerShape, ...]
    digital: tuple[DigitalWork, ...] = ()


class DigitalCount:
    """Counts the operations of a model's modules; ``watching`` knows which module is at work."""

    def __init__(self) -> None:
        self.works: list[DigitalWork] = []
        self._modules: list[str] = []
        self._parameters: dict[int, int] = {}  # by memory: how many, of those that were not read yet

    @contextlib.contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Inside, the modules of ``model`` say when they work."""
        self._parameters = {_memory(p): p.numel() for p in model.parameters()}
        handles: list[RemovableHandle] = []
        for name, module in model.named_modules():
            handles.append(module.register_forward_pre_hook(lambda *_, name=name: self._modules.append(name)))
            handles.append(module.register_forward_hook(lambda *_: self._leave(), always_call=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def count(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        """Note one of ATen's operations."""
        operation = func.overloadpacket.__name__
        read = _tensors((args, kwargs))
        made_of_nothing = operation.startswith("new_") or operation.endswith("_like")
        if not read or func.is_view or made_of_nothing or operation in _FREE:
            return
        made = sum(tensor.numel() for tensor in _tensors(result))
        moved = made + sum(tensor.numel() for tensor in read)
        weights = sum(self._parameters.pop(_memory(tensor), 0) for tensor in read)
        from torch.utils.flop_counter import flop_registry  # loads Triton, where it is installed

        if func.overloadpacket in flop_registry:
            macs = flop_registry[func.overloadpacket](*args, **kwargs, out_val=result) / 2
            kind = "convolution" if "convolution" in operation else "matrix product"
            self._add(kind, macs, 0.0, moved, weights)
        elif operation in ("mv", "addmv", "dot", "vdot"):
            self._add("matrix product", max(t.numel() for t in read), 0.0, moved, weights)
        else:
            kind, each = _KINDS.get(operation, ("elementwise", 0.0))
            operations = each * read[0].numel() if operation in _KINDS else float(made)
            moved = 2 * made if kind == "embedding" else moved  # the rows that are looked up, not the table
            self._add(kind, 0.0, operations, moved, weights)

    def attention(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        """Note the products of queries [..., L, E] with keys [..., S, E] and of the result with values."""
        pairs = math.prod(query.shape[:-1]) * key.shape[-2]
        macs = pairs * (query.shape[-1] + value.shape[-1])
        moved = 2 * query.numel() + key.numel() + value.numel()
        self._add("attention", macs, SOFTMAX_OPERATIONS * pairs, moved, 0)

    def add(self, work: DigitalWork) -> None:
        """Note what a layer does besides its matrices."""
        self.works.append(work)

    def found(self, batch: int) -> tuple[DigitalWork, ...]:
        """The work for one of ``batch`` inputs."""
        return tuple(work.shared_by(batch) for work in merged(self.works))

    def _leave(self) -> None:
        if self._modules:
            self._modules.pop()

    def _add(self, kind: str, macs: float, operations: float, moved: float, weights: int) -> None:
        name = self._modules[-1] if self._modules else ""
        self.works.append(DigitalWork(name, kind, float(macs), operations, float(moved), weights))


def attention_work(
    name: str, heads: int, batch_first: bool, query: Tensor, key: Tensor, value: Tensor
) -> DigitalWork:
    """What ``nn.MultiheadAttention`` computes besides its projections, of [B, L, E], [L, B, E] or [L, E]."""
    along = 1 if batch_first and query.dim() == 3 else 0
    wide = query.shape[-1]
    pairs = query.numel() // wide * key.shape[along]
    moved = 2 * query.numel() + key.numel() + value.numel()
    return DigitalWork(
        name, "attention", 2.0 * pairs * wide, SOFTMAX_OPERATIONS * pairs * heads, float(moved)
    )


def named_only(model: nn.Module, layers: set[str]) -> tuple[DigitalWork, ...]:
    """The modules that are no analog layer, where no example tells what they compute.

    Functions that the model calls are not among them, only parameters that no module of torch's owns.
    """
    works = []
    for name, module in model.named_modules():
        if any(name == layer or name.startswith(f"{layer}.") for layer in layers):
            continue
        known = (p for p in module.parameters(recurse=False) if not isinstance(p, UninitializedParameter))
        weights = sum(p.numel() for p in known)
        leaf = next(module.children(), None) is None
        if weights or (leaf and not isinstance(module, (nn.Identity, nn.Dropout))):
            works.append(DigitalWork(name, _kind_of(module), weights=weights))
    return tuple(works)


def _kind_of(module: nn.Module) -> str:
    name = type(module).__name__
    for word, kind in (
        ("Conv", "convolution"), ("Norm", "normalization"), ("Softmax", "softmax"), ("Pool", "pooling"),
        ("Embedding", "embedding"), ("Attention", "attention"), ("Linear", "matrix product"),
    ):  # fmt: skip
        if word in name:
            return kind
    return "elementwise"


def _memory(tensor: Tensor) -> int:
    try:
        return int(tensor.untyped_storage()._cdata)
    except NotImplementedError:  # sparse tensors and their like have no storage
        return id(tensor)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
