"""From any torch model to the layer shapes that the mapper takes. Shapes only: no weight is ever allocated.

Layers are linear ones, convolutions, recurrent ones and attention's projections. With an example input the
model runs once on the meta device, which tells how many vectors pass through each layer and which layers'
outputs it reads (``tracing``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from crossgrid.chip import LayerShape
from crossgrid.kernels.errors import ConfigError

from ..model.kinds import EXPERTS, TRANSPOSED, kind_of, placed_layers
from ..nn.hooks.batch_axis import BatchAxis
from .attempts import attempt, on_meta_or_else
from .counting import ModelShapes, named_only
from .example import example_of, tensors_of
from .experts import Experts, standing_in
from .matrices import CONVOLUTIONS, last_matrices, matrices_of, steps_of, vectors_of, work_inside
from .tracing import Reading, Trace

Layers = Sequence[tuple[str, nn.Module]]


def layers_of(model: nn.Module, example: Any = None) -> tuple[LayerShape, ...]:
    """The layers of ``model``; ``example``, an input or its shape (batch first), runs on the meta device.

    Without an example every layer is taken to read the one defined before it, one vector an input.
    """
    return shapes_of(model, example).layers


def shapes_of(model: nn.Module, example: Any = None) -> ModelShapes:
    """The layers of ``model`` as ``layers_of`` gives them, and all else that it computes.

    A model that is a layer itself has no name: its layer is called as its analog twin's class.

    Raises:
        ConfigError: the model or the example cannot be used; one line says why.
    """
    found = attempt(
        lambda: _named(model) if example is None else _traced(model, example),
        f"the layers of a {type(model).__name__} cannot be read",
        "give a module that torch runs, and one batch as it takes it",
    )
    layers = (shape if shape.name else replace(shape, name=_twin(model)) for shape in found.layers)
    return ModelShapes(tuple(layers), found.digital)


def _twin(layer: nn.Module) -> str:
    """The name of the class that takes a layer's place."""
    kind = kind_of(layer)
    if kind in (TRANSPOSED, EXPERTS):
        return "AnalogLinear" if kind is TRANSPOSED else "AnalogExperts"
    return f"Analog{kind.__name__}"


def _named(model: nn.Module) -> ModelShapes:
    """Without an example: layers in the order in which they are defined."""
    for name, parameter in model.named_parameters():
        if nn.parameter.is_lazy(parameter):
            raise ConfigError(
                f"'{name}' has no shape yet: return an example input with the model, which tells it"
            )
    layers = list(placed_layers(model))
    shapes = tuple(shape for name, module in layers for shape in matrices_of(name, module, 1, None))
    return ModelShapes(shapes, named_only(model, {name for name, _ in layers}))


def _traced(model: nn.Module, example: Any) -> ModelShapes:
    """With an example: it passes through the model on the meta device and is watched."""
    inputs = example_of(model, example, "meta")
    model = model.to("meta")

    def run() -> None:
        with torch.no_grad():
            model(*inputs.args, **inputs.kwargs)

    def watched() -> tuple[_Watcher, Layers]:
        if any(nn.parameter.is_lazy(parameter) for parameter in model.parameters()):
            run()  # gives lazy parameters their shapes
        layers = list(placed_layers(model))
        return _watched(model, layers, inputs.tensors, run), layers

    with BatchAxis(model) as axis:
        watcher, layers = attempt(
            lambda: on_meta_or_else(watched), f"an example of shape {inputs.shapes} fails",
            "give one batch as the model takes it; where the model's path depends on numbers, which are not "
            "computed here, return the model alone",
        )  # fmt: skip
    batch = axis.inputs(inputs.tensors[0])
    missed = [
        _per_input(shape, batch)
        for name, module in layers
        if name not in watcher.seen
        for shape in matrices_of(name, module, batch, None)
    ]
    found = (watcher.trace.wired(_per_input(shape, batch), batch) for shape in watcher.found.values())
    return ModelShapes((*found, *missed), watcher.trace.digital.found(batch))


def _watched(model: nn.Module, layers: Layers, inputs: Sequence[Tensor], run: Callable[[], None]) -> _Watcher:
    """What was seen while ``run`` passed ``inputs`` through the model."""
    watcher = _Watcher(tuple(inputs))
    handles: list[RemovableHandle] = []
    try:
        for name, module in layers:
            handles += watcher.watch(name, module)
        with contextlib.ExitStack() as stack, watcher.trace.digital.watching(model):
            for experts, module in watcher.experts.values():
                stack.enter_context(standing_in(module, _zeros_of(experts)))
            stack.enter_context(watcher.trace)
            run()
    finally:
        for handle in handles:
            handle.remove()
    return watcher


class _Watcher:
    """Notes each layer when it first works, and adds up the vectors of later calls."""

    def __init__(self, inputs: tuple[Tensor, ...]) -> None:
        self.trace = Trace(inputs)
        self.found: dict[str, LayerShape] = {}
        self.seen: set[str] = set()
        self.experts: dict[str, tuple[Experts, nn.Module]] = {}
        self._reading: list[Reading] = []

    def watch(self, name: str, module: nn.Module) -> list[RemovableHandle]:
        """Hooks before and after ``module``."""
        if kind_of(module) is EXPERTS:
            experts = Experts.of(name, module)
            assert experts is not None
            self.experts[name] = experts, module

        def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if any(tensor.is_complex() for tensor in tensors_of((args, kwargs))):
                raise ConfigError(f"layer '{name}' reads complex numbers; tiles multiply real ones")
            self._reading.append(self.trace.enter((args, kwargs), isinstance(module, CONVOLUTIONS)))

        def after(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            self._note(name, module, (args, kwargs), output)

        return [
            module.register_forward_pre_hook(before, with_kwargs=True),
            module.register_forward_hook(after, with_kwargs=True),
        ]

    def _note(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        reading = self._reading.pop()
        result = output[0] if isinstance(output, tuple) else output
        tensors = tensors_of(inputs)
        if name in self.experts:
            experts, _ = self.experts[name]
            shapes = experts.shapes(experts.rows(tensors), experts.activity(tensors))
            last = experts.last()
            self.trace.digital.add(experts.work(tensors))
        else:
            shapes = matrices_of(name, module, vectors_of(module, tensors, result), (tensors[0], result))
            last = last_matrices(module, shapes)
            for work in work_inside(name, module, tensors, result):
                self.trace.digital.add(work)
        self.seen.add(name)
        steps = steps_of(module, result)
        for shape in shapes:
            old = self.found.get(shape.name)
            if old is None:
                self.found[shape.name] = replace(shape, steps=steps)
            else:
                used = old.reuse + shape.reuse
                self.found[shape.name] = replace(old, reuse=used, steps=(old.steps or 0) + steps)
            if shape.sources is None:
                self.trace.reads(shape.name, reading)
        backwards = isinstance(module, nn.RNNBase) and module.bidirectional
        self.trace.leave(output, last, isinstance(module, CONVOLUTIONS), not backwards)


def _zeros_of(experts: Experts) -> Callable[..., Tensor]:
    """A forward pass that gives zeros in place of what experts make."""
    return lambda *args, **kwargs: experts.made(tensors_of((args, kwargs)))


def _per_input(shape: LayerShape, batch: int) -> LayerShape:
    joins = tuple(replace(join, values=max(1, join.values // batch)) for join in shape.joins)
    return replace(shape, reuse=max(1, shape.reuse // batch), joins=joins)
