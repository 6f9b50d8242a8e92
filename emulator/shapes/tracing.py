"""Where values come from while a model runs: which layer's outputs each layer reads, and what joins them.

Every tensor operation is watched. A result belongs to the layer that its inputs belong to; of several
layers to the one that worked last, where the others' values join it (``plan/graph.py``), but for a
concatenation, of which each part stays its layer's. Tensors are told apart by their memory, so views and
in-place changes count, on the meta device too.
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
from .order import mixes, pools, turns


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose outputs a tensor is made of: layers (the directions of a recurrent one), and since when."""

    moment: int
    layers: tuple[str, ...]
    parts: tuple[tuple[str, int], ...] = ()  # of a concatenation the layer of each part, and its channels
    in_order: bool = True  # its positions come one after the other
    features_last: bool = True  # or second


@dataclass(frozen=True, slots=True)
class Reading:
    """What a layer reads in one call."""

    sources: tuple[str, ...]
    concatenated: tuple[int, ...]
    in_step: bool


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
        self.readings: dict[str, list[Reading]] = {}
        self.pooled: set[str] = set()
        self.joins: dict[str, dict[str, int]] = {}
        self.digital = DigitalCount()
        self._origins: dict[int, Origin] = {}  # by memory
        self._views: dict[int, Origin] = {}  # of tensors that show a memory in another order, or a part of it
        self._shares: dict[int, float] = {}  # by memory: which part of the values is not zero, on average
        self._kept: list[Tensor] = []  # memory that is freed could come back as another tensor's
        self._moment = 0
        self._inside = 0
        self._functions = _Functions(self)
        self._mark(inputs, Origin(0, (OUTSIDE,)))

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
            read, made = _tensors((args, kwargs)), _tensors(result)
            if read and made and pools(name, read[0], made[0]) and (origin := self._of(read[0])):
                self.pooled.update(origin.layers)
            if name == "cat" and len(read) > 1:
                self._concatenate(read, made[0], args[1] if len(args) > 1 else 0)
            else:
                self._follow(read, made, func, args)
        return result

    def enter(self, inputs: Any, channels_second: bool = False) -> Reading:
        """A layer begins: what it reads; a convolution has its channels in the second dimension."""
        self._inside += 1
        origins = [origin for tensor in _tensors(inputs) if (origin := self._of(tensor)) is not None]
        inner = [origin for origin in origins if origin.layers != (OUTSIDE,)]
        in_step = all(o.in_order and o.features_last != channels_second for o in inner)
        if len(origins) == 1 and origins[0].parts:
            names, sizes = zip(*origins[0].parts, strict=True)
            return Reading(names, sizes, in_step)
        found = dict.fromkeys(layer for origin in origins for layer in origin.layers)
        return Reading(tuple(found), (), in_step)

    def leave(
        self, outputs: Any, layers: tuple[str, ...], channels_second: bool = False, in_order: bool = True
    ) -> None:
        """A layer ends; ``layers`` are the matrices that made its outputs."""
        self._inside -= 1
        self._moment += 1
        self._mark(_tensors(outputs), Origin(self._moment, layers, (), in_order, not channels_second))

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

    def reads(self, layer: str, reading: Reading) -> None:
        """Note what ``layer`` reads, besides what it read before."""
        self.readings.setdefault(layer, []).append(reading)

    def wired(self, shape: LayerShape, batch: int) -> LayerShape:
        """``shape`` with what it reads and what joins it, for one of ``batch`` inputs."""
        found = self.joins.get(shape.name, {})
        joins = tuple(Join(name, max(1, values // batch)) for name, values in found.items())
        shape = replace(shape, joins=(*shape.joins, *joins))
        if shape.convolution is not None and shape.name in self.pooled:
            shape = replace(shape, convolution=replace(shape.convolution, pooled=True))
        if shape.sources is not None:
            return shape
        readings = self.readings.get(shape.name, [])
        first = readings[0] if readings else Reading((OUTSIDE,), (), False)
        if any(other.sources != first.sources for other in readings):  # used again, elsewhere
            sources = tuple(dict.fromkeys(name for each in readings for name in each.sources))
            first = Reading(sources, (), False)
        in_step = shape.in_step
        if in_step is None and first.in_step != (shape.convolution is not None) and shape.reuse > 1:
            in_step = first.in_step
        sources = first.sources or (OUTSIDE,)
        return replace(shape, sources=sources, concatenated=first.concatenated, in_step=in_step)

    def _of(self, tensor: Tensor) -> Origin | None:
        return self._views.get(id(tensor)) or self._origins.get(_memory(tensor))

    def _mark(self, tensors: Iterable[Any], origin: Origin) -> None:
        for tensor in tensors:
            if isinstance(tensor, Tensor):
                self._kept.append(tensor)
                self._origins[_memory(tensor)] = origin
                self._views.pop(id(tensor), None)

    def _concatenate(self, tensors: list[Tensor], result: Tensor, axis: int) -> None:
        """Along features each part stays where it was made; along positions readers read all parts."""
        tensors = [tensor for tensor in tensors if tensor.dim() == result.dim()]  # not those that are empty
        origins = [self._of(tensor) for tensor in tensors]
        known = [origin for origin in origins if origin is not None]
        if not known:
            return
        latest = max(known, key=lambda origin: origin.moment)
        parts: list[tuple[str, int]] = []
        for origin, tensor in zip(origins, tensors, strict=True):
            size = tensor.shape[axis]
            names = (OUTSIDE,) if origin is None else origin.layers
            of_names = [(name, size // len(names)) for name in names]
            parts += origin.parts if origin is not None and origin.parts else of_names
        layers = tuple(dict.fromkeys(name for name, _ in parts))
        feature = result.dim() - 1 if latest.features_last else 1
        beside = axis % result.dim() == feature and len(parts) > 1 and all(size > 0 for _, size in parts)
        in_order = all(origin.in_order for origin in known)
        made = Origin(latest.moment, layers, tuple(parts) if beside else (), in_order, latest.features_last)
        self._mark([result], made)

    def _follow(
        self, inputs: list[Tensor], results: list[Tensor], func: Any = None, args: tuple[Any, ...] = ()
    ) -> None:
        values: dict[Origin, int] = {}
        for tensor in inputs:
            share = self._shares.get(_memory(tensor))
            for result in results:
                if (
                    share is not None and result.numel() == tensor.numel()
                ):  # the same in another type or order
                    self.shares(result, share)
            origin = self._of(tensor)
            if origin is not None:
                values[origin] = max(values.get(origin, 0), tensor.numel())
        if not values:
            return
        latest = max(values, key=lambda origin: origin.moment)
        for origin, count in values.items():
            if origin.layers != latest.layers:
                self._join(origin, latest, count)
        if func is not None and func.is_view:
            for tensor in results:
                self._kept.append(tensor)
                self._views[id(tensor)] = _seen(latest, inputs[0], tensor, turns(func, args))
            return
        in_order = func is not None and all(origin.in_order for origin in values)
        if in_order and mixes(func, args, latest.features_last):
            in_order = False
        self._mark(results, replace(latest, in_order=in_order))

    def _join(self, origin: Origin, latest: Origin, count: int) -> None:
        if latest.layers == (OUTSIDE,):
            return
        each = max(1, count // (len(origin.layers) * len(latest.layers)))
        for layer in latest.layers:
            joins = self.joins.setdefault(layer, {})
            for name in origin.layers:
                joins[name] = max(joins.get(name, 0), each)


def _seen(origin: Origin, whole: Tensor, view: Tensor, turned: bool) -> Origin:
    """The origin of a view: its last dimension may have moved, and it may show a part of the channels."""
    last = origin.features_last != turned
    narrow = bool(origin.parts) and view.numel() != whole.numel()
    return replace(origin, features_last=last, parts=() if narrow else origin.parts)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _memory(tensor: Tensor) -> int:
    try:
        return int(tensor.untyped_storage()._cdata)
    except NotImplementedError:  # sparse tensors and their like have no storage
        return id(tensor)
