"""What a user hung onto a layer: it stays when another layer takes its place."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, register_parametrization

from crossgrid.kernels.errors import ConfigError

from ..analog_matrix.weights import AnalogContext

#: the attributes in which torch keeps a module's hooks
HOOKS = tuple(name for name in vars(nn.Module()) if "hook" in name)


def carry(old: nn.Module, new: nn.Module, own: Collection[str]) -> nn.Module:
    """``new``, which takes the place of ``old`` in a model, with all that a user hung onto ``old``.

    Hooks stay in the very dictionaries, so that whoever holds a handle can still remove them. Attributes,
    buffers and submodules are a user's unless ``own`` names them: what every layer of the kind has. A weight
    that was computed from others is computed from them still.

    Raises:
        ConfigError: a weight has a hook of its own, and in ``new`` it learns by pulses.
    """
    vars(new).update({name: vars(old)[name] for name in HOOKS})
    vars(new).update({name: value for name, value in vars(old).items() if name not in {*own, *vars(new)}})
    for name, buffer in old._buffers.items():
        if name not in own:
            new.register_buffer(name, buffer, name not in old._non_persistent_buffers_set)
    for name, module in old._modules.items():
        if name not in own and name != "parametrizations":
            new.add_module(name, module)
    if is_parametrized(old):
        computed: Any = old.parametrizations
        for name, parts in computed.items():
            register_parametrization(new, name, nn.Identity(), unsafe=True)
            new.parametrizations[name] = parts  # type: ignore[index,operator]
    for name, parameter in new._parameters.items():
        before = old._parameters.get(name)
        if isinstance(parameter, AnalogContext) and before is not None:
            _carry_marks(f"{parameter.tiles.label}.{name}", before, parameter)
    return new


def _carry_marks(name: str, before: Tensor, context: AnalogContext) -> None:
    """Give a weight that learns by pulses the attributes of the one before; its hooks it cannot have."""
    if before._backward_hooks or before._post_accumulate_grad_hooks:
        raise ConfigError(
            f"{name} has a hook on its gradient, and a weight that learns by pulses has no gradient of "
            "numbers; remove the hook, or convert with an InferenceRPUConfig"
        )
    vars(context).update({key: value for key, value in vars(before).items() if key not in vars(context)})
