"""One physical tile on its own: torch tensors in and out."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor

from crossgrid.kernels.config import warn_of_unused
from crossgrid.kernels.errors import ConfigError, InputError
from crossgrid.kernels.inference import NotProgrammedError

from ..analog_matrix.conversions import as_array
from ..config.rpu import InferenceRPUConfig, RPUConfig
from ..tiles.bank import Floats, TileBank
from ..tiles.values import require_finite
from .keys import as_key

ONE = np.zeros(1, np.intp)


class AnalogTile:
    """A tile W[out, in] with its own devices and converters.

    Args:
        out_size, in_size: rows (outputs) and columns (inputs).
        rpu_config: how the tile behaves; copied.
        seed: the key of everything random in the tile.

    Raises:
        ConfigError: a size below one.
    """

    def __init__(self, out_size: int, in_size: int, rpu_config: RPUConfig, seed: int = 0) -> None:
        for what, size in (("outputs", out_size), ("inputs", in_size)):
            if size < 1:
                raise ConfigError(f"a tile with {size} {what} holds nothing; at least 1 is needed")
        self.out_size, self.in_size = out_size, in_size
        self.rpu_config = copy.deepcopy(rpu_config)
        self.bank = TileBank(as_key(seed), [0], out_size, in_size, self.rpu_config)
        warn_of_unused(self.rpu_config)
        self.ticks = {"forward": 0, "backward": 0, "update": 0, "reset": 0, "drift": 0}
        self._targets: Floats | None = None  # what was programmed

    def forward(self, x: Tensor) -> Tensor:
        """y[B, out] = W x[B, in] through DAC and ADC, with noise."""
        x_BI = self._rows("x", x, self.in_size)
        y_TBO, _ = self.bank.forward(x_BI[None], ONE, self._tick("forward", len(x_BI)))
        return torch.from_numpy(y_TBO[0])

    def backward(self, d: Tensor) -> Tensor:
        """z[B, in] = W^T d[B, out] through DAC and ADC, with noise."""
        d_BO = self._rows("d", d, self.out_size)
        z_TBI = self.bank.backward(d_BO[None], ONE, self._tick("backward", len(d_BO)))
        return torch.from_numpy(z_TBI[0])

    def update(self, x: Tensor, d: Tensor, learning_rate: float) -> None:
        """Pulse the devices for each pair of x[B, in] and d[B, out] in turn: W <- W - lr d x^T on average."""
        x_BI, d_BO = self._rows("x", x, self.in_size), self._rows("d", d, self.out_size)
        if len(x_BI) != len(d_BO):
            raise InputError(f"x has {len(x_BI)} vectors and d {len(d_BO)}; an update takes equal batches")
        if not np.isfinite(learning_rate):
            raise ConfigError(f"learning_rate = {learning_rate} must be finite")
        tick = self._tick("update", len(x_BI))
        self.bank.update(x_BI[None], ONE, d_BO[None], ONE, float(learning_rate), tick)

    def get_weights(self) -> Tensor:
        """W[out, in] as products see it, without their noise: a copy."""
        return torch.from_numpy(np.array(self.bank.cell.weights[0]))

    def set_weights(self, w: Tensor) -> None:
        """Write W[out, in]; every device clips to its own bounds."""
        w_OI = as_array(w)
        if w_OI.shape != (self.out_size, self.in_size):
            raise InputError(
                f"weights of shape {w_OI.shape} cannot be set, the tile is {(self.out_size, self.in_size)}"
            )
        require_finite("AnalogTile", "weight", w_OI)
        self.bank.cell.set_weights(w_OI[None])

    def get_hidden_parameters(self) -> dict[str, Tensor]:
        """What was drawn for every device, by aihwkit's names, [out, in] (or [devices, out, in]) each."""
        drawn = self.bank.cell.hidden_parameters()
        return {name: torch.from_numpy(np.array(values[0])) for name, values in drawn.items()}

    def reset(self) -> None:
        """Reset all devices to their reset level."""
        self.bank.cell.reset(self._tick("reset", 1))

    def program_weights(self) -> None:
        """Write the present weights with programming noise (``InferenceRPUConfig``)."""
        if not isinstance(self.rpu_config, InferenceRPUConfig):
            raise ConfigError(
                f"{type(self.rpu_config).__name__} has no noise model; use an InferenceRPUConfig"
            )
        self._targets = np.array(self.bank.cell.weights)
        self.bank.program([*self._targets], 0, None)

    def drift_weights(self, t: float = 0.0) -> None:
        """Age what was programmed to ``t`` seconds after; let another ``t`` pass for pulsed devices.

        These drift by their ``DriftParameter``, in its units of time. A call that finds a weight changed (by
        an update or by ``set_weights``) only notes it: its drift starts there, and the next call moves it.
        """
        if not isinstance(self.rpu_config, InferenceRPUConfig):
            self.bank.cell.drift(float(t), self._tick("drift", 1))
            return
        if self._targets is None:
            raise NotProgrammedError("drift before programming: call program_weights() first")
        self.bank.program([*self._targets], 0, (float(t), self._tick("drift", 1) + 1))

    def _tick(self, counter: str, vectors: int) -> int:
        tick = self.ticks[counter]
        self.ticks[counter] += vectors
        return tick

    def _rows(self, name: str, x: Tensor, width: int) -> Floats:
        if x.dim() != 2 or x.shape[1] != width:
            raise InputError(f"{name} has shape {tuple(x.shape)}; it must be [vectors, {width}]")
        rows = as_array(x)
        require_finite("AnalogTile", name, rows)
        return rows
