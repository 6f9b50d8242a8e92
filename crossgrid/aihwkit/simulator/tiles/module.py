"""One physical tile as a torch module: its weight matrix, its scales, its input range, its bias."""

from __future__ import annotations

import copy
import functools
from typing import Any

import torch
from torch import Tensor, nn

from crossgrid.emulator.analog_matrix.hardware_aware import HardwareAwareTiles
from crossgrid.emulator.analog_matrix.pulsed import PulsedTiles
from crossgrid.emulator.hosts.grid import TileGrid
from crossgrid.emulator.nn.inputs import eager, require_input
from crossgrid.emulator.nn.keys import new_key
from crossgrid.emulator.nn.matrix import AnalogMatrix
from crossgrid.emulator.tiles.layer_spec import LayerSpec
from crossgrid.kernels.errors import ConfigError, InputError
from crossgrid.kernels.inference import drift_coefficients, program
from crossgrid.kernels.rng import tile_key

from ...exceptions import TileModuleError
from ...missing import absent
from ..configs.configs import SingleRPUConfig, core_config
from ..parameters.base import RPUConfigBase
from . import theirs
from .context import TileContext
from .hardware_aware import SteppedTiles, count_step
from .ranged import Ranged, RangedInput
from .simulator import SimulatorView
from .state import packed_config, unpacked_config
from .weights import TileWeights, has_dynamics


def _require_unmanaged(name: str, limits: Any) -> None:
    """Refuse to manage clipped outputs of a tile that learns by pulses: nobody counts them.

    Raises:
        ConfigError: it is asked for.
    """
    if limits.manage_output_clipping:
        raise ConfigError(
            f"{name}: input_range.manage_output_clipping = True on a tile that learns by pulses: set it to "
            "False, or take an InferenceRPUConfig"
        )


class TileModule(TileWeights):
    """W[out_size, in_size] on one tile.

    Args:
        out_size, in_size: outputs and inputs.
        rpu_config: how the tile behaves; copied.
        bias: whether there is one; ``mapping.digital_bias`` says where.
        in_trans, out_trans: whether vectors are columns of the inputs, of the outputs.
    """

    supports_indexed = False
    supports_ddp = False
    shared_weights = None
    _takes_config = _checks_config = True  # of the next load_state_dict
    _aged = False  # whether diffusion and decay followed the last update

    def __init__(
        self,
        out_size: int,
        in_size: int,
        rpu_config: Any = None,
        bias: bool = False,
        in_trans: bool = False,
        out_trans: bool = False,
    ) -> None:
        super().__init__()
        self.out_size, self.in_size = out_size, in_size
        self.in_trans, self.out_trans = in_trans, out_trans
        own = SingleRPUConfig() if rpu_config is None else copy.deepcopy(rpu_config)
        self._config = own
        self.use_bias = bool(bias)
        self.digital_bias = self.use_bias and own.mapping.digital_bias
        self.analog_bias = self.use_bias and not own.mapping.digital_bias
        self._make(new_key(f"{type(self).__name__} {out_size} {in_size}"))
        if isinstance(own, RPUConfigBase):
            self.to(own.runtime.data_type.as_torch())

    def _make(self, key: int) -> None:
        """Draw the devices."""
        config = core_config(self._config)
        config = copy.copy(config)
        config.mapping = copy.copy(config.mapping)
        config.mapping.max_input_size = config.mapping.max_output_size = 0
        spec = self._spec(key, self.out_size, self.in_size + self.analog_bias, config, False)
        (matrix,) = self.matrices().values()
        self._add_matrix(matrix, spec, self.out_size if self.digital_bias else None)
        self.ranged = None
        self.remember_written()
        limits = getattr(getattr(self._config, "pre_post", None), "input_range", None)
        if limits is not None and limits.enable:
            if isinstance(self.analog_tile, PulsedTiles):
                _require_unmanaged(spec.name, limits)
                self.ranged = Ranged(limits)
            module = self._range_module()
            if module is not None and not getattr(limits, "learn_input_range", True):
                module.value.requires_grad_(False)

    def _add_matrix(self, matrix: AnalogMatrix, spec: LayerSpec, biases: int | None) -> None:
        grid = TileGrid.local(spec)
        tiles: nn.Module = PulsedTiles(grid) if spec.learns else SteppedTiles(grid)
        self.register_parameter("weight", tiles.parameter())  # type: ignore[operator]
        self.register_parameter("bias", None if biases is None else nn.Parameter(torch.zeros(biases)))
        self.add_module("analog_tile", tiles)
        self._own_weight()

    def _own_weight(self) -> None:
        """Let the parameter know its tile."""
        self.weight.analog_tile = self  # type: ignore[attr-defined]

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._own_weight()
        self.remember_written()

    @property
    def analog_ctx(self) -> TileContext:
        """What aihwkit's optimizers see of the tile."""
        return TileContext(self)

    def get_analog_ctx(self) -> TileContext:
        """What aihwkit's optimizers see of the tile."""
        return TileContext(self)

    @functools.cached_property
    def tile(self) -> SimulatorView:
        """The devices behind the digital periphery."""
        return SimulatorView(self)

    @property
    def device(self) -> torch.device:
        """Where torch sees the tile's parameters."""
        return self.weight.device

    @property
    def is_cuda(self) -> bool:
        """Whether torch sees the tile's parameters on a card."""
        return self.weight.is_cuda

    def get_runtime(self) -> Any:
        """How the tile is run."""
        return self._config.runtime

    def get_data_type(self) -> Any:
        """The floating type of the configuration."""
        return self._config.runtime.data_type

    def get_dtype(self) -> torch.dtype:
        """Torch's type of the configuration."""
        return self.get_data_type().as_torch()  # type: ignore[no-any-return]

    @property
    def is_floating_point(self) -> bool:
        """Whether products and updates are exact."""
        return type(self).__name__ == "FloatingPointTile"

    @eager
    def forward(self, x_input: Tensor, tensor_view: Any = None) -> Tensor:
        """y[..., out_size] = W x + b of x_input[..., in_size]; transposed where the tile was made so."""
        name = self.grid.spec.name
        require_input(name, x_input)
        x = x_input.transpose(0, -1) if self.in_trans else x_input
        if x.dim() == 0 or x.shape[-1] != self.in_size:
            raise InputError(f"{name}: input of shape {tuple(x_input.shape)}; {self.in_size} wide is needed")
        if self.ranged is not None:
            r = self.ranged(x)
            x = RangedInput.apply(x, r, self.ranged.parameter)
        if self.analog_bias:
            x = torch.cat([x, x.new_ones(*x.shape[:-1], 1)], -1)
        y = self._only()(x)
        if self.ranged is not None:
            scale = self.ranged.value.detach().to(y)
            y = y * scale if self.bias is None else (y - self.bias) * scale + self.bias
        return y.transpose(0, -1) if self.out_trans else y

    def joint_forward(self, x_input: Tensor, is_test: bool = False, ctx: Any = None) -> Tensor:
        """The product without the digital bias and learned scales, outside torch's graph."""
        training = self.training
        try:
            self.train(not is_test)
            with torch.no_grad():
                y = self.forward(x_input)
                return y if self.bias is None else y - self.bias
        finally:
            self.train(training)

    def backward(self, d_input: Tensor, ctx: Any = None) -> Tensor:
        """z[..., in_size] = W^T d_input through the backward periphery."""
        tiles, d = self.analog_tile, d_input.reshape(-1, self.out_size)
        x = torch.zeros(len(d), self.in_size + self.analog_bias, requires_grad=True)
        with torch.enable_grad():
            y = tiles(x, self.weight.detach() if isinstance(tiles, HardwareAwareTiles) else self.weight)
        (z,) = torch.autograd.grad(y, x, d)
        return z[:, : self.in_size].reshape(*d_input.shape[:-1], self.in_size)

    def update(self, x_input: Tensor, d_input: Tensor) -> None:
        """Pulse x_input[..., in_size] and d_input[..., out_size] into the devices at the tile's own rate."""
        x, d = x_input.reshape(-1, self.in_size), d_input.reshape(-1, self.out_size)
        if self.analog_bias:
            x = torch.cat([x, x.new_ones(len(x), 1)], -1)
        rate, tiles, self._aged = self.get_learning_rate(), self.analog_tile, True
        if isinstance(tiles, HardwareAwareTiles):
            with torch.no_grad():
                self.weight.sub_((rate * d.t() @ x).to(self.weight))
            return
        scale_O = None if tiles.out_scale is None else tiles.out_scale.factor().ravel()
        self._pulse(x, d, scale_O, rate)

    def post_update_step(self) -> None:
        """Diffusion and decay of one mini-batch, which an update has had; or what follows a step."""
        if isinstance(self.analog_tile, HardwareAwareTiles):
            count_step(self.weight)
            return
        if not self._aged and has_dynamics(self.grid.spec.rpu_config.device):
            zeros = torch.zeros(1, self.grid.spec.in_size), torch.zeros(1, self.out_size)
            self._pulse(*zeros, None, self.get_learning_rate())
        self._aged = False

    def pre_forward(self, x_input: Tensor, dim: int, is_test: bool = False, ctx: Any = None) -> Tensor:
        """Inputs as they reach the DAC: clipped to the input range and divided by it."""
        r = self.input_range
        return x_input if r is None else torch.clamp(x_input, -r.item(), r.item()) / r

    def post_forward(self, x_output: Tensor, dim: int, is_test: bool = False, ctx: Any = None) -> Tensor:
        """Results of the ADC times the input range and the mapping scales."""
        y = x_output if self.input_range is None else x_output * self.input_range
        return y if self.mapping_scales is None else y * self.mapping_scales

    @property
    def drift_noise_parameters(self) -> list[Tensor] | None:
        """What the devices keep for their drift, [out, in] for each conductance; None if not programmed."""
        tiles = self.analog_tile
        if not isinstance(tiles, HardwareAwareTiles) or tiles.programmed is None:
            return None
        spec = self.grid.spec
        key_12 = tile_key(spec.key, spec.tiles[0].block)[None]
        state = program(
            tiles.held(self.weight)[None], tiles.config.noise_model, key_12, tiles.programmed.tick
        )
        return [torch.from_numpy(nu_TOI[0]) for nu_TOI in drift_coefficients(state)]

    def is_indexed(self) -> bool:
        """Convolutions unfold their images before the tile."""
        return False

    def get_hidden_update_index(self) -> int:
        """Which device of a cell is pulsed; cells keep count themselves."""
        return 0

    def set_hidden_update_index(self, index: int) -> None:
        """Has no effect: cells keep count themselves."""

    def get_brief_info(self) -> str:
        """The devices in words."""
        return f"{type(self).__name__}[{self.out_size} x {self.in_size}] of {type(self._config).__name__}"

    def compatible_with(self, rpu_config: Any) -> tuple[bool, str | None]:
        """Whether the tile can take another configuration, and why not."""
        if isinstance(rpu_config, type):
            return False, f"{rpu_config.__name__} is a class; give a configuration of it"
        same = type(rpu_config).__name__ == type(self._config).__name__
        if same or rpu_config.compatible_with(type(self).__name__):
            return True, None
        return False, f"{type(self._config).__name__} cannot become {type(rpu_config).__name__}"

    def replace_with(self, rpu_config: Any) -> None:
        """Be a tile of another configuration, with the same weights.

        Raises:
            TileModuleError: it is one of another kind.
        """
        fits, why = self.compatible_with(rpu_config)
        if not fits:
            raise TileModuleError(f"{self.grid.spec.name}: {why}; build the layer anew")
        self._rebuild(rpu_config)

    def _rebuild(self, rpu_config: Any) -> None:
        weight, bias = self.get_weights(apply_weight_scaling=True)
        key, like = self.grid.spec.key, self.weight
        self._config = copy.deepcopy(rpu_config)
        self.digital_bias = self.use_bias and self._config.mapping.digital_bias
        self.analog_bias = self.use_bias and not self._config.mapping.digital_bias
        self._make(key)
        self.to(like.device, like.dtype)
        self.set_weights(weight, bias)

    def to(self, *args: Any, **kwargs: Any) -> TileModule:
        """As torch's, or to another configuration."""
        rpu_config = kwargs.pop("rpu_config", args[0] if args else None)
        if isinstance(rpu_config, RPUConfigBase):
            self.replace_with(rpu_config)
            return self
        return super().to(*args, **kwargs)

    @staticmethod
    def get_analog_state_name(prefix: str) -> str:
        """The name of the tile's own state in ``state_dict``."""
        return f"{prefix}analog_tile.state"

    def set_load_rpu_config_state(
        self, load_rpu_config: bool | None = None, strict_rpu_config_check: bool | None = None
    ) -> None:
        """Say what the next ``load_state_dict`` does with the saved configuration."""
        self._takes_config = load_rpu_config is None or load_rpu_config
        self._checks_config = strict_rpu_config_check is None or strict_rpu_config_check

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        saved = packed_config(self._config)
        if saved is not None:
            destination[f"{prefix}rpu_config"] = saved

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: Any, strict: bool,
        missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str],
    ) -> None:  # fmt: skip
        if prefix + theirs.STATE in state_dict:
            theirs.take(self, state_dict, prefix)
        saved = state_dict.pop(f"{prefix}rpu_config", None)
        if saved is not None:
            self._take_config(unpacked_config(saved))
        if strict and self.get_analog_state_name(prefix) not in state_dict:
            missing_keys.append(self.get_analog_state_name(prefix))
        scales = state_dict.get(f"{prefix}analog_tile.out_scale.mapping")
        if scales is not None:
            self.set_mapping_scales(scales)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        self.remember_written()

    def _take_config(self, saved: Any) -> None:
        """Be a tile of a saved configuration, or check that it is of the same kind.

        Raises:
            TileModuleError: it is not.
        """
        own, name = self._config, self.grid.spec.name
        if not self._takes_config:
            kin = isinstance(saved, type(own)) or isinstance(own, type(saved))
            differs = not kin or not own.mapping.compatible_with(saved.mapping)
            if self._checks_config and differs:
                raise TileModuleError(
                    f"{name}: the state is of {type(saved).__name__}, the tile of {type(own).__name__}, or "
                    "their mappings differ; load with strict_rpu_config_check=False if that is meant"
                )
            return
        if not own.compatible_with(saved.tile_class.__name__):
            raise TileModuleError(
                f"{name}: the state is of {type(saved).__name__}, and this is a {type(self).__name__}; build "
                "the model with that configuration"
            )
        if saved != own:
            self._rebuild(saved)

    def _twin(self, bias: bool) -> nn.Module:
        return nn.Linear(self.in_size, self.out_size, bias)

    def extra_repr(self) -> str:
        return f"{self.out_size}, {self.in_size}, bias={self.use_bias}, {type(self._config).__name__}"


__getattr__ = absent(__name__)
