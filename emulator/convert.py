"""From a digital model to an analog one and back."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Collection, Iterator
from typing import Any

from torch import Tensor, nn

from ..kernels.errors import ConfigError, unknown
from .configs import RPUConfig
from .nn.base import AnalogLayer
from .nn.conv import AnalogConv1d, AnalogConv2d, AnalogConv3d
from .nn.linear import AnalogLinear

#: makes an analog layer from (digital layer, configuration, name in the model)
Conversion = Callable[[Any, RPUConfig, str], AnalogLayer]

CONVERSIONS: dict[type[nn.Module], Conversion] = {
    nn.Linear: AnalogLinear.from_digital,
    nn.Conv1d: AnalogConv1d.from_digital,
    nn.Conv2d: AnalogConv2d.from_digital,
    nn.Conv3d: AnalogConv3d.from_digital,
}


def convert_to_analog(
    model: nn.Module,
    rpu_config: RPUConfig,
    *,
    exclude_modules: Collection[str] = (),
    specific_rpu_config_fun: Callable[[str, nn.Module, RPUConfig], RPUConfig | None] | None = None,
    inplace: bool = False,
) -> nn.Module:
    """``model`` with its linear and convolution layers on analog tiles.

    Args:
        model: any torch model. It is copied unless ``inplace``.
        rpu_config: how the tiles behave; every layer keeps its own copy.
        exclude_modules: names of modules that stay digital, with everything below them.
        specific_rpu_config_fun: called with (name, layer, a copy of rpu_config); returns the layer's own
            configuration, or None to leave the layer digital.
        inplace: change ``model`` itself.

    Returns:
        The converted model; a converted root layer is returned as an analog layer.

    Raises:
        ConfigError: ``exclude_modules`` names a module that does not exist, or a layer cannot be converted.
    """
    names = dict(model.named_modules())
    for name in exclude_modules:
        if name not in names:
            raise unknown("module in exclude_modules", name, [n for n in names if n])
    model = model if inplace else copy.deepcopy(model)

    def converted(name: str, module: nn.Module) -> nn.Module:
        if name in exclude_modules:
            return module
        conversion = CONVERSIONS.get(type(module))
        if conversion is None:
            for child_name, child in list(module.named_children()):
                replaced = converted(f"{name}.{child_name}" if name else child_name, child)
                if replaced is not child:
                    setattr(module, child_name, replaced)
            return module
        config: RPUConfig | None = copy.deepcopy(rpu_config)
        if specific_rpu_config_fun is not None and config is not None:
            config = specific_rpu_config_fun(name, module, config)
        return module if config is None else conversion(module, config, name or type(module).__name__)

    return converted("", model)


def convert_to_digital(model: nn.Module, *, inplace: bool = False) -> nn.Module:
    """``model`` with torch layers in place of its analog ones, holding their present weights."""
    model = model if inplace else copy.deepcopy(model)
    if isinstance(model, AnalogLayer):
        return model.to_digital()
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, AnalogLayer):
                setattr(parent, name, child.to_digital())
    return model


def analog_layers(model: nn.Module) -> Iterator[tuple[str, AnalogLayer]]:
    """The analog layers of a model by name, in the model's order, each once."""
    for name, module in model.named_modules():
        if isinstance(module, AnalogLayer):
            yield name or type(module).__name__, module


def program_analog_weights(model: nn.Module) -> None:
    """Write the trained weights of all inference layers to their devices, with programming noise."""
    for layer in _inference_layers(model):
        layer.program_analog_weights()


def drift_analog_weights(model: nn.Module, t_inference: float = 0.0) -> None:
    """Age all programmed layers to ``t_inference`` seconds after their programming."""
    for layer in _inference_layers(model):
        layer.drift_analog_weights(t_inference)


def _inference_layers(model: nn.Module) -> list[AnalogLayer]:
    """The layers with a noise model; an error where there is none."""
    layers = [layer for _, layer in require_analog(model) if not layer.grid.spec.learns]
    if not layers:
        raise ConfigError(
            f"{type(model).__name__} has no layer to program; convert it with an InferenceRPUConfig"
        )
    return layers


def analog_weights(model: nn.Module) -> dict[str, Tensor]:
    """Every analog layer's present weight in torch's shape, float32."""
    return {name: layer.get_weights()[0] for name, layer in analog_layers(model)}


def weights_sha256(model: nn.Module) -> str:
    """SHA-256 of all analog weights, float32, in layer order: equal for equal bits."""
    digest = hashlib.sha256()
    for weight in analog_weights(model).values():
        digest.update(weight.contiguous().numpy().tobytes())
    return digest.hexdigest()


def require_analog(model: nn.Module) -> list[tuple[str, AnalogLayer]]:
    """The analog layers of ``model``, or an error where it has none."""
    layers = list(analog_layers(model))
    if not layers:
        raise ConfigError(
            f"{type(model).__name__} has no analog layers to emulate; "
            "call cg.convert_to_analog(model, rpu_config) first"
        )
    return layers
