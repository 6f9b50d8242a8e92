"""From any torch model to the layer shapes that the mapper takes. Shapes only: no weight is ever allocated.

Layers are linear ones, convolutions, recurrent ones and attention's projections. With an example input the
model runs once on the meta device, which tells how many vectors pass through each layer and which layers'
outputs it reads (``tracing``).
"""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.hooks import RemovableHandle

from crossgrid.chip import Convolution, Join, LayerShape
from crossgrid.chip.plan.digital import DigitalWork
from crossgrid.kernels.errors import ConfigError, nearest

from ..nn.kinds import TRANSPOSED, kind_of, placed_layers
from .counting import ModelShapes, attention_work, named_only
from .tracing import Trace

Shape = Sequence[int]


def layers_of(model: nn.Module, example: Any = None) -> tuple[LayerShape, ...]:
    """The layers of ``model``; ``example``, an input or its shape (batch first), runs on the meta device.

    Without an example every layer is taken to read the one defined before it, one vector an input.
    """
    return shapes_of(model, example).layers


def shapes_of(model: nn.Module, example: Any = None) -> ModelShapes:
    """The layers of ``model`` as ``layers_of`` gives them, and all else that it computes."""
    layers = list(placed_layers(model))
    if example is None:
        shapes = tuple(shape for name, module in layers for shape in _shapes(name, module, 1, None))
        return ModelShapes(shapes, named_only(model, {name for name, _ in layers}))
    inputs = _on_meta(example)
    watcher = _Watcher(tuple(_tensors(inputs)))
    shown = ", ".join(str(tuple(tensor.shape)) for tensor in _tensors(inputs))
    model = model.to("meta")
    handles = []
    for name, module in layers:
        handles += watcher.watch(name, module)
    try:
        with torch.no_grad(), watcher.trace.digital.watching(model), watcher.trace:
            _attempt(
                lambda: model(*inputs), f"an example of shape {shown} fails",
                "give one batch as the model takes it; where the model's path depends on numbers, which are "
                "not computed here, return the model alone",
            )  # fmt: skip
    finally:
        for handle in handles:
            handle.remove()
    batch = len(_tensors(inputs)[0])
    missed = [
        _per_input(shape, batch)
        for name, module in layers
        if name not in watcher.seen
        for shape in _shapes(name, module, batch, None)
    ]
    found = (watcher.trace.wired(_per_input(shape, batch), batch) for shape in watcher.found.values())
    return ModelShapes((*found, *missed), watcher.trace.digital.found(batch))


class _Watcher:
    """Notes each layer when it first works, and adds up the vectors of later calls."""

    def __init__(self, inputs: tuple[Tensor, ...]) -> None:
        self.trace = Trace(inputs)
        self.found: dict[str, LayerShape] = {}
        self.seen: set[str] = set()
        self._reading: list[tuple[str, ...]] = []

    def watch(self, name: str, module: nn.Module) -> list[RemovableHandle]:
        """Hooks before and after ``module``."""

        def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self._reading.append(self.trace.enter((args, kwargs)))

        def after(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            self._note(name, module, (args, kwargs), output)

        return [
            module.register_forward_pre_hook(before, with_kwargs=True),
            module.register_forward_hook(after, with_kwargs=True),
        ]

    def _note(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        sources = self._reading.pop()
        result = output[0] if isinstance(output, tuple) else output
        tensors = _tensors(inputs)
        shapes = _shapes(name, module, _vectors(module, result), (tensors[0], result))
        self.seen.add(name)
        work = _work_inside(name, module, tensors, result)
        if work is not None:
            self.trace.digital.add(work)
        steps = _steps(module, result)
        for shape in shapes:
            old = self.found.get(shape.name)
            if old is None:
                self.found[shape.name] = replace(shape, steps=steps)
            else:
                used = old.reuse + shape.reuse
                self.found[shape.name] = replace(old, reuse=used, steps=(old.steps or 0) + steps)
            if shape.sources is None:
                self.trace.reads(shape.name, sources)
        self.trace.leave(output, _last_matrices(module, shapes))


def load_layers(text: str) -> tuple[LayerShape, ...]:
    """The layers of ``file.py:callable``: it returns a model, or it and an example input or its shape.

    Raises:
        ConfigError: the file, its callable or the model cannot be used; one line says why.
    """
    return load_shapes(text).layers


def load_shapes(text: str) -> ModelShapes:
    """The layers and the digital work of ``file.py:callable``."""
    path, _, name = text.rpartition(":")
    if not path or not Path(path).is_file():
        raise ConfigError(
            f"model '{text}': no file '{path or text}'; give FILE.py:CALLABLE or a name of the zoo"
        )
    module = _load(text, path)
    make = getattr(module, name, None)
    if not callable(make):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ConfigError(f"model '{text}': {path} has no callable '{name}': {nearest(name, known)}")
    with torch.device("meta"):
        made = _attempt(
            make, f"model '{text}': {name}() fails",
            "give a function without arguments that returns a model, or a model and an example input",
        )  # fmt: skip
    model, example = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(model, nn.Module):
        raise ConfigError(
            f"model '{text}': {name}() returned a {type(model).__name__}, not a torch.nn.Module"
        )
    return shapes_of(model, example)


def _load(text: str, path: str) -> Any:
    """The module that the file ``path`` defines."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"model '{text}': '{path}' is no Python file; give FILE.py:CALLABLE")
    module, loader = importlib.util.module_from_spec(spec), spec.loader
    sys.path.insert(0, str(Path(path).resolve().parent))
    try:
        _attempt(
            lambda: loader.exec_module(module), f"model '{text}': {path} cannot be loaded",
            "it must run by itself in this environment: python " + path,
        )  # fmt: skip
    finally:
        sys.path.pop(0)
    return module


def _attempt(work: Callable[[], Any], what: str, way_out: str) -> Any:
    """What ``work``, a user's code, gives; its failure in one line."""
    try:
        return work()
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        words = " ".join(str(error).split())
        raise ConfigError(f"{what} ({type(error).__name__}: {words}); {way_out}") from error


def _on_meta(example: Any) -> tuple[Any, ...]:
    """The model's inputs on the meta device: an example, several, or the shape of one."""
    if isinstance(example, Tensor) or not isinstance(example, (tuple, list)):
        example = (example,)
    elif example and all(isinstance(size, int) and not isinstance(size, bool) for size in example):
        example = (torch.empty(tuple(example), device="meta"),)
    inputs = tuple(tree_map_only(Tensor, lambda tensor: tensor.to("meta"), part) for part in example)
    tensors = _tensors(inputs)
    if not tensors or tensors[0].dim() == 0 or not len(tensors[0]):
        raise ConfigError(
            f"example input {example!r:.60} holds no batch; give a tensor with at least one sample, a "
            "tuple of what the model takes, or the shape of one"
        )
    return inputs


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _per_input(shape: LayerShape, batch: int) -> LayerShape:
    joins = tuple(replace(join, values=max(1, join.values // batch)) for join in shape.joins)
    return replace(shape, reuse=max(1, shape.reuse // batch), joins=joins)


def _vectors(module: nn.Module, result: Tensor) -> int:
    """How often the weight matrix is multiplied: output values over outputs of one vector."""
    if _is_convolution(module):
        return result.numel() // int(module.out_channels)  # type: ignore[arg-type]
    if isinstance(module, nn.RNNBase):
        width = module.proj_size or module.hidden_size
        return result.numel() // (width * (2 if module.bidirectional else 1))
    return result.numel() // int(result.shape[-1])


def _work_inside(name: str, module: nn.Module, tensors: list[Tensor], result: Tensor) -> DigitalWork | None:
    """What a layer computes besides its matrices: attention's products, the gates of a recurrent layer."""
    if isinstance(module, nn.MultiheadAttention):
        return attention_work(name, module.num_heads, module.batch_first, tensors[0], tensors[1], tensors[2])
    if isinstance(module, nn.RNNBase):
        gates = {"LSTM": 4, "GRU": 3}.get(module.mode, 1)
        values = 2.0 * gates * result.numel() * module.num_layers  # each activated, then combined
        return DigitalWork(name, "elementwise", 0.0, values, values)
    return None


def _steps(module: nn.Module, result: Tensor) -> int:
    """How many vectors one call takes one after the other: a recurrent layer's time steps."""
    if not isinstance(module, nn.RNNBase):
        return 1
    return int(result.shape[1 if module.batch_first and result.dim() == 3 else 0])


def _is_convolution(module: nn.Module) -> bool:
    return isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d))


def _shapes(
    name: str, module: nn.Module, vectors: int, data: tuple[Tensor, Tensor] | None
) -> list[LayerShape]:
    """The matrices of one module."""
    if isinstance(module, nn.Linear):
        return [LayerShape(name, module.out_features, module.in_features, vectors)]
    if kind_of(module) is TRANSPOSED:
        in_, out = module.weight.shape  # type: ignore[misc]
        return [LayerShape(name, int(out), int(in_), vectors)]
    if _is_convolution(module):
        return _convolution_shapes(name, module, vectors, data)
    if isinstance(module, nn.RNNBase):
        return _recurrent_shapes(name, module, vectors)
    if isinstance(module, nn.MultiheadAttention):
        return _attention_shapes(name, module, vectors)
    return []


def _recurrent_shapes(name: str, module: nn.RNNBase, vectors: int) -> list[LayerShape]:
    """A matrix for inputs and one for states in each layer and direction; a third where states are projected.

    What both make is added where states are read; the next layer reads the states of both directions.
    """
    shapes: list[LayerShape] = []
    below: tuple[str, ...] | None = None
    directions = ("", "_reverse") if module.bidirectional else ("",)
    for layer in range(module.num_layers):
        states = []
        for direction in directions:
            ih, hh, hr = (
                f"{name}.weight_{kind}_l{layer}{direction}".lstrip(".") for kind in ("ih", "hh", "hr")
            )
            gates, width = getattr(module, f"weight_ih_l{layer}{direction}").shape
            state = module.proj_size or module.hidden_size
            last = hr if module.proj_size else hh
            shapes.append(LayerShape(ih, int(gates), int(width), vectors, sources=below))
            joins = (Join(ih, int(gates) * vectors),)
            shapes.append(LayerShape(hh, int(gates), state, vectors, sources=(last,), joins=joins))
            if module.proj_size:
                shapes.append(LayerShape(hr, state, module.hidden_size, vectors, sources=(hh,)))
            states.append(last)
        below = tuple(states)
    return shapes


def _attention_shapes(name: str, module: nn.MultiheadAttention, vectors: int) -> list[LayerShape]:
    """Projections of queries, keys and values, in one matrix where they have one, and of the result."""
    width = module.embed_dim
    if module.in_proj_weight is not None:
        shapes = [LayerShape(f"{name}.in_proj".lstrip("."), 3 * width, width, vectors)]
    else:
        sizes = {"q_proj": width, "k_proj": module.kdim, "v_proj": module.vdim}
        shapes = [
            LayerShape(f"{name}.{part}".lstrip("."), width, int(size), vectors)
            for part, size in sizes.items()
        ]
        met = tuple(Join(shape.name, width * vectors) for shape in shapes[:2])
        shapes[2] = replace(shapes[2], joins=met)
    read = (shapes[-1].name,)
    return [*shapes, LayerShape(f"{name}.out_proj".lstrip("."), width, width, vectors, sources=read)]


def _last_matrices(module: nn.Module, shapes: list[LayerShape]) -> tuple[str, ...]:
    """The matrices that make a module's outputs."""
    if isinstance(module, nn.MultiheadAttention):
        return (shapes[-1].name,)
    if isinstance(module, nn.RNNBase):
        each = 3 if module.proj_size else 2
        directions = 2 if module.bidirectional else 1
        return tuple(shape.name for shape in shapes[each - 1 :: each][-directions:])
    return tuple(shape.name for shape in shapes)


def _convolution_shapes(
    name: str, module: Any, vectors: int, data: tuple[Tensor, Tensor] | None
) -> list[LayerShape]:
    groups = int(module.groups)
    geometry = None
    if data is not None and isinstance(module, nn.Conv2d):
        height, width = data[0].shape[-2:]
        high, wide = data[1].shape[-2:]
        geometry = Convolution(
            int(module.in_channels), tuple(module.kernel_size), tuple(module.stride),  # type: ignore[arg-type]
            (int(height), int(width)), (int(high), int(wide)),
        )  # fmt: skip
    in_ = int(module.in_channels) * math.prod(module.kernel_size)
    return [LayerShape(name, int(module.out_channels), in_, vectors, geometry, groups=groups)]
