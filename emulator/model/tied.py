"""Weights that several modules of a model share."""

from __future__ import annotations

from torch import nn


def shared_parameters(model: nn.Module) -> dict[nn.Module, dict[str, list[str]]]:
    """The modules that share parameters with others: each one's own names of them, and what else they are.

    A parameter is shared if two modules hold it, or another one in the same memory. Names are those in
    ``model``, such as "embed.weight".
    """
    holders: dict[object, list[tuple[nn.Module, str, str]]] = {}
    for path, module in model.named_modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and not isinstance(parameter, nn.parameter.UninitializedParameter):
                memory = parameter.data_ptr() if not parameter.is_meta else 0
                place = (parameter.device, memory) if memory else id(parameter)
                holders.setdefault(place, []).append((module, name, f"{path}.{name}".lstrip(".")))
    shared: dict[nn.Module, dict[str, list[str]]] = {}
    for held in holders.values():
        for module, name, _ in held:
            others = [full for other, _, full in held if other is not module]
            if others:
                shared.setdefault(module, {})[name] = others
    return shared
