"""What all analog layers share: matrices on tiles behind torch's own parameters, and their state."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, ClassVar, NoReturn, cast

import torch
from torch import Tensor, nn

from crossgrid.kernels.config import warn_of_unused
from crossgrid.kernels.errors import ConfigError
from crossgrid.kernels.patches.unfold import Window

from ..analog_matrix.hardware_aware import HardwareAwareTiles
from ..analog_matrix.pulsed import BiasColumn, PulsedTiles
from ..analog_matrix.weights import AnalogContext, TrainedWeight, plain
from ..config.rpu import InferenceRPUConfig, RPUConfig, SingleRPUConfig
from ..hosts.grid import TileGrid
from ..tiles.layer_spec import LayerSpec, grid_of_blocks
from .deferral import Deferral, is_deferring, present_conversion
from .keys import as_key, new_key
from .matrix import AnalogMatrix
from .state import load_matrix, save_matrix


class AnalogLayer(nn.Module):
    """A layer whose weight matrices sit on analog tiles; its biases are digital, or columns of the tiles.

    Parameters have torch's names, shapes, types and devices; reading one asks the tiles, writing one in place
    writes to them. The tiles of the matrix ``weight`` are the submodule ``analog_tile``.
    """

    weight: Tensor
    analog_tile: PulsedTiles | HardwareAwareTiles  # of the matrix ``weight``
    bias: Any  # the parameter, None, or, of a layer with several matrices, whether it has any
    deferral: Deferral | None = None  # of a layer whose numbers are in a file: what its key follows from
    starts_drawn: ClassVar[bool] = True  # whether initial weights of a torch twin are drawn and written first

    def matrices(self) -> dict[str, AnalogMatrix]:
        """The matrices by their weights' names."""
        return {"weight": AnalogMatrix(self, "weight", "bias", "analog_tile")}

    def _build(self, spec: LayerSpec, biases: int | None) -> None:
        """Draw the devices of the one matrix and set the initial weights of the torch twin."""
        (matrix,) = self.matrices().values()
        self._add_matrix(matrix, spec, biases)
        self._start(matrix, biases is not None)

    def _start(self, matrix: AnalogMatrix, bias: bool) -> None:
        """Take the initial weights of the torch twin, which goes at once: no frame that lives on holds it."""
        if is_deferring():
            return
        twin = self._twin(bias)
        matrix.set_weights(twin.weight, twin.bias)

    def draw_initial(self) -> None:
        """Draw initial weights as those of this layer were drawn, and forget them."""
        if self.starts_drawn:
            self._twin(self.bias is not None and self.bias is not False)

    def take_key(self, key: int) -> None:
        """Let everything random in a layer without numbers follow from ``key``."""
        matrices = self.matrices()
        each = [key] if "weight" in matrices else [*_keys_from(key, len(matrices))]
        for own, matrix in zip(each, matrices.values(), strict=True):
            matrix.analog_tile.grid = TileGrid.absent(replace(matrix.grid.spec, key=own))

    def _spec(
        self, seed: int | None, out_size: int, in_size: int, rpu_config: RPUConfig | None, bias: bool,
        patches: Window | None = None, groups: int = 1, kept: tuple[int, ...] | None = None,
        inputs_first: bool = False,
    ) -> LayerSpec:  # fmt: skip
        """A matrix of this layer, cut into blocks.

        It has a column more where its ``bias`` is on the tiles (``mapping.digital_bias = False``).
        """
        name = type(self).__name__
        key = new_key(name) if seed is None else as_key(seed)
        for what, size in (("outputs", out_size), ("inputs", in_size)):
            if size < 1:
                raise ConfigError(
                    f"{name} with {size} {what} has nothing to put on a tile; at least 1 is needed"
                )
        config = copy.deepcopy(rpu_config) if rpu_config is not None else SingleRPUConfig()
        _require_rpu_config(name, config)
        warn_of_unused(config)
        column = bias and not config.mapping.digital_bias
        if groups > 1 and config.mapping.grouped == "diagonal" and not isinstance(config, InferenceRPUConfig):
            raise ConfigError(
                f"{name}: mapping.grouped = 'diagonal' with {type(config).__name__}: pulses of one group "
                "would move the devices of others on its tile; use 'separate', or an InferenceRPUConfig"
            )
        cut, rows, columns = grid_of_blocks(name, out_size, in_size + column, config, groups)
        return LayerSpec(
            name, key, out_size, in_size + column, rows, columns, cut, patches, config, groups, kept,
            inputs_first, column,
        )  # fmt: skip

    def _add_matrix(self, matrix: AnalogMatrix, spec: LayerSpec, biases: int | None) -> None:
        """Draw the devices of a matrix and register its parameters: a weight and ``biases`` biases, zero."""
        tiles = tiles_of(spec)
        self.register_parameter(matrix.weight_name, tiles.parameter())
        if biases is not None or matrix.bias_name == "bias":
            made = None if biases is None else nn.Parameter(torch.zeros(biases))
            if spec.bias_column and isinstance(tiles, PulsedTiles):
                made = AnalogContext(BiasColumn(tiles))
            self.register_parameter(matrix.bias_name, made)
        self.add_module(matrix.tiles_name, tiles)

    def _take_over(self, module: nn.Module, name: str) -> None:
        """Be the torch layer ``module``, called ``name``: its numbers, types, devices, mode."""
        several = len(self.matrices()) > 1
        for key, matrix in self.matrices().items():
            several_or_named = several or matrix.label
            matrix.grid.rename(f"{name}.{matrix.label or key}".lstrip(".") if several_or_named else name)
            weight = getattr(module, key)
            bias = getattr(module, matrix.bias_name, None)
            parts: Any = ((key, matrix.weight, weight), (matrix.bias_name, matrix.bias, bias))
            for part, own, theirs in parts:
                if isinstance(own, AnalogContext):
                    own.take_type(like_of(theirs))
                    own.requires_grad_(theirs.requires_grad)
                elif isinstance(theirs, nn.Parameter):  # it itself: who shares or optimizes it goes on
                    setattr(self, part, theirs)
            matrix.analog_tile.requires_grad_(weight.requires_grad)
            if not is_deferring():
                matrix.set_weights(weight, bias if matrix.grid.spec.bias_column else None)
        self.train(module.training)
        conversion = present_conversion()
        if conversion is not None:
            conversion.made(name, self)

    def _give_back(self, module: nn.Module) -> nn.Module:
        """Give ``module``, this layer's torch twin, what this layer holds."""
        for key, matrix in self.matrices().items():
            weight, bias = matrix.get_weights()
            parts = ((key, weight, matrix.weight), (matrix.bias_name, bias, matrix.bias))
            for name, values, like in parts:
                if values is not None and like is not None:
                    setattr(module, name, _digital(like, values))
        return module.train(self.training)

    @property
    def grid(self) -> TileGrid:
        """The tiles of a layer with one matrix."""
        return self._only().grid

    @property
    def rpu_config(self) -> RPUConfig:
        """The layer's own copy of its configuration, as its tiles were built from it."""
        return next(iter(self.matrices().values())).rpu_config

    def to_digital(self) -> nn.Module:
        """A torch layer with this layer's present weights."""
        with torch.random.fork_rng(devices=[]):  # its own initial weights are replaced
            return self._give_back(self._twin(self.bias is not None and self.bias is not False))

    def _twin(self, bias: bool) -> Any:
        """A torch layer of the same shape with new initial weights."""
        raise NotImplementedError

    def get_weights(self) -> tuple[Tensor, Tensor | None]:
        """The weight in torch's shape and the bias, float32: copies.

        It is what the tiles hold; with an ``InferenceRPUConfig``, what the digital trainer holds.
        """
        return self._only().get_weights()

    def set_weights(self, weight: Any, bias: Any = None) -> None:
        """Write a weight of torch's shape (a tensor or an array) to the devices, and the bias.

        Each device clips to its bounds.

        Raises:
            ConfigError: another shape, or a bias where the layer has none.
        """
        self._only().set_weights(weight, bias)

    def program_analog_weights(self) -> None:
        """Write the trained weights to the devices, with programming noise (``InferenceRPUConfig``)."""
        for matrix in self.matrices().values():
            matrix.program()

    def drift_analog_weights(self, t_inference: float = 0.0) -> None:
        """Let time pass.

        Args:
            t_inference: with an ``InferenceRPUConfig`` the seconds since the programming. For devices that
                learn by pulses, further time that they are left alone, in the units of their
                ``DriftParameter``; as on an ``AnalogTile``, a call that finds a weight changed only notes it,
                and its drift starts there.

        Raises:
            NotProgrammedError: nothing was programmed, or the weight changed since.
            ConfigError: no device of the layer drifts.
        """
        for matrix in self.matrices().values():
            matrix.drift(t_inference)

    def _only(self) -> AnalogMatrix:
        matrices = self.matrices()
        if "weight" not in matrices:
            raise ConfigError(
                f"{type(self).__name__} has {len(matrices)} matrices ({', '.join(matrices)}); "
                "take one of layer.matrices()"
            )
        return matrices["weight"]

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, nn.Parameter) and "_modules" in self.__dict__ and name in self._parameters:
            for matrix in self.matrices().values():
                if name == matrix.weight_name:
                    value = _fitting(matrix, value)
                elif name == matrix.bias_name and isinstance(matrix.bias, AnalogContext):
                    _require_held(matrix, cast(PulsedTiles, matrix.analog_tile).holds_bias(value))
        super().__setattr__(name, value)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> AnalogLayer:
        lazy = {name: p for name, p in self._parameters.items() if isinstance(p, AnalogContext)}
        self._parameters.update(dict.fromkeys(lazy))  # torch would put numbers in their place
        try:
            super()._apply(fn, recurse)
        finally:
            self._parameters.update(lazy)
        for context in lazy.values():
            context.take_type(fn)
        return self

    def fetch(self) -> None:
        """Have all numbers in this process that are in a file alone."""
        for matrix in self.matrices().values():
            matrix.fetch()

    def __reduce_ex__(self, protocol: Any) -> Any:
        self.fetch()  # a copy has no file to ask
        return super().__reduce_ex__(protocol)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        self.fetch()
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if not keep_vars:  # of torch's own class, so that whatever reads plain files can read them
            for name in self._parameters:
                if isinstance(destination.get(prefix + name), TrainedWeight):
                    destination[prefix + name] = plain(destination[prefix + name])
        for matrix in self.matrices().values():
            save_matrix(matrix, destination, prefix, keep_vars)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: Any, strict: bool,
        missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str],
    ) -> None:  # fmt: skip
        self.fetch()
        for matrix in self.matrices().values():
            load_matrix(matrix, state_dict, prefix, error_msgs)
        lazy = {name: p for name, p in self._parameters.items() if isinstance(p, AnalogContext)}
        missing_keys += [prefix + name for name in lazy if strict and prefix + name not in state_dict]
        for name in lazy:
            state_dict.pop(prefix + name, None)
        self._parameters.update(dict.fromkeys(lazy))  # the tiles have their numbers already
        try:
            super()._load_from_state_dict(
                state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
            )
        finally:
            self._parameters.update(lazy)

    def __prepare_scriptable__(self) -> NoReturn:
        raise ConfigError(
            f"{type(self).__name__}: torch.jit.script cannot look into analog tiles; script "
            "cg.convert_to_digital(model)"
        )


def _keys_from(key: int, count: int) -> Iterator[int]:
    """The keys of a layer's matrices, where it has several."""
    keys = torch.Generator().manual_seed(key)
    return (int(torch.randint(2**63 - 1, (), generator=keys).item()) for _ in range(count))


def tiles_of(spec: LayerSpec) -> PulsedTiles | HardwareAwareTiles:
    """The tiles of a matrix, devices drawn, in this process; within ``cg.deferred()`` nowhere yet."""
    grid = TileGrid.absent(spec) if is_deferring() else TileGrid.local(spec)
    return PulsedTiles(grid) if spec.learns else HardwareAwareTiles(grid)


def like_of(like: Tensor) -> Callable[[Tensor], Tensor]:
    """What moves tensors to the device and the type of ``like``; that of no numbers is no device."""
    return lambda t: t.to(t.device if like.is_meta else like.device, like.dtype)


def _digital(parameter: Tensor, values: Tensor) -> nn.Parameter:
    """A parameter of the values: the very one where it holds them, so that who shares it goes on doing so."""
    holds_numbers = isinstance(parameter, nn.Parameter) and not isinstance(parameter, AnalogContext)
    if holds_numbers and torch.equal(parameter.detach().to("cpu", torch.float32), values):
        parameter.__class__ = nn.Parameter
        return cast(nn.Parameter, parameter)
    values = values.to(parameter.device, parameter.dtype)
    return nn.Parameter(values, requires_grad=parameter.requires_grad)


def _fitting(matrix: AnalogMatrix, value: nn.Parameter) -> nn.Parameter:
    """A parameter that is assigned in the place of a weight, as the matrix can use it."""
    if isinstance(matrix.analog_tile, HardwareAwareTiles):
        if type(value) is nn.Parameter:  # the same object still: others may share it
            value.__class__ = TrainedWeight  # type: ignore[assignment]
            value._is_param = True  # type: ignore[attr-defined]
        return value
    _require_held(matrix, isinstance(value, AnalogContext) and matrix.analog_tile.holds(value))
    return value


def _require_held(matrix: AnalogMatrix, held: bool) -> None:
    """An error for a parameter that takes the place of one whose numbers are on pulsed tiles."""
    if not held:
        raise ConfigError(
            f"{matrix.grid.spec.name}: a parameter cannot take the place of a weight that learns by pulses; "
            "write its numbers: layer.set_weights(w), or with torch.no_grad(): layer.weight.copy_(w)"
        )


def require_digital_bias(name: str, bias: bool, rpu_config: RPUConfig | None, why: str) -> None:
    """An error where the bias of a layer called ``name`` was to be a column of its tiles, and cannot be."""
    if rpu_config is not None:
        _require_rpu_config(name, rpu_config)
    if bias and rpu_config is not None and not rpu_config.mapping.digital_bias:
        raise ConfigError(
            f"{name}: mapping.digital_bias = False, but {why}; set it to True, for this layer alone with "
            "specific_rpu_config_fun="
        )


def _require_rpu_config(name: str, config: Any) -> None:
    if isinstance(config, type):
        raise ConfigError(
            f"{name}: rpu_config is the class {config.__name__}; give an object of it: {config.__name__}()"
        )
    if not hasattr(config, "device") or not hasattr(config, "mapping"):
        raise ConfigError(
            f"{name}: rpu_config is of type {type(config).__name__}; it must be an RPU configuration "
            "such as SingleRPUConfig(device=ConstantStepDevice())"
        )
