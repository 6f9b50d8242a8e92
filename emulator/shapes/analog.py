"""How often an input passes through each layer of a model: from an example, or from a run's first batch.

An example runs through the model with its tiles left alone: every analog layer gives zeros, the digital
ones compute. So nothing changes on a tile, no noise is used up, and the layers' order is known too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from crossgrid.chip import LayerShape
from crossgrid.kernels.errors import ConfigError

from ..hosts.grid import TileGrid
from ..nn.base import AnalogLayer
from ..nn.convolution.conv import AnalogConv1d, AnalogConv2d, AnalogConv3d
from ..nn.experts.experts import AnalogExperts
from ..nn.hooks.batch_axis import BatchAxis
from ..nn.hooks.listening import Listener
from ..nn.matrix import AnalogMatrix
from .counting import ModelShapes, named_only
from .example import example_of, tensors_of
from .experts import Experts, standing_in
from .matrices import geometry_of
from .tracing import Reading, Trace

Layers = Sequence[tuple[str, AnalogMatrix]]


def plain_shapes(model: nn.Module, layers: Layers) -> ModelShapes:
    """What a mapper places for the layers, one vector an input, each reading the one before it."""
    shapes = tuple(layer.grid.spec.shape(name) for name, layer in layers)
    analog = {name for name, module in model.named_modules() if isinstance(module, AnalogLayer)}
    return ModelShapes(shapes, named_only(model, analog))


def traced_shapes(model: nn.Module, layers: Layers, example: Any) -> ModelShapes:
    """The same in the order in which an example passes, with how often it does and what each layer reads.

    Args:
        example: an input, a tuple of several, a mapping of names to them, or shapes; see ``example_of``.
    """
    on_meta = any(parameter.is_meta for parameter in model.parameters())
    inputs = example_of(model, example, "meta" if on_meta else None)
    watcher = _Watcher(inputs.tensors)
    try:
        with undisturbed(model), BatchAxis(model) as axis, contextlib.ExitStack() as stack, torch.no_grad():
            for name, layer in layers:
                stack.enter_context(watcher.watching(name, layer))
            for name, module in model.named_modules():
                if isinstance(module, AnalogExperts):
                    stack.enter_context(watcher.watching_experts(name, module))
            stack.enter_context(watcher.trace.digital.watching(model))
            stack.enter_context(watcher.trace)
            model(*inputs.args, **inputs.kwargs)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"example_input of shape {inputs.shapes} does not pass through the model "
            f"({type(error).__name__}: {' '.join(str(error).split())}); give one batch as the model "
            "takes it, or leave it out"
        ) from error
    batch = axis.inputs(inputs.tensors[0])
    unseen = (layer.grid.spec.shape(name) for name, layer in layers if name not in watcher.seen)
    seen = (watcher.shape(key, batch) for key in watcher.vectors)
    return ModelShapes((*seen, *unseen), watcher.trace.digital.found(batch))


class _Watcher:
    """Counts vectors and notes who reads what while the example passes."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        self.trace = Trace(inputs)
        self.seen: set[str] = set()
        self.shapes: dict[str, LayerShape] = {}
        self.vectors: dict[str, int] = {}
        self.calls: dict[str, int] = {}
        self._reading: list[Reading] = []

    @contextlib.contextmanager
    def watching(self, name: str, layer: AnalogMatrix) -> Iterator[None]:
        """Inside, ``layer`` gives zeros and is watched."""

        def stand_in(
            x: Tensor, weight: Tensor, bias: Tensor | None = None, positions: tuple[int, ...] | None = None
        ) -> Tensor:
            self._count(name, layer, x)
            shape = layer.grid.spec.output_shape(x.shape, positions)
            return torch.zeros(shape, dtype=torch.float32, device=x.device)

        def before(module: nn.Module, args: Any) -> None:
            self._reading.append(self.trace.enter(args[0], layer.grid.spec.patches is not None))

        def after(module: nn.Module, args: Any, output: Any) -> None:
            self.trace.reads(name, self._reading.pop())
            self.trace.leave(output, (name,), channels_second=output.dim() > 2)

        tiles = layer.analog_tile
        handles = (tiles.register_forward_pre_hook(before), tiles.register_forward_hook(after))
        tiles.forward = stand_in  # type: ignore[method-assign]
        try:
            yield
        finally:
            del tiles.forward
            for handle in handles:
                handle.remove()

    def watching_experts(self, name: str, module: AnalogExperts) -> contextlib.AbstractContextManager[None]:
        """Inside, all experts of ``module`` get their share of the tokens, whatever the numbers say."""
        experts = Experts.of(name, module)
        assert experts is not None

        def stand_in(*args: Any, **kwargs: Any) -> Tensor:
            tensors = tensors_of((args, kwargs))
            reading, rows = self.trace.enter(tensors), experts.rows(tensors)
            for shape in experts.shapes(1, experts.activity(tensors)):
                self.seen.add(shape.name)
                self.shapes[shape.name] = shape
                self.vectors[shape.name] = self.vectors.get(shape.name, 0) + rows
                self.calls[shape.name] = self.calls.get(shape.name, 0) + 1
                if shape.sources is None:
                    self.trace.reads(shape.name, reading)
            self.trace.digital.add(experts.work(tensors))
            made = experts.made(tensors)
            self.trace.leave(made, experts.last())
            return made

        return standing_in(module, stand_in)

    def shape(self, key: str, batch: int) -> LayerShape:
        """The matrix ``key`` with what was found."""
        reuse = max(1, self.vectors[key] // batch)
        shape = replace(self.shapes[key], reuse=reuse, steps=self.calls[key])
        return self.trace.wired(shape, batch)

    def _count(self, name: str, layer: AnalogMatrix, x: Tensor) -> None:
        self.seen.add(name)
        spec, geometry = layer.grid.spec, None
        if spec.patches is not None and isinstance(layer.layer, (AnalogConv1d, AnalogConv2d, AnalogConv3d)):
            channels, size = spec.width // spec.patches.size * spec.groups, tuple(x.shape[2:])
            geometry = geometry_of(
                channels, spec.patches.kernel, spec.patches.stride, layer.layer.border.without(size),
                spec.patches.output_size(size), spec.patches.dilation,
            )  # fmt: skip
        self.shapes[name] = replace(spec.shape(name), convolution=geometry)
        self.vectors[name] = self.vectors.get(name, 0) + spec.vectors(x.shape)
        self.calls[name] = self.calls.get(name, 0) + 1


@contextlib.contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Inside, the model is in evaluation mode; random numbers and the modes are then as they were."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        with torch.random.fork_rng(devices=[]):
            model.eval()
            yield
    finally:
        for module, mode in modes:
            module.training = mode


class FirstBatch:
    """Learns how often an input passes through each layer from the first batch that a run sees."""

    def __init__(
        self, model: nn.Module, grids: Sequence[TileGrid], axis: BatchAxis,
        learned: Callable[[list[int]], None],
    ) -> None:  # fmt: skip
        self._grids, self._axis, self._learned = grids, axis, learned
        self._before: list[int] = []
        self._handles = [
            model.register_forward_pre_hook(Listener(self._start)),
            model.register_forward_hook(Listener(self._end), with_kwargs=True),
        ]  # fmt: skip

    def _start(self, model: nn.Module, args: tuple[Any, ...]) -> None:
        self._before = [grid.ticks.forward for grid in self._grids]

    def _end(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        batch = self._axis.inputs_of(args, kwargs)
        if not batch:
            return
        self.stop()
        vectors = [g.ticks.forward - b for g, b in zip(self._grids, self._before, strict=True)]
        self._learned([max(1, count // batch) for count in vectors])

    def stop(self) -> None:
        """Look no more."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
