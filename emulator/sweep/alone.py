"""A model of which one layer has one cause of error and the others have none: what a sensitivity asks."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import nn

from crossgrid.chip import Chip, MappingPlan
from crossgrid.kernels.errors import ConfigError, unknown

from ..config.causes import CAUSES, EVERYTHING, OF_DEVICES, alone, exact, with_causes
from ..config.rpu import InferenceRPUConfig, RPUConfig
from ..model.analog_model import analog_layers, require_analog
from ..model.convert import convert_to_analog
from ..nn.matrix import AnalogMatrix
from ..run.specs import with_periphery
from .settings import Setting

#: values of ``layer`` beside the names of layers
ALL, NONE = "all", "none"


@dataclass(frozen=True, slots=True)
class Aged:
    """The layers that are programmed before they are read, and when they are read, s; None: at once."""

    layers: frozenset[str]
    drift_s: float | None

    def matrices(self, model: nn.Module) -> list[AnalogMatrix]:
        """The matrices of ``model`` that are programmed."""
        return [
            matrix
            for name, matrix in require_analog(model)
            if any(name == layer or name.startswith(f"{layer}.") for layer in self.layers)
        ]


def layer_names(model: nn.Module) -> list[str]:
    """The names that ``layer`` can have: the analog layers as their model calls them."""
    return [name or type(layer).__name__ for name, layer in analog_layers(model)]


def check_setting(setting: Setting, names: Sequence[str]) -> None:
    """Raise where ``layer`` and ``cause`` are none, or one lacks its counterpart."""
    if setting.layer is None or setting.cause is None:
        missing = "layer" if setting.layer is None else "cause"
        raise ConfigError(
            f"the study has no '{missing}': layer and cause go together, such as layer: [{names[0]}] and "
            f"cause: [adc]"
        )
    if setting.layer not in (*names, ALL, NONE):
        raise unknown("layer", str(setting.layer), (*names, ALL, NONE))
    if setting.cause not in (*CAUSES, EVERYTHING):
        raise unknown("cause", str(setting.cause), (*CAUSES, EVERYTHING))
    if setting.cause == "drift" and setting.drift_s is None:
        raise ConfigError("cause 'drift' needs a time: give drift_s, seconds after programming")
    if setting.cause == "faults" and setting.faults == 0.0:
        raise ConfigError("cause 'faults' needs a fraction of devices: give faults, such as 0.01")


def causes_of(setting: Setting) -> tuple[str, ...]:
    """The causes that a setting asks for: one, or all that its study has."""
    if setting.cause != EVERYTHING:
        return (str(setting.cause),)
    drifts, faults = setting.drift_s is not None, setting.faults > 0.0
    has = {"programming": drifts or faults, "drift": drifts, "faults": faults}
    return tuple(cause for cause in CAUSES if has.get(cause, True))


def isolated(model: nn.Module, config: RPUConfig, setting: Setting, plan: MappingPlan) -> nn.Module:
    """``model``, digital, converted so that the setting's layer has its cause and nothing else is wrong.

    Converters are those of the tiles that a layer is on, where the chip has any; on digital cores nothing is
    wrong. The layers are to run where the chip leaves numbers alone.
    """
    faulty = {
        kind: alone(with_periphery(config, setting.chip.described(kind)), causes_of(setting), setting.faults)
        for kind in set(plan.layer_kind.tolist())
        if setting.chip.described(kind).digital is None
    }

    def chosen(name: str, module: nn.Module, plain: RPUConfig) -> RPUConfig:
        called = name or type(module).__name__
        found = faulty.get(_kind_of_module(plan, called)) if setting.layer in (ALL, called) else None
        return exact(plain) if found is None else copy.deepcopy(found)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return convert_to_analog(
            copy.deepcopy(model), config, specific_rpu_config_fun=chosen, seed=setting.seed
        ).eval()


def _kind_of_module(plan: MappingPlan, name: str) -> int:
    """The kind of tile that a layer is on; of one of several matrices the first one's."""
    for shape, kind in zip(plan.layers, plan.layer_kind.tolist(), strict=True):
        if shape.name == name or shape.name.startswith(f"{name}."):
            return int(kind)
    return 0


def ideal(chip: Chip) -> Chip:
    """``chip`` with converters of all kinds of tiles that leave numbers alone."""
    kinds = tuple(replace(kind, chip=replace(kind.chip, ideal=True)) for kind in chip.kinds)
    return replace(chip, ideal=True, kinds=kinds)


def aged(setting: Setting, names: Sequence[str]) -> Aged:
    """What is programmed and when it is read, for a setting with a layer and a cause."""
    causes = causes_of(setting)
    if setting.layer == NONE or not set(causes) & set(OF_DEVICES):
        return Aged(frozenset(), None)
    layers = names if setting.layer == ALL else (str(setting.layer),)
    return Aged(frozenset(layers), setting.drift_s if "drift" in causes else None)


def faulty(config: RPUConfig, stuck: float) -> RPUConfig:
    """``config`` with a fraction of its devices stuck at programming.

    Raises:
        ConfigError: it has no devices that are programmed.
    """
    if stuck == 0.0:
        return config
    if not isinstance(config, InferenceRPUConfig):
        raise ConfigError(
            f"faults = {stuck!r} are of devices that are programmed: take an InferenceRPUConfig, not "
            f"{type(config).__name__}, whose devices have corrupt_devices_prob"
        )
    config.noise_model = with_causes(config.noise_model, True, True, stuck)
    return config
