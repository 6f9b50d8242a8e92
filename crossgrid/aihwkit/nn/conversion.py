"""From a torch model to one on tiles and back, by aihwkit's rules: linear layers and convolutions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from typing import Any

from torch import nn

from ..exceptions import ArgumentError
from ..missing import absent
from .modules.base import AnalogLayerBase
from .modules.container import AnalogSequential, AnalogWrapper
from .modules.conv import AnalogConv1d, AnalogConv2d, AnalogConv3d
from .modules.conv_mapped import AnalogConv1dMapped, AnalogConv2dMapped, AnalogConv3dMapped
from .modules.linear import AnalogLinear
from .modules.linear_mapped import AnalogLinearMapped

CONVERSIONS: dict[Any, Any] = {
    nn.Linear: AnalogLinear,
    nn.Conv1d: AnalogConv1d,
    nn.Conv2d: AnalogConv2d,
    nn.Conv3d: AnalogConv3d,
    nn.Sequential: AnalogSequential,
}
BACK: set[Any] = {
    AnalogLinear, AnalogLinearMapped, AnalogConv1d, AnalogConv2d, AnalogConv3d, AnalogConv1dMapped,
    AnalogConv2dMapped, AnalogConv3dMapped, AnalogSequential,
}  # fmt: skip


def specific_rpu_config_id(module_name: str, module: nn.Module, rpu_config: Any) -> Any:
    """The configuration as it is."""
    return rpu_config


def convert_to_analog(
    module: nn.Module,
    rpu_config: Any,
    tile_module_class: Any = None,
    conversion_map: dict[Any, Any] | None = None,
    specific_rpu_config_fun: Callable[[str, nn.Module, Any], Any] | None = None,
    module_name: str = "",
    ensure_analog_root: bool = True,
    exclude_modules: Collection[str] | None = None,
    inplace: bool = False,
    verbose: bool = False,
) -> Any:
    """``module`` with its linear layers and convolutions on tiles; recurrent layers stay as they are.

    Args:
        module: a torch model; copied unless ``inplace``.
        rpu_config: how the tiles behave.
        tile_module_class: what holds a matrix.
        conversion_map: classes of layers -> classes with ``from_digital(layer, rpu_config, ...)``.
        specific_rpu_config_fun: gives a layer's configuration from its name, the layer and a copy of the
            common one.
        module_name: what the root is called.
        ensure_analog_root: let the root have the methods of a model with tiles.
        exclude_modules: names that stay digital, with all below.
        inplace: change ``module`` itself.
        verbose: print what is converted.

    Raises:
        ArgumentError: ``conversion_map`` is no dictionary.
    """
    if conversion_map is not None and not isinstance(conversion_map, dict):
        raise ArgumentError(f"conversion_map is of type {type(conversion_map).__name__}; it must be a dict")
    conversions = CONVERSIONS if conversion_map is None else conversion_map
    specific = specific_rpu_config_fun or specific_rpu_config_id
    excluded = set(exclude_modules or ())
    made: dict[nn.Module, nn.Module] = {}

    def converted(name: str, each: nn.Module) -> nn.Module:
        if name and name in excluded:
            return each
        if each in made:
            return made[each]
        result = each
        if type(each) in conversions:
            kind = conversions[type(each)]
            if verbose:
                print(f"Converted '{name}' to '{kind.__name__}'.")
            own = specific(name, each, copy.deepcopy(rpu_config))
            result = kind.from_digital(each, own, tile_module_class)
        made[each] = result
        if not isinstance(result, AnalogLayerBase) or result.IS_CONTAINER:
            _replace_children(result, lambda key, child: converted(f"{name}.{key}".lstrip("."), child))
        return result

    root = converted(module_name, module if inplace else copy.deepcopy(module))
    if ensure_analog_root and not module_name and not isinstance(root, AnalogLayerBase):
        root = AnalogWrapper(root)
    return root


def _replace_children(module: nn.Module, replacement: Callable[[str, nn.Module], nn.Module]) -> None:
    for key, child in module._modules.items():
        if child is not None:
            module._modules[key] = replacement(key, child)


def convert_to_digital(
    module: nn.Module, conversion_set: set[Any] | None = None, module_name: str = "", inplace: bool = False
) -> nn.Module:
    """``module`` with torch's layers in place of its analog ones, with the weights that the devices hold.

    Args:
        module: a model; copied unless ``inplace``.
        conversion_set: classes with ``to_digital(layer)``.
        module_name: what the root is called.
        inplace: change ``module`` itself.

    Raises:
        ArgumentError: ``conversion_set`` is no set, or has a class that cannot be converted.
    """
    if conversion_set is not None and not isinstance(conversion_set, set):
        raise ArgumentError(f"conversion_set is of type {type(conversion_set).__name__}; it must be a set")
    kinds = BACK if conversion_set is None else conversion_set

    def converted(_: str, each: nn.Module) -> nn.Module:
        kind: Any = type(each)
        if kind in kinds or isinstance(each, AnalogWrapper):
            if not hasattr(kind, "to_digital"):
                raise ArgumentError(f"{kind.__name__} has no to_digital; leave it out of conversion_set")
            each = kind.to_digital(each)
        _replace_children(each, converted)
        return each

    return converted("", module if inplace else copy.deepcopy(module))


__getattr__ = absent(__name__)
