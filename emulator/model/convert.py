"""From a digital model to an analog one and back."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

import torch
from torch import nn

from crossgrid.kernels.errors import ConfigError, InputError, unknown

from ..config.rpu import InferenceRPUConfig, RPUConfig
from ..nn.base import AnalogLayer
from ..nn.deferral import Deferrals, deferring
from ..nn.keys import as_key
from .analog_model import as_analog, as_digital
from .carried import carry
from .kinds import EXPERTS, digital_because, kind_of
from .tied import shared_parameters
from .twins import analog_twin, own_names

#: called with (name, layer, a copy of the configuration): the layer's own one, or None, it stays digital
Choice = Callable[[str, nn.Module, RPUConfig], RPUConfig | None]


def convert_to_analog(
    model: nn.Module,
    rpu_config: RPUConfig,
    *,
    exclude_modules: Collection[str] = (),
    specific_rpu_config_fun: Choice | None = None,
    inplace: bool = False,
    seed: int | None = None,
) -> nn.Module:
    """``model`` with its linear, convolution and recurrent layers on analog tiles.

    A layer that shares a weight with another module stays tied: with an ``InferenceRPUConfig``, whose
    weights are trained digitally, as an analog layer; otherwise it stays digital, and a warning says so.

    A model without numbers (``cg.deferred()``) is converted without any: nothing is drawn, and ``emulate``
    makes of it, with a file of them (``weights=``), what the conversion of a model with them is.

    Args:
        model: any torch model. It is copied unless ``inplace``.
        rpu_config: how the tiles behave; every layer keeps its own copy.
        exclude_modules: names of modules (or one name) that stay digital, with everything below them.
        specific_rpu_config_fun: called with (name, layer, a copy of rpu_config); returns the layer's own
            configuration, or None to leave the layer digital.
        inplace: change ``model`` itself.
        seed: everything random in a layer follows from it, from the layer's name and weights, and from the
            layers that are converted before it; if not given, from torch's default generator as it stands.
            The generator is left there: the same model converted again without a draw in between is the same
            chip. For other devices set another seed.

    Returns:
        The converted model, of its own class still, with the methods of ``AnalogModel`` beside its own (and
        with ``inplace`` the very same object). A root that is a layer itself is returned as an analog layer.

    Warns:
        UserWarning: names what multiplies by weights and stays digital though it was not excluded, and why.

    Raises:
        ConfigError: ``exclude_modules`` names a module that does not exist, or a layer cannot be converted.
        InputError: the model cannot be copied, for it holds a tensor that was computed from others.
    """
    names = dict(model.named_modules())
    if isinstance(exclude_modules, str):
        exclude_modules = (exclude_modules,)
    for name in exclude_modules:
        if name not in names:
            raise unknown("module in exclude_modules", name, [n for n in names if n])
    model = model if inplace else _copied(model)
    conversion = _Conversion(rpu_config, exclude_modules, specific_rpu_config_fun, shared_parameters(model))
    with torch.random.fork_rng(devices=[]):  # layers start with weights of their own, and then take these
        if seed is not None:
            torch.default_generator.manual_seed(as_key(seed))
        with _without_numbers(model):
            model = as_analog(conversion.converted("", model))
    _say_digital(model, exclude_modules, conversion.left)
    _say_analog(model, conversion)
    return model


@contextlib.contextmanager
def _without_numbers(model: nn.Module) -> Iterator[None]:
    """Inside, the layers of ``model`` get no devices if any of its weights has no numbers."""
    if not any(parameter.is_meta for parameter in model.parameters()):
        yield
        return
    with deferring(Deferrals(torch.get_rng_state())), torch.device("cpu"):
        yield


def _copied(model: nn.Module) -> nn.Module:
    """A copy of ``model``; an error names what torch cannot copy: a tensor that was computed from others."""
    try:
        return copy.deepcopy(model)
    except RuntimeError as error:
        for name, module in model.named_modules():
            for key, value in vars(module).items():
                if isinstance(value, torch.Tensor) and not value.is_leaf:
                    where = f"{name}.{key}".lstrip(".")
                    raise InputError(
                        f"the model cannot be copied: {where} is computed from others (torch's older "
                        "weight_norm or pruning); remove that first, or convert with inplace=True"
                    ) from error
        raise


@dataclass(slots=True)
class _Conversion:
    """One pass over a model that puts analog layers in place of its digital ones."""

    rpu_config: RPUConfig
    excluded: Collection[str]
    choose: Choice | None
    shared: dict[nn.Module, dict[str, list[str]]]
    analog: dict[nn.Module, nn.Module] = field(default_factory=dict)  # one that is used twice stays one

    def converted(self, name: str, module: nn.Module) -> nn.Module:
        """What takes the place of ``module``, which is called ``name``: itself, if it stays digital."""
        if name in self.excluded or module in self.analog:
            return self.analog.get(module, module)
        kind = kind_of(module, trained=True)

        def below(key: str, child: nn.Module) -> nn.Module:
            return self.converted(f"{name}.{key}".lstrip("."), child)

        if kind is None:
            return _replace_children(module, below)
        config = self._config(name, module)
        if config is not None and not isinstance(config, InferenceRPUConfig) and kind_of(module) is None:
            return module  # a warning names it
        made = module if config is None else _twin_of(module, config, name or type(module).__name__)
        self.analog[module] = made if made is module else carry(module, made, own_names(module, module))
        # what experts have besides their stacks are layers of their own
        return _replace_children(made, below) if kind is EXPERTS else made

    def _config(self, name: str, module: nn.Module) -> RPUConfig | None:
        """The configuration of a layer, or None where it is to stay digital."""
        config: RPUConfig | None = copy.deepcopy(self.rpu_config)
        if self.choose is not None and config is not None:
            config = self.choose(name, module, config)
        if config is not None and module in self.shared and not isinstance(config, InferenceRPUConfig):
            _say_tied(name, self.shared[module])
            return None
        return config

    @property
    def left(self) -> list[nn.Module]:
        """The layers that were left digital on purpose, or with a warning of their own."""
        return [module for module, made in self.analog.items() if module is made]


def _twin_of(module: nn.Module, config: RPUConfig, name: str) -> nn.Module:
    """The analog twin; an error names the layer as the model does."""
    try:
        return analog_twin(module, config, name)
    except ConfigError as error:
        if str(error).startswith(name):
            raise
        raise ConfigError(f"layer {name}: {error}") from error


def _say_digital(model: nn.Module, excluded: Collection[str], left: list[nn.Module]) -> None:
    """A warning that names what multiplies by weights and stays digital, unless that was asked for."""
    found = {
        name: why
        for name, why in digital_because(model).items()
        if not any(name == e or name.startswith(f"{e}.") for e in excluded)
        and model.get_submodule(name) not in left
    }
    if found:
        named = "; ".join(
            f"{name or 'the model'} ({type(model.get_submodule(name)).__name__}: {why})"
            for name, why in found.items()
        )
        warnings.warn(
            f"these layers stay digital: {named}; name them in exclude_modules if that is meant", stacklevel=3
        )


def _say_analog(model: nn.Module, conversion: _Conversion) -> None:
    """A warning where all that could be converted was converted before, and keeps its configuration."""
    count = sum(isinstance(module, AnalogLayer) for module in model.modules())
    if count and not conversion.analog:
        warnings.warn(
            f"nothing was converted: {count} layers are on tiles already and keep their configurations; for "
            "others call cg.convert_to_digital(model) first",
            stacklevel=3,
        )


def _say_tied(name: str, parameters: dict[str, list[str]]) -> None:
    """A warning that a layer stays digital, so that what it shares stays shared."""
    ties = "; ".join(f"its {own} is also {', '.join(others)}" for own, others in parameters.items())
    warnings.warn(
        f"layer {name} stays digital: {ties}, and devices that learn by pulses cannot share one; give it "
        f"its own before converting ({name}.weight = nn.Parameter({name}.weight.detach().clone())), take an "
        "InferenceRPUConfig, or name it in exclude_modules",
        stacklevel=3,
    )


def convert_to_digital(model: nn.Module, *, inplace: bool = False) -> nn.Module:
    """``model`` with torch layers in place of its analog ones, holding their present weights."""
    model = model if inplace else _copied(model)
    digital: dict[nn.Module, nn.Module] = {}

    def converted(_: str, module: nn.Module) -> nn.Module:
        if isinstance(module, AnalogLayer):
            if module not in digital:
                made = _replace_children(module.to_digital(), converted)
                digital[module] = carry(module, made, own_names(module, made))
            return digital[module]
        return as_digital(_replace_children(module, converted))

    return converted("", model)


def _replace_children(module: nn.Module, replacement: Callable[[str, nn.Module], nn.Module]) -> nn.Module:
    for name, child in module._modules.items():
        if child is not None:
            replaced = replacement(name, child)
            if replaced is not child:
                setattr(module, name, replaced)
    return module
