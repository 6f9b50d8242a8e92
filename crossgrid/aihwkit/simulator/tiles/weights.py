"""A tile's weights and scales: set, read, programmed, aged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from crossgrid.emulator.analog_matrix.hardware_aware import HardwareAwareTiles
from crossgrid.emulator.analog_matrix.input_range import InputRange
from crossgrid.emulator.analog_matrix.output_scale import OutputScale
from crossgrid.emulator.analog_matrix.pulsed import PulsedTiles, drifts
from crossgrid.emulator.nn.base import AnalogLayer
from crossgrid.emulator.tiles.values import require_finite
from crossgrid.kernels.arrays.cell import give_hidden
from crossgrid.kernels.inference import BaseNoiseModel

from ...exceptions import ConfigError, TileError
from .hardware_aware import SteppedTiles

DEFAULT_RATE = 0.01  # of an update before any optimizer was there


class TileWeights(AnalogLayer):
    """The weights and scales of a ``TileModule``."""

    in_size: int
    out_size: int
    digital_bias: bool
    analog_bias: bool
    in_trans: bool
    out_trans: bool
    ranged: InputRange | None
    analog_tile: Any  # PulsedTiles or SteppedTiles
    _config: Any

    if TYPE_CHECKING:

        def replace_with(self, rpu_config: Any) -> None: ...

    @property
    def rpu_config(self) -> Any:
        """The tile's own configuration."""
        return self._config

    @rpu_config.setter
    def rpu_config(self, rpu_config: Any) -> None:
        self._config = rpu_config

    def raw_weights(self) -> Tensor:
        """W[out, in] as the devices hold it, a bias column among its columns: a copy."""
        tiles = self.analog_tile
        if isinstance(tiles, PulsedTiles):
            return torch.from_numpy(tiles.grid.weights().copy())
        if tiles.programmed is None:
            tiles.bring(self.weight)  # what follows the last step may still have to follow
        return torch.from_numpy(tiles.on_devices(self.weight).copy())

    def write_raw(self, weight: Any) -> None:
        """Write W[out, in] to the devices; scales stay."""
        w_OI = np.ascontiguousarray(torch.as_tensor(weight).detach().cpu().float().numpy())
        require_finite(self.grid.spec.name, "weight", w_OI)
        tiles = self.analog_tile
        if isinstance(tiles, PulsedTiles):
            tiles.grid.set_weights(w_OI)
            return
        factor = 1.0 if tiles.out_scale is None else tiles.out_scale.mapping.detach().numpy().reshape(-1, 1)
        with torch.no_grad():
            self.weight.copy_(torch.from_numpy(w_OI * factor))
        tiles.forget_programming()
        self.remember_written()

    def remember_written(self) -> None:
        """The weight was set, not trained: what follows a step does not follow."""
        if isinstance(self.analog_tile, SteppedTiles):
            self.analog_tile.note_written(self.weight)

    def set_weights(
        self,
        weight: Any,
        bias: Any = None,
        apply_weight_scaling: bool = True,
        realistic: bool = False,
        weight_scaling_omega: float | None = None,
    ) -> None:
        """Write W[out_size, in_size] and the bias [out_size].

        Args:
            weight: the weight.
            bias: the bias, if the tile has one.
            apply_weight_scaling: choose the scales anew, or else write the weight as the devices hold it.
            realistic: write with the pulses or the programming noise of the devices.
            weight_scaling_omega: largest weight on the devices; that of ``mapping`` if not given.
        """
        w = torch.as_tensor(weight).detach().cpu().float().reshape(self.out_size, self.in_size)
        if bias is not None and self.digital_bias:
            with torch.no_grad():
                self.bias.copy_(torch.as_tensor(bias))
        if self.analog_bias:
            column = torch.zeros(self.out_size) if bias is None else torch.as_tensor(bias).detach().cpu()
            w = torch.cat([w, column.float().reshape(-1, 1)], 1)
        if apply_weight_scaling:
            self._fit_scales(w, weight_scaling_omega)
            scales = self.get_scales()
            w = w if scales is None else w / scales.detach().cpu().float().reshape(-1, 1)
        self.write_raw(w)
        if realistic:
            self.program_weights()

    def _fit_scales(self, w: Tensor, omega: float | None) -> None:
        """Scales so that the largest weight on the devices is omega."""
        mapping = self.rpu_config.mapping
        omega = mapping.weight_scaling_omega if omega is None else omega
        tiles = self.analog_tile
        if not omega:
            if tiles.out_scale is not None and tiles.out_scale.learned is None and self._is_remapped():
                tiles.out_scale.mapping.fill_(1.0)
            return
        each = mapping.weight_scaling_columnwise or self._is_remapped()
        if tiles.out_scale is None:
            tiles.out_scale = OutputScale(mapping, self.out_size, each)
        columnwise = mapping.weight_scaling_columnwise
        largest = w.abs().amax(1) if columnwise else w.abs().max().reshape(1)
        scales = torch.where(largest > 0, largest / omega, torch.ones(()))
        self.set_scales(scales)

    def _is_remapped(self) -> bool:
        remap = getattr(self.rpu_config, "remap", None)
        return remap is not None and remap.type.name != "NONE"

    def get_weights(
        self, apply_weight_scaling: bool = True, realistic: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """W[out_size, in_size] and the bias: copies of what the devices hold, programmed or aged as it is.

        Args:
            apply_weight_scaling: times the scales, or else as on the devices.
            realistic: estimated from products, with their noise.
        """
        if realistic:
            return self.read_weights(apply_weight_scaling=apply_weight_scaling)
        w, scales = self.raw_weights(), self.get_scales()
        if apply_weight_scaling and scales is not None:
            w = w * scales.detach().cpu().float().reshape(-1, 1)
        return self._split(w)

    def _split(self, w: Tensor) -> tuple[Tensor, Tensor | None]:
        """The weight and the bias of a matrix that may have a bias column."""
        if self.analog_bias:
            return w[:, :-1].contiguous(), w[:, -1].clone()
        return w, None if self.bias is None else self.bias.detach().cpu().clone()

    @torch.no_grad()
    def read_weights(
        self,
        apply_weight_scaling: bool = False,
        x_values: Tensor | None = None,
        over_sampling: int = 10,
    ) -> tuple[Tensor, Tensor | None]:
        """W and the bias, by least squares from products with random inputs in evaluation mode.

        Args:
            apply_weight_scaling: times the scales, or else as on the devices.
            x_values: inputs [vectors, in_size]; normal ones if not given.
            over_sampling: vectors for each input where none are given.
        """
        x = torch.randn(self.in_size * over_sampling, self.in_size) if x_values is None else x_values
        training, trans = self.training, (self.in_trans, self.out_trans)
        self.eval()
        self.in_trans = self.out_trans = False
        try:
            y = self.forward(x.to(self.weight)).float()
        finally:
            self.train(training)
            self.in_trans, self.out_trans = trans
        if self.bias is not None:
            y = y - self.bias
        x = torch.cat([x, x.new_ones(len(x), 1)], 1) if self.analog_bias else x
        w = torch.linalg.lstsq(x.float(), y).solution.T.contiguous()
        scales = self.get_scales()
        if scales is not None and not apply_weight_scaling:
            w = w / scales.float().reshape(-1, 1)
        return self._split(w)

    def program_weights(
        self,
        from_reference: bool = True,
        x_values: Tensor | None = None,
        learning_rate: float = 0.1,
        max_iter: int = 10000,
        tolerance: float | None = 0.01,
        w_init: Any = 0.01,
        noise_model: BaseNoiseModel | None = None,
    ) -> None:
        """Write the present weights: with the noise of programming, or by pulses until products agree.

        Args:
            from_reference: has no effect: what is written is the trained weight.
            x_values: inputs of the comparison; one at a time if not given.
            learning_rate: rate of the pulses.
            max_iter: largest number of updates.
            tolerance: mean deviation of a product, relative to the largest, at which it ends.
            w_init: weights that pulses start from: a matrix, or the bound of random ones.
            noise_model: of inference tiles; it becomes that of the configuration.
        """
        tiles = self.analog_tile
        if isinstance(tiles, HardwareAwareTiles):
            if noise_model is not None and noise_model != self.rpu_config.noise_model:
                self.rpu_config.noise_model = noise_model
                self.replace_with(self.rpu_config)
                tiles = self.analog_tile
            tiles.program(self.weight)
            return
        if noise_model is not None:
            raise ConfigError(f"{type(self.rpu_config).__name__} has no noise model to be replaced")
        target = self.raw_weights()
        x = torch.eye(target.shape[1]) if x_values is None else x_values.float()
        wanted = x @ target.t()
        start = w_init if isinstance(w_init, Tensor) else (2 * torch.rand_like(target) - 1) * w_init
        self.write_raw(start)
        for _ in range(max_iter):
            error = torch.from_numpy(tiles.grid.read_vectors(x.numpy())) - wanted
            if tolerance is not None and error.abs().mean() < tolerance * wanted.abs().max():
                break
            self._pulse(x, error, None, learning_rate)

    def _pulse(self, x: Tensor, d: Tensor, scale_O: Any, rate: float) -> None:
        """One pulsed update with x[B, in] and d[B, out]."""
        grid = self.grid
        arrays = [np.ascontiguousarray(t.detach().cpu().float().numpy()) for t in (x, d)]
        _, record = grid.forward(arrays[0], keep=True, learn=True)
        assert record is not None
        _, kept = grid.backward(record, arrays[1], None, scale_O, keep=True)
        assert kept is not None
        grid.update(rate, [kept])

    def drift_weights(self, t_inference: float = 0.0) -> None:
        """Age what was programmed to ``t_inference`` seconds, programming it first; others by that."""
        tiles = self.analog_tile
        if isinstance(tiles, HardwareAwareTiles):
            if tiles.programmed is None or not tiles.holds(self.weight):
                self.program_weights()
                tiles = self.analog_tile
            tiles.drift(self.weight, t_inference)
        elif drifts(self.grid.spec.rpu_config.device):
            tiles.let_pass(t_inference)

    def remap_weights(self, weight_scaling_omega: float | None = 1.0) -> None:
        """Choose the scales anew so that the largest weight on the devices is ``weight_scaling_omega``."""
        weight, bias = self.get_weights(apply_weight_scaling=True)
        self.set_weights(weight, bias, weight_scaling_omega=weight_scaling_omega)

    @property
    def alpha(self) -> Tensor:
        """The factor that compensates the drift."""
        tiles = self.analog_tile
        return tiles.alpha if isinstance(tiles, HardwareAwareTiles) else torch.ones(1)

    @property
    def mapping_scales(self) -> Tensor | None:
        """a: the devices hold W / a."""
        scale = self.analog_tile.out_scale
        if scale is None or not (
            self.rpu_config.mapping.weight_scaling_omega or self._is_remapped() or scale.omega
        ):
            return None if scale is None or bool((scale.mapping == 1).all()) else scale.mapping
        return scale.mapping

    def get_mapping_scales(self) -> Tensor | None:
        """a: the devices hold W / a."""
        return self.mapping_scales

    def set_mapping_scales(self, mapping_scales: Any) -> None:
        """Set a, one or one for each output; the devices keep what they hold."""
        tiles = self.analog_tile
        if mapping_scales is None:
            return
        scales = torch.as_tensor(mapping_scales, dtype=torch.float32).detach().cpu().reshape(-1)
        if tiles.out_scale is None:
            tiles.out_scale = OutputScale(self.rpu_config.mapping, self.out_size, len(scales) > 1)
        own = tiles.out_scale
        held = tiles.held(self.weight) if isinstance(tiles, HardwareAwareTiles) else None
        if len(scales) not in (1, len(own.mapping)):
            own.mapping = own.mapping.new_ones(len(scales))
        own.mapping.copy_(scales)
        if held is not None:
            self.write_raw(torch.from_numpy(held.copy()))

    @property
    def out_scaling_alpha(self) -> Tensor | None:
        """s: the learned factor of the outputs."""
        scale = self.analog_tile.out_scale
        return None if scale is None else scale.learned

    @out_scaling_alpha.setter
    def out_scaling_alpha(self, alpha: Any) -> None:
        tiles, values = self.analog_tile, torch.as_tensor(alpha).detach().float().reshape(-1)
        if tiles.out_scale is None:
            tiles.out_scale = OutputScale(self.rpu_config.mapping, self.out_size)
        tiles.out_scale.learned = nn.Parameter(values.clone())

    def get_learned_out_scales(self) -> Tensor | None:
        """s: the learned factor of the outputs."""
        return self.out_scaling_alpha

    @torch.no_grad()
    def set_learned_out_scales(self, alpha: Any) -> None:
        """Set s."""
        if self.out_scaling_alpha is not None:
            self.out_scaling_alpha.copy_(torch.as_tensor(alpha).reshape(-1))

    def set_scales(self, scales: Any) -> None:
        """Set a to ``scales``, and s to 1."""
        self.set_mapping_scales(scales)
        self.set_learned_out_scales(1.0)

    def get_scales(self) -> Tensor | None:
        """s a: what the devices' weights are multiplied by."""
        parts = [each for each in (self.mapping_scales, self.out_scaling_alpha) if each is not None]
        if not parts:
            return None
        return parts[0].detach().clone() if len(parts) == 1 else (parts[0] * parts[1]).detach()

    def _range_module(self) -> InputRange | None:
        tiles = self.analog_tile
        return tiles.input_range if isinstance(tiles, HardwareAwareTiles) else self.ranged

    @property
    def input_range(self) -> Tensor | None:
        """The range [1] that inputs are clipped to."""
        module = self._range_module()
        return None if module is None else module.value

    @property
    def input_range_update_idx(self) -> Tensor | None:
        """How many mini-batches the range was taken from."""
        module = self._range_module()
        return None if module is None else module.batches

    @torch.no_grad()
    def set_input_range(self, value: Any) -> None:
        """Set the range that inputs are clipped to.

        Raises:
            ConfigError: the configuration has none.
        """
        if self.input_range is None:
            raise ConfigError("input_range.enable is False: set pre_post.input_range.enable = True")
        self.input_range.copy_(torch.as_tensor(value).abs().reshape(-1)[:1])

    def get_learning_rate(self) -> float:
        """The rate of the last step, or the one that was set."""
        return float(getattr(self.analog_tile, "learning_rate", DEFAULT_RATE))

    def set_learning_rate(self, learning_rate: float | None) -> None:
        """Set the rate of the next ``update``."""
        if learning_rate is not None:
            self.analog_tile.learning_rate = float(learning_rate)

    def get_hidden_parameters(self) -> dict[str, Tensor]:
        """What was drawn for the devices by name, [out, in] each; nothing for exact ones: copies.

        Raises:
            TileError: the tile is in another process.
        """
        return {name: torch.from_numpy(np.array(values)) for name, values in self._hidden().items()}

    def set_hidden_parameters(self, ordered_parameters: dict[str, Any]) -> None:
        """Give the devices other parameters than were drawn; they are kept, saved and sent from then on.

        Raises:
            TileError: the tile is in another process.
            ConfigError: it has no parameter of a name.
        """
        given = {name: torch.as_tensor(each).numpy()[None] for name, each in ordered_parameters.items()}
        give_hidden(self._cell(), given)

    def _hidden(self) -> dict[str, Any]:
        """The devices' parameters themselves, [out, in] each."""
        return {name: values[0] for name, values in self._cell().hidden_parameters().items()}

    def _cell(self) -> Any:
        """The tile's devices."""
        worker = getattr(self.grid.executor, "worker", None)
        if worker is None:
            raise TileError(f"{self.grid.spec.name}: devices are read in this process; leave emulate first")
        return worker.layers[self.grid.layer].groups[0].bank.cell


def has_dynamics(device: Any) -> bool:
    """Whether a device, or one that a cell is made of, diffuses or decays from step to step."""
    if getattr(device, "diffusion", 0.0) > 0 or getattr(device, "lifetime", 0.0) > 0:
        return True
    members = [*getattr(device, "unit_cell_devices", ()), *filter(None, [getattr(device, "device", None)])]
    return any(has_dynamics(member) for member in members)
