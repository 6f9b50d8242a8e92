"""From any torch model to the layer shapes that the mapper takes. Shapes only: no weight is ever allocated.

Layers are linear ones, convolutions, recurrent ones and attention's projections. With an example input the
model runs once on the meta device, which tells how many vectors pass through each layer and which layers'
outputs it reads (``tracing``).
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.hooks import RemovableHandle

from crossgrid.chip import LayerShape
from crossgrid.kernels.errors import ConfigError, nearest

from ..nn.kinds import placed_layers
from .counting import ModelShapes, named_only
from .matrices import last_matrices, matrices_of, steps_of, vectors_of, work_inside
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
        shapes = tuple(shape for name, module in layers for shape in matrices_of(name, module, 1, None))
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
        for shape in matrices_of(name, module, batch, None)
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
        shapes = matrices_of(name, module, vectors_of(module, tensors, result), (tensors[0], result))
        self.seen.add(name)
        work = work_inside(name, module, tensors, result)
        if work is not None:
            self.trace.digital.add(work)
        steps = steps_of(module, result)
        for shape in shapes:
            old = self.found.get(shape.name)
            if old is None:
                self.found[shape.name] = replace(shape, steps=steps)
            else:
                used = old.reuse + shape.reuse
                self.found[shape.name] = replace(old, reuse=used, steps=(old.steps or 0) + steps)
            if shape.sources is None:
                self.trace.reads(shape.name, sources)
        self.trace.leave(output, last_matrices(module, shapes))


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
