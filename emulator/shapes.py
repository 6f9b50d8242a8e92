"""From any torch model to the layer shapes that the mapper takes. Shapes only: no weight is ever allocated.

Layers are linear ones, convolutions, recurrent ones and attention's projections. With an example input the
model runs once on the meta device, which tells how many vectors pass through each layer and in which order.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..chip.plan import Convolution, LayerShape
from ..kernels.errors import ConfigError, nearest

Shape = Sequence[int]


def layers_of(
    model: nn.Module, example: Tensor | Shape | tuple[Any, ...] | None = None
) -> tuple[LayerShape, ...]:
    """The layers of ``model``; ``example``, an input or its shape (batch first), runs on the meta device."""
    if example is None:
        return tuple(
            shape for name, module in model.named_modules() for shape in _shapes(name, module, 1, None)
        )
    found: list[LayerShape] = []
    seen: dict[str, int] = {}
    handles = []
    for name, module in model.named_modules():
        if _is_layer(module):
            handles.append(module.register_forward_hook(_recorder(name, found, seen)))
    try:
        with torch.no_grad():
            inputs = _on_meta(example)
            model.to("meta")(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    batch = int(inputs[0].shape[0])
    missed = [
        shape
        for name, module in model.named_modules()
        if name not in seen
        for shape in _shapes(name, module, batch, None)
    ]
    return tuple(_per_input(shape, batch) for shape in (*found, *missed))


def load_layers(text: str) -> tuple[LayerShape, ...]:
    """The layers of ``file.py:callable``: it returns a model, or it and an example input or its shape."""
    path, _, name = text.rpartition(":")
    if not path or not Path(path).is_file():
        raise ConfigError(
            f"model '{text}': no file '{path or text}'; give FILE.py:CALLABLE or a name of the zoo"
        )
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(Path(path).resolve().parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    make = getattr(module, name, None)
    if not callable(make):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ConfigError(f"model '{text}': {path} has no callable '{name}': {nearest(name, known)}")
    with torch.device("meta"):
        made = make()
    model, example = made if isinstance(made, tuple) else (made, None)
    if not isinstance(model, nn.Module):
        raise ConfigError(
            f"model '{text}': {name}() returned a {type(model).__name__}, not a torch.nn.Module"
        )
    return layers_of(model, example)


def _on_meta(example: Any) -> tuple[Tensor, ...]:
    if isinstance(example, Tensor):
        return (example.to("meta"),)
    if all(isinstance(size, int) for size in example):
        return (torch.empty(tuple(example), device="meta"),)
    return tuple(tensor.to("meta") for tensor in example)


def _per_input(shape: LayerShape, batch: int) -> LayerShape:
    return LayerShape(shape.name, shape.out, shape.in_, max(1, shape.reuse // batch), shape.convolution)


def _recorder(
    name: str, found: list[LayerShape], seen: dict[str, int]
) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
    """A hook that notes the layer when it first works, and adds up the vectors of later calls."""

    def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        result = output[0] if isinstance(output, tuple) else output
        vectors = _vectors(module, result)
        shapes = _shapes(name, module, vectors, (inputs[0], result))
        if name not in seen:
            seen[name] = len(found)
            found.extend(shapes)
            return
        for k, shape in enumerate(shapes, start=seen[name]):
            old = found[k]
            found[k] = LayerShape(old.name, old.out, old.in_, old.reuse + shape.reuse, old.convolution)

    return hook


def _vectors(module: nn.Module, result: Tensor) -> int:
    """How often the weight matrix is multiplied: output values over outputs of one vector."""
    if _is_convolution(module):
        return result.numel() // int(module.out_channels)  # type: ignore[arg-type]
    if isinstance(module, nn.RNNBase):
        width = module.proj_size or module.hidden_size
        return result.numel() // (width * (2 if module.bidirectional else 1))
    return result.numel() // int(result.shape[-1])


def _is_convolution(module: nn.Module) -> bool:
    return isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d))


def _is_projection(module: nn.Module) -> bool:
    """Hugging Face's ``Conv1D``, a linear layer with a transposed weight."""
    return type(module).__name__ == "Conv1D" and isinstance(getattr(module, "weight", None), Tensor)


def _is_layer(module: nn.Module) -> bool:
    kinds = (nn.Linear, nn.RNNBase, nn.MultiheadAttention)
    return isinstance(module, kinds) or _is_convolution(module) or _is_projection(module)


def _shapes(
    name: str, module: nn.Module, vectors: int, data: tuple[Tensor, Tensor] | None
) -> list[LayerShape]:
    """The matrices of one module."""
    if isinstance(module, nn.Linear):
        return [LayerShape(name, module.out_features, module.in_features, vectors)]
    if _is_projection(module):
        in_, out = module.weight.shape  # type: ignore[misc]
        return [LayerShape(name, int(out), int(in_), vectors)]
    if _is_convolution(module):
        return _convolution_shapes(name, module, vectors, data)
    if isinstance(module, nn.RNNBase):
        return [
            LayerShape(f"{name}.{key}", int(weight.shape[0]), int(weight.shape[1]), vectors)
            for key, weight in module.named_parameters()
            if key.startswith("weight")
        ]
    if isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None:
        out, in_ = module.in_proj_weight.shape
        return [LayerShape(f"{name}.in_proj", int(out), int(in_), vectors)]
    return []


def _convolution_shapes(
    name: str, module: Any, vectors: int, data: tuple[Tensor, Tensor] | None
) -> list[LayerShape]:
    groups = int(module.groups)
    out, channels = int(module.out_channels) // groups, int(module.in_channels) // groups
    geometry = None
    if data is not None and isinstance(module, nn.Conv2d):
        height, width = data[0].shape[-2:]
        high, wide = data[1].shape[-2:]
        geometry = Convolution(
            channels, tuple(module.kernel_size), tuple(module.stride),  # type: ignore[arg-type]
            (int(height), int(width)), (int(high), int(wide)),
        )  # fmt: skip
    in_ = channels * math.prod(module.kernel_size)
    names = [name] if groups == 1 else [f"{name}[{group}]" for group in range(groups)]
    return [LayerShape(each, out, in_, vectors, geometry) for each in names]
