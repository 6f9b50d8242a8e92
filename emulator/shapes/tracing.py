"""Where values come from while a model runs: which layer's outputs each layer reads, and what joins them.

Every tensor operation is watched. A result belongs to the layer that its inputs belong to; of several
layers to the one that worked last, where the others' values join it (``plan/graph.py``). Tensors are told
apart by their memory, so views and in-place changes count, on the meta device too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot, scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from crossgrid.chip import OUTSIDE, Join, LayerShape

from .counting import DigitalCount


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose outputs a tensor is made of: layers (the groups of one convolution), and since when."""

    moment: int
    layers: tuple[str, ...]


class _Functions(TorchFunctionMode):
    """Lets torch's attention count as one operation, whatever a device makes of it; and sees where values are
    one of several classes: an expert's share of the tokens."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self.trace = trace

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is one_hot:
            result = func(*args, **(kwargs or {}))
            self.trace.shares(result, 1.0 / result.shape[-1])
            return result
        if func is not scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        named = dict(zip(("query", "key", "value"), args, strict=False)) | (kwargs or {})
        self.trace.attends(named["query"], named["key"], named["value"])
        return self.trace.as_one(lambda: func(*args, **(kwargs or {})), (args, kwargs))


class Trace(TorchDispatchMode):
    """Watches one forward pass. ``enter`` and ``leave`` bracket a layer; what happens inside is its own."""

    def __init__(self, inputs: Iterable[Any]) -> None:
        super().__init__()
        self.sources: dict[str, dict[str, None]] = {}  # dictionaries keep the order
        self.joins: dict[str, dict[str, int]] = {}
        self.digital = DigitalCount()
        self._origins: dict[int, Origin] = {}
        self._shares: dict[int, float] = {}  # by memory: which part of the values is not zero, on average
        self._kept: list[Tensor] = []  # memory that is freed could come back as another tensor's
        self._moment = 0
        self._inside = 0
        self._functions = _Functions(self)
        self._mark(inputs, (OUTSIDE,))

    def __enter__(self) -> Any:
        self._functions.__enter__()
        return super().__enter__()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        super().__exit__(kind, error, trace)
        self._functions.__exit__(kind, error, trace)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        places = self._expected(args[0]) if name == "nonzero" else None
        result = func(*args, **(kwargs or {})) if places is None else places
        if not self._inside:
            self.digital.count(func, args, kwargs or {}, result)
        if not self._inside and not name.startswith("new_") and not name.endswith("_like"):
            self._follow(_tensors((args, kwargs)), _tensors(result))
        return result

    def enter(self, inputs: Any) -> tuple[str, ...]:
        """A layer begins: the layers whose outputs it reads."""
        self._inside += 1
        found: dict[str, None] = {}
        for tensor in _tensors(inputs):
            origin = self._origins.get(_memory(tensor))
            if origin is not None:
                found.update(dict.fromkeys(origin.layers))
        return tuple(found)

    def leave(self, outputs: Any, layers: tuple[str, ...]) -> None:
        """A layer ends; ``layers`` are the matrices that made its outputs."""
        self._inside -= 1
        self._moment += 1
        self._mark(_tensors(outputs), layers)

    def shares(self, tensor: Tensor, share: float) -> None:
        """Only ``share`` of the values of ``tensor`` are not zero, on average."""
        self._kept.append(tensor)
        self._shares[_memory(tensor)] = share

    def _expected(self, tensor: Tensor) -> Tensor | None:
        """As many places as are not zero on average, where the share is known and numbers are not."""
        share = self._shares.get(_memory(tensor))
        if not tensor.is_meta or share is None:
            return None
        return tensor.new_empty((max(1, round(share * tensor.numel())), tensor.dim()), dtype=torch.long)

    def attends(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        """Attention is computed outside of layers."""
        if not self._inside:
            self.digital.attention(query, key, value)

    def as_one(self, operation: Callable[[], Any], inputs: Any) -> Any:
        """Run ``operation`` as if it were a single one."""
        self._inside += 1
        try:
            result = operation()
        finally:
            self._inside -= 1
        if not self._inside:
            self._follow(_tensors(inputs), _tensors(result))
        return result

    def reads(self, layer: str, sources: Iterable[str]) -> None:
        """Note what ``layer`` reads, besides what it read before."""
        self.sources.setdefault(layer, {}).update(dict.fromkeys(sources))

    def wired(self, shape: LayerShape, batch: int) -> LayerShape:
        """``shape`` with what it reads and what joins it, for one of ``batch`` inputs."""
        sources = tuple(self.sources.get(shape.name, ())) or (OUTSIDE,)
        found = self.joins.get(shape.name, {})
        joins = tuple(Join(name, max(1, values // batch)) for name, values in found.items())
        return replace(shape, sources=shape.sources or sources, joins=(*shape.joins, *joins))

    def _mark(self, tensors: Iterable[Any], layers: tuple[str, ...]) -> None:
        for tensor in tensors:
            if isinstance(tensor, Tensor):
                self._kept.append(tensor)
                self._origins[_memory(tensor)] = Origin(self._moment, layers)

    def _follow(self, inputs: list[Tensor], results: list[Tensor]) -> None:
        values: dict[Origin, int] = {}
        for tensor in inputs:
            share = self._shares.get(_memory(tensor))
            for result in results:
                if (
                    share is not None and result.numel() == tensor.numel()
                ):  # the same in another type or order
                    self.shares(result, share)
            origin = self._origins.get(_memory(tensor))
            if origin is not None:
                values[origin] = max(values.get(origin, 0), tensor.numel())
        if not values:
            return
        latest = max(values, key=lambda origin: origin.moment)
        for origin, count in values.items():
            if origin.layers != latest.layers:
                self._join(origin, latest, count)
        for tensor in results:
            self._kept.append(tensor)
            self._origins[_memory(tensor)] = latest

    def _join(self, origin: Origin, latest: Origin, count: int) -> None:
        if latest.layers == (OUTSIDE,):
            return
        each = max(1, count // (len(origin.layers) * len(latest.layers)))
        for layer in latest.layers:
            joins = self.joins.setdefault(layer, {})
            for name in origin.layers:
                joins[name] = max(joins.get(name, 0), each)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _memory(tensor: Tensor) -> int:
    try:
        return int(tensor.untyped_storage()._cdata)
    except NotImplementedError:  # sparse tensors and their like have no storage
        return id(tensor)
