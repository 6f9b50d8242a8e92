"""AnalogExperts: a mixture's experts, slices of one parameter, each on tiles of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from crossgrid.kernels.errors import ConfigError
from crossgrid.kernels.inference import WeightClipType

from ...analog_matrix.hardware_aware import HardwareAwareTiles
from ...analog_matrix.pulsed import PulsedTiles, StackedTiles
from ...analog_matrix.weights import AnalogContext, TrainedWeight
from ...config.rpu import InferenceRPUConfig, RPUConfig
from ..base import AnalogLayer, like_of, require_digital_bias, tiles_of
from ..deferral import is_deferring, present_conversion
from ..inputs import eager, require_input
from ..keys import key_of
from ..matrix import AnalogMatrix
from .layout import layout_of, with_stacks
from .stacks import ExpertStack, refused

#: what every torch module holds
MODULE = frozenset(nn.Module().__dict__)


class AnalogExperts(AnalogLayer):
    """A module with parameters [experts, ...] whose forward pass reads one expert's matrix after the other.

    It is made by ``convert_to_analog`` and runs the pass of the module's own class, ``digital``: routing,
    gates and biases stay as they are, only products with the experts' slices are read on tiles.
    ``inputs_first`` tells of each stack whether a slice is [in, out].
    """

    digital: type[nn.Module]
    inputs_first: dict[str, bool]
    own: ClassVar[frozenset[str]] = frozenset({"digital", "inputs_first"})
    starts_drawn = False

    @classmethod
    def from_digital(cls, module: nn.Module, rpu_config: RPUConfig, name: str) -> AnalogExperts:
        """The analog twin of a module, with its weights.

        Raises:
            ConfigError: it is not known how the module multiplies by its stacks.
        """
        layout = layout_of(module)
        if layout is None:
            raise refused(name, f"what {type(module).__name__} does with its weights")
        made = cls.__new__(cls)
        AnalogLayer.__init__(made)
        made.__dict__.update({key: value for key, value in module.__dict__.items() if key not in MODULE})
        made.digital, made.inputs_first = type(module), layout
        made._modules.update(module._modules)
        made._buffers.update(module._buffers)
        made._non_persistent_buffers_set |= module._non_persistent_buffers_set
        biased = [p for p in module._parameters if p not in layout and "bias" in p]
        why = f"its own class adds {', '.join(biased)}"
        require_digital_bias(name, bool(biased), rpu_config, why)
        keys = torch.Generator().manual_seed(key_of(module, name))
        for weight, parameter in module._parameters.items():
            if weight in layout and parameter is not None:
                made._add_stack(weight, parameter, rpu_config, keys)
            else:
                made.register_parameter(weight, parameter)
        made._take_over(module, name)
        return made

    def _add_stack(self, name: str, like: Tensor, rpu_config: RPUConfig, keys: torch.Generator) -> None:
        """Draw the devices of all experts' matrices and register their parameter; it is zero."""
        inputs_first, (experts, *kept) = self.inputs_first[name], like.shape
        in_size, out_size = kept if inputs_first else reversed(kept)
        each: list[PulsedTiles | HardwareAwareTiles] = []
        for _ in range(experts):
            key = int(torch.randint(2**63 - 1, (), generator=keys).item())
            spec = self._spec(
                key, out_size, in_size, rpu_config, bias=False, kept=tuple(kept), inputs_first=inputs_first
            )
            each.append(tiles_of(spec))
        stack = StackedTiles(each)
        learns = isinstance(each[0], PulsedTiles)
        device = "meta" if is_deferring() else None
        zeros = TrainedWeight.of(torch.zeros(() if learns else like.shape, device=device))
        self.register_parameter(name, AnalogContext(stack) if learns else zeros)
        self.add_module(f"analog_{name}", stack)

    def matrices(self) -> dict[str, AnalogMatrix]:
        return {
            f"{name}.{expert}": AnalogMatrix(self, name, "", f"analog_{name}", f"{name}.{expert}", expert)
            for name in self.inputs_first
            for expert in range(len(self._modules[f"analog_{name}"]._modules))  # type: ignore[union-attr]
        }

    def _take_over(self, module: nn.Module, name: str) -> None:
        """Be the module, called ``name``: its numbers, types, devices, mode."""
        for stack in self.inputs_first:
            weight, own = module._parameters[stack], self._parameters[stack]
            assert weight is not None
            if isinstance(own, AnalogContext):
                own.take_type(like_of(weight))
                own.requires_grad_(weight.requires_grad)
            else:
                setattr(self, stack, weight)
        for matrix in self.matrices().values():
            parameter = module._parameters[matrix.weight_name]
            assert parameter is not None
            matrix.grid.rename(f"{name}.{matrix.label}".lstrip("."))
            matrix.analog_tile.requires_grad_(parameter.requires_grad)
            if not is_deferring():
                matrix.set_weights(matrix.part(parameter))
        self.train(module.training)
        conversion = present_conversion()
        if conversion is not None:
            conversion.made(name, self)

    @eager
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module's class computes, its products with experts' slices read on tiles."""
        require_input(type(self).__name__, next(iter((*args, *kwargs.values())), None))
        stacks = {name: self._stack(name) for name in self.inputs_first}
        return with_stacks(self.digital, self.__dict__, stacks, args, kwargs)

    def _stack(self, name: str) -> ExpertStack:
        """What the pass sees in place of the parameter ``name``."""
        parameter: Tensor = getattr(self, name)
        matrices = [m for m in self.matrices().values() if m.weight_name == name]
        _clip(matrices)
        trained = not isinstance(parameter, AnalogContext)
        slices = parameter.unbind(0) if trained else ()

        def read(expert: int, x: Tensor, inputs_first: bool) -> Tensor:
            matrix = matrices[expert]
            require_input(matrix.grid.spec.name, x)
            if inputs_first is not self.inputs_first[name]:
                raise refused(name, "a product the other way round")
            return matrix.product(x, weight=slices[expert] if trained else parameter)

        return ExpertStack(name, parameter, read)

    def to_digital(self) -> nn.Module:
        """The module of its own class with this layer's present weights."""
        twin = object.__new__(self.digital)
        nn.Module.__init__(twin)
        own = MODULE | self.own
        twin.__dict__.update({key: value for key, value in self.__dict__.items() if key not in own})
        stacks = {f"analog_{name}" for name in self.inputs_first}
        twin._modules.update({key: part for key, part in self._modules.items() if key not in stacks})
        twin._buffers.update(self._buffers)
        twin._non_persistent_buffers_set |= self._non_persistent_buffers_set
        numbers = {m.weight_name: m.whole() for m in self.matrices().values() if m.number == 0}
        for name, parameter in self._parameters.items():
            learns = parameter is not None and parameter.requires_grad
            own_numbers = name in numbers
            twin.register_parameter(name, nn.Parameter(numbers[name], learns) if own_numbers else parameter)
        return twin.train(self.training)

    def _only(self) -> AnalogMatrix:
        raise ConfigError(
            f"AnalogExperts has {len(self.matrices())} matrices; take one of layer.matrices(), or write to "
            "its parameters"
        )

    def extra_repr(self) -> str:
        return f"{self.digital.__name__}: {', '.join(self.inputs_first)}"


def _clip(matrices: Sequence[AnalogMatrix]) -> None:
    """Clip the weights of all experts before any is read: one parameter, which must not change then."""
    config = matrices[0].rpu_config
    if not isinstance(config, InferenceRPUConfig) or config.clip.type is WeightClipType.NONE:
        return
    for act in (HardwareAwareTiles.bring, HardwareAwareTiles.note):
        for matrix in matrices:
            assert isinstance(matrix.analog_tile, HardwareAwareTiles)
            act(matrix.analog_tile, matrix.weight)
