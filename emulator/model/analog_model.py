"""A model with analog layers: find them, read their weights, program and age them; functions and methods."""

from __future__ import annotations

import functools
import hashlib
import types
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from torch import Tensor, nn

from crossgrid.kernels.errors import ConfigError

from ..analog_matrix.mini_batch import mini_batch
from ..hosts.executor import Keeper
from ..nn.base import AnalogLayer
from ..nn.inputs import break_graph
from ..nn.matrix import AnalogMatrix
from .kinds import digital_because

Model = TypeVar("Model", bound=nn.Module)


def analog_layers(model: nn.Module) -> Iterator[tuple[str, AnalogLayer]]:
    """The analog layers of a model by name, in the model's order, each once."""
    for name, module in model.named_modules():
        if isinstance(module, AnalogLayer):
            yield name, module


def analog_matrices(model: nn.Module) -> Iterator[tuple[str, AnalogMatrix]]:
    """The matrices of all analog layers: by the layer's name; of several, with its own name too."""
    for name, layer in analog_layers(model):
        matrices = layer.matrices()
        for weight, matrix in matrices.items():
            if len(matrices) == 1 and not matrix.label:
                yield name or type(layer).__name__, matrix
            else:
                yield f"{name}.{matrix.label or weight}".lstrip("."), matrix


def require_analog(model: nn.Module) -> list[tuple[str, AnalogMatrix]]:
    """The matrices of the analog layers of ``model``, or an error where it has none."""
    if not isinstance(model, nn.Module):
        raise ConfigError(f"a {type(model).__name__} is no model; give a torch.nn.Module")
    matrices = list(analog_matrices(model))
    if not matrices:
        raise ConfigError(f"{type(model).__name__} has no analog layers: {_why_none(model)}")
    return matrices


def _why_none(model: nn.Module) -> str:
    """Why a model has no analog layers, and the way out."""
    if not isinstance(model, AnalogModel):
        return "call cg.convert_to_analog(model, rpu_config) first"
    kept = [f"{name} ({why})" for name, why in digital_because(model).items()]
    if not kept:
        return "none of its modules multiplies by weights that tiles could hold"
    return f"the conversion left {'; '.join(kept)}"


def analog_weights(model: nn.Module) -> dict[str, Tensor]:
    """Every analog matrix's present weight in torch's shape, float32."""
    return {name: matrix.get_weights()[0] for name, matrix in analog_matrices(model)}


def weights_sha256(model: nn.Module) -> str:
    """SHA-256 of all analog weights, and biases on tiles, float32, in layer order: equal for equal bits."""
    digest = hashlib.sha256()
    for _, matrix in analog_matrices(model):
        weight, bias = matrix.get_weights()
        digest.update(weight.contiguous().numpy().tobytes())
        if bias is not None and matrix.grid.spec.bias_column:
            digest.update(bias.numpy().tobytes())
    return digest.hexdigest()


def program_analog_weights(model: nn.Module) -> None:
    """Write the trained weights of all inference layers to their devices, with programming noise."""
    matrices = _inference_matrices(model)
    for keeper, layers in _kept(matrices).items():
        keeper.program(layers)
    for matrix in matrices:
        if matrix.grid.executor.keeper is None:
            matrix.program()


def drift_analog_weights(model: nn.Module, t_inference: float = 0.0) -> None:
    """Let time pass for all layers whose devices drift, see ``AnalogLayer.drift_analog_weights``.

    Programmed layers age to ``t_inference`` seconds after their programming; devices that learn by pulses
    and have a ``DriftParameter``, by another ``t_inference`` of its units.

    Raises:
        ConfigError: no device of the model drifts.
    """
    matrices = [matrix for _, matrix in require_analog(model) if matrix.ages]
    if not matrices:
        raise ConfigError(
            f"{type(model).__name__} has no layer whose devices drift; convert it with InferenceRPUConfig, "
            "or set device.drift = cg.DriftParameter(nu=...) in its configuration"
        )
    for keeper, layers in _kept(matrices).items():
        keeper.drift(layers, t_inference)
    for matrix in matrices:
        if matrix.grid.executor.keeper is None:
            matrix.drift(t_inference)


def _kept(matrices: Sequence[AnalogMatrix]) -> dict[Keeper, list[int]]:
    """The matrices that other processes keep whole: these do their part side by side."""
    found: dict[Keeper, list[int]] = {}
    for matrix in matrices:
        keeper = matrix.grid.executor.keeper
        if keeper is not None:
            found.setdefault(keeper, []).append(matrix.grid.layer)
    return found


def _inference_matrices(model: nn.Module) -> list[AnalogMatrix]:
    """The matrices with a noise model; an error where there is none."""
    matrices = [matrix for _, matrix in require_analog(model) if not matrix.grid.spec.learns]
    if not matrices:
        raise ConfigError(
            f"{type(model).__name__} has no layer to program; convert it with an InferenceRPUConfig"
        )
    return matrices


class AnalogModel(nn.Module):
    """What a model with analog layers can do beside what its own class can: the roots of converted models."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the model computes; all reads of its tiles belong to one mini-batch (``modifier``)."""
        break_graph()
        with mini_batch():
            return super().__call__(*args, **kwargs)

    def analog_layers(self) -> Iterator[AnalogLayer]:
        """The analog layers, in the model's order."""
        return (layer for _, layer in analog_layers(self))

    def program_analog_weights(self) -> None:
        """Write the trained weights to the devices (layers with an ``InferenceRPUConfig``)."""
        program_analog_weights(self)

    def drift_analog_weights(self, t_inference: float = 0.0) -> None:
        """Let time pass for all layers whose devices drift, see the function of this name."""
        drift_analog_weights(self, t_inference)


def as_analog(model: Model) -> Model:
    """``model``, now of a subclass of its own class that is an ``AnalogModel`` too.

    Torch's ``fully_shard`` and ``parametrize`` give a module further methods in the same way: it stays an
    instance of its class, under its class's name, and no method of it is replaced.
    """
    if not isinstance(model, (AnalogModel, AnalogLayer)) and type(model) is not nn.Module:
        own: Any = type(model)
        model.__class__ = _analog_class(own)
    return model


def as_digital(model: Model) -> Model:
    """``model`` of the class that ``as_analog`` found it in."""
    if isinstance(model, _Converted):
        model.__class__ = type(model).__bases__[0]
    return model


class _Converted(AnalogModel):
    """Marks the classes that ``as_analog`` makes."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Copied and pickled by the class that it was made from: a made class has no name to be found by."""
        return _blank, (type(self).__bases__[0],), self.__getstate__()


def _blank(own: Any) -> Any:
    made = _analog_class(own)
    return made.__new__(made)


@functools.cache
def _analog_class(own: Any) -> Any:
    names = {"__module__": own.__module__, "__qualname__": own.__qualname__, "__doc__": own.__doc__}
    return types.new_class(own.__name__, (own, _Converted), exec_body=lambda body: body.update(names))
