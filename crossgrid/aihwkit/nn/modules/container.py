"""Models with analog layers."""

from __future__ import annotations

import functools
import types
from collections import OrderedDict
from typing import Any

from torch import Tensor, nn

from ...missing import absent
from .base import AnalogLayerBase


class AnalogContainerBase(AnalogLayerBase):
    """A module with analog layers below."""

    IS_CONTAINER = True

    def get_weights(self, **kwargs: Any) -> Any:
        """The weight and the bias of each layer by its name."""
        found: dict[str, tuple[Tensor, Tensor | None]] = {
            name: layer.get_weights(**kwargs) for name, layer in self.named_analog_layers()
        }
        return found

    def set_weights(self, weight: Any, bias: Any = None, **kwargs: Any) -> None:
        """Write the weights and biases by their layers' names that ``get_weights`` gave."""
        for name, layer in self.named_analog_layers():
            if name in weight:
                layer.set_weights(*weight[name], **kwargs)


class AnalogSequential(AnalogContainerBase, nn.Sequential):
    """A sequence of analog and digital layers."""

    @classmethod
    def from_digital(cls, module: nn.Sequential, *args: Any, **kwargs: Any) -> AnalogSequential:
        """A sequence of the same layers."""
        return cls(_layers(module)).train(module.training)

    @classmethod
    def to_digital(cls, module: AnalogSequential, *args: Any, **kwargs: Any) -> nn.Sequential:
        """torch's sequence of the same layers."""
        return nn.Sequential(_layers(module)).train(module.training)


def _layers(module: nn.Module) -> OrderedDict[str, nn.Module]:
    return OrderedDict((name, child) for name, child in module._modules.items() if child is not None)


class AnalogWrapper(AnalogContainerBase):
    """What a converted model is beside its own class: ``AnalogWrapper(model)`` is ``model`` itself."""

    def __new__(cls, module: nn.Module | None = None, **_: Any) -> Any:
        if module is None:
            return super().__new__(cls)
        if not isinstance(module, AnalogLayerBase):
            own: Any = type(module)
            module.__class__ = wrapped_class(own)
        return module

    def __init__(self, module: nn.Module | None = None, **_: Any) -> None:
        if module is None:
            super().__init__()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Copied and pickled by the class that was wrapped: a made class has no name to be found by."""
        return _blank, (type(self).__bases__[1],), self.__getstate__()

    @classmethod
    def from_digital(cls, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        """``module`` itself, wrapped."""
        return cls(module)

    @classmethod
    def to_digital(cls, module: Any, *args: Any, **kwargs: Any) -> nn.Module:
        """``module`` itself, of the class that it had."""
        if isinstance(module, AnalogWrapper):
            module.__class__ = type(module).__bases__[1]
        digital: nn.Module = module
        return digital


@functools.cache
def wrapped_class(own: Any) -> Any:
    """The class of models of class ``own`` that are wrapped."""
    names = {"__module__": own.__module__, "__doc__": own.__doc__}

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        """Called once more after ``AnalogWrapper(model)`` has wrapped a model, which is made already."""

    names["__init__"] = __init__
    return types.new_class(
        f"AnalogWrapper{own.__name__}", (AnalogWrapper, own), exec_body=lambda b: b.update(names)
    )


def _blank(own: Any) -> Any:
    made = wrapped_class(own)
    return made.__new__(made)


__getattr__ = absent(__name__)
