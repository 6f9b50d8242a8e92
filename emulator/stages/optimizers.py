"""An optimizer over the whole model's parameters, and what each stage makes of it for its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from crossgrid.kernels.errors import ConfigError

from ..model.optim import PulsedSteps

#: torch's optimizers that move each parameter by its own gradient and state: in parts they do the same
ALONE = tuple(
    getattr(torch.optim, name)
    for name in (
        "SGD", "Adam", "AdamW", "NAdam", "RAdam", "Adamax", "Adagrad", "Adadelta", "RMSprop", "Rprop", "ASGD",
        "Adafactor",
    )
)  # fmt: skip

#: options of a parameter group by name
Options = dict[str, Any]


#: what optimizers keep, by their numbers, of parameters by name
States = dict[int, dict[str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Recipe:
    """An optimizer as the stages build it, each of its own parameters."""

    made: type[torch.optim.Optimizer]
    groups: tuple[tuple[Options, tuple[str, ...]], ...]  # options, names of parameters
    state: dict[str, Mapping[str, Any]]  # by the parameter's name


def require_parts(optimizer: torch.optim.Optimizer) -> None:
    """An error where parts of an optimizer would not do what the whole does.

    Raises:
        ConfigError: it is of a class that is not known to move each parameter on its own.
    """
    own = type(optimizer)
    torchs = [each for each in own.__mro__ if each.__module__.startswith("torch.optim.")]
    known = own in ALONE or (isinstance(optimizer, PulsedSteps) and bool(torchs) and torchs[0] in ALONE)
    if not known:
        raise ConfigError(
            f"{own.__name__} is not known to move each parameter on its own, as stages need it: use "
            f"cg.AnalogSGD or one of torch.optim's {', '.join(each.__name__ for each in ALONE)}; or leave "
            "stages= out"
        )


def names_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[list[str]]:
    """The names of an optimizer's parameters by group.

    Raises:
        ConfigError: one of them is none of the model's.
    """
    names = {id(p): name for name, p in reversed([*model.named_parameters(remove_duplicate=False)])}
    for number, group in enumerate(optimizer.param_groups):
        for parameter in group["params"]:
            if id(parameter) not in names:
                raise ConfigError(
                    f"{type(optimizer).__name__}: group {number} has a parameter of shape "
                    f"{tuple(parameter.shape)} that the model in stages has not; the stages train the "
                    "model's own parameters: give it model.parameters()"
                )
    return [[names[id(p)] for p in group["params"]] for group in optimizer.param_groups]


def options_of(optimizer: torch.optim.Optimizer) -> tuple[Options, ...]:
    """What the groups of an optimizer are told, beside their parameters."""
    return tuple(
        {name: value for name, value in group.items() if name not in ("params", "param_names")}
        for group in optimizer.param_groups
    )


def recipe_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> Recipe:
    """What the stages need to build ``optimizer``.

    Raises:
        ConfigError: it cannot work in parts.
    """
    require_parts(optimizer)
    names = names_of(model, optimizer)
    groups = tuple(zip(options_of(optimizer), map(tuple, names), strict=True))
    state: dict[str, Mapping[str, Any]] = {
        name: dict(optimizer.state[p])
        for group, of_group in zip(optimizer.param_groups, names, strict=True)
        for p, name in zip(group["params"], of_group, strict=True)
        if p in optimizer.state
    }
    recipe = Recipe(type(optimizer), groups, state)
    try:
        built(recipe, {})
    except TypeError as error:
        raise ConfigError(
            f"{type(optimizer).__name__} cannot be built from its parameter groups alone, as stages do it "
            f"({error!s:.100}): use cg.AnalogSGD or one of torch.optim's"
        ) from error
    return recipe


def built(recipe: Recipe, own: Mapping[str, nn.Parameter]) -> torch.optim.Optimizer:
    """The part of an optimizer that moves the parameters ``own``; its groups keep their numbers."""
    made: Any = recipe.made
    groups = [
        {**options, "params": [own[name] for name in names if name in own]}
        for options, names in recipe.groups
    ]
    optimizer: torch.optim.Optimizer = made(groups)
    for name, state in recipe.state.items():
        if name in own:
            optimizer.state[own[name]] = {
                key: value.clone() if isinstance(value, Tensor) else value for key, value in state.items()
            }
    return optimizer


def set_options(optimizer: torch.optim.Optimizer, options: tuple[Options, ...]) -> None:
    """Let the groups go on with other options: a scheduler's learning rates above all."""
    for group, new in zip(optimizer.param_groups, options, strict=True):
        group.update(new)


def state_of(
    optimizer: torch.optim.Optimizer, own: Mapping[str, nn.Parameter]
) -> dict[str, Mapping[str, Any]]:
    """What an optimizer keeps of the parameters ``own``, by name."""
    return {name: dict(optimizer.state[p]) for name, p in own.items() if p in optimizer.state}
