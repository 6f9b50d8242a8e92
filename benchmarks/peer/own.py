"""This project's side of the comparison."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .job import Job, exact_read, exact_update, slope_of
from .rows import LEARNING_RATE, TILE_SIZE, Row

ONE_TILE = np.zeros(1, np.int64)


class Update(Job):
    """A pulsed update of one tile."""

    def __init__(self, device: str, row: Row) -> None:
        from crossgrid.kernels import devices
        from crossgrid.kernels.arrays.build import build_cell
        from crossgrid.kernels.pulsed_update.parameters import UpdateParameters
        from crossgrid.kernels.rng import tile_key

        config = getattr(devices, device)()
        keys = tile_key(1, 0)[None]
        self.cell = build_cell(config, UpdateParameters(), keys, row.out_size, row.in_size)
        x, d = row.data()
        self.x, self.d, self.row, self.tick = x[None], d[None], row, 0
        self.zero = np.zeros((1, row.out_size, row.in_size), np.float32)

    def start(self) -> None:
        self.cell.set_weights(self.zero)

    def run(self) -> None:
        self.cell.update(self.x, ONE_TILE, self.d, ONE_TILE, LEARNING_RATE, self.tick)
        self.tick += self.row.batch

    def slope(self) -> float:
        return slope_of(self.cell.weights[0], exact_update(self.row))


class Read(Job):
    """A noisy product of one tile."""

    def __init__(self, row: Row, forward: bool) -> None:
        from crossgrid.kernels.analog_mvm import IOParameters, Periphery
        from crossgrid.kernels.rng import tile_key

        direction = "forward" if forward else "backward"
        self.w_TOI, self.row, self.forward, self.tick = row.weights()[None], row, forward, 0
        keys = tile_key(1, 0)[None]
        self.periphery = Periphery(IOParameters(), keys, row.out_size, row.in_size, direction)
        self.x_XBI = row.data()[0 if forward else 1][None]

    def run(self) -> None:
        self.y_TBO, _ = self.periphery.read(self.w_TOI, self.x_XBI, ONE_TILE, self.tick)
        self.tick += self.row.batch

    def slope(self) -> float:
        return slope_of(self.y_TBO[0], exact_read(self.row, self.forward))


def forward(device: str, row: Row) -> Job:
    """A forward read."""
    return Read(row, True)


def backward(device: str, row: Row) -> Job:
    """A backward read."""
    return Read(row, False)


class Layer(Job):
    """A linear layer in tiles: its forward, or a whole training step."""

    def __init__(self, config: Any, row: Row, step: bool) -> None:
        import torch

        import crossgrid as cg

        config.mapping.max_input_size = config.mapping.max_output_size = TILE_SIZE
        self.layer = cg.AnalogLinear(row.in_size, row.out_size, bias=False, rpu_config=config, seed=1)
        self.layer.set_weights(torch.from_numpy(row.weights()))
        x, d = row.data()
        self.x, self.d = torch.from_numpy(x).requires_grad_(step), torch.from_numpy(d)
        self.optimizer = cg.AnalogSGD(self.layer.parameters(), lr=LEARNING_RATE) if step else None
        self.row, self.torch = row, torch

    def run(self) -> None:
        if self.optimizer is None:
            with self.torch.no_grad():
                self.y = self.layer(self.x)
            return
        self.optimizer.zero_grad(set_to_none=False)
        self.y = self.layer(self.x)
        self.y.backward(self.d)
        self.optimizer.step()

    def slope(self) -> float:
        result: NDArray[np.float32] = self.y.detach().numpy()
        return slope_of(result, exact_read(self.row, forward=True))


def layer_forward(device: str, row: Row) -> Job:
    """The forward of a layer that learns in place."""
    return Layer(_pulsed(device), row, step=False)


def layer_step(device: str, row: Row) -> Job:
    """Forward, backward and pulsed update."""
    return Layer(_pulsed(device), row, step=True)


def _pulsed(device: str) -> Any:
    import crossgrid as cg

    return cg.SingleRPUConfig(device=getattr(cg, device)(w_max_dtod=0.0, w_min_dtod=0.0))


class HardwareAware(Layer):
    """Forward and backward with a weight modifier; the gradient is accumulated in place."""

    def __init__(self, device: str, row: Row) -> None:
        import crossgrid as cg

        config = cg.InferenceRPUConfig()
        config.modifier = cg.WeightModifierParameter(type=device, std_dev=0.1)
        super().__init__(config, row, step=False)
        self.x = self.x.requires_grad_(True)

    def run(self) -> None:
        self.y = self.layer(self.x)
        self.y.backward(self.d)


class Programmed(Layer):
    """Programming of an inference layer, or its drift to a new time in each run, and a read."""

    def __init__(self, row: Row, drifts: bool) -> None:
        import crossgrid as cg

        super().__init__(cg.InferenceRPUConfig(), row, step=False)
        self.layer.eval()
        self.layer.program_analog_weights()
        self.drifts, self.seconds = drifts, 20.0

    def run(self) -> None:
        if self.drifts:
            self.seconds += 1.0
            self.layer.drift_analog_weights(self.seconds)
        else:
            self.layer.program_analog_weights()
        with self.torch.no_grad():
            self.y = self.layer(self.x)


def program(device: str, row: Row) -> Job:
    """Programming and a read."""
    return Programmed(row, drifts=False)


def drift(device: str, row: Row) -> Job:
    """Drift, its compensation and a read."""
    return Programmed(row, drifts=True)


def lenet5_step(device: str, row: Row) -> Job:
    """A training step of LeNet5, a tile a layer."""
    import crossgrid as cg

    from .network import TrainingStep, lenet5

    digital = lenet5()
    model = cg.convert_to_analog(digital, cg.SingleRPUConfig(device=getattr(cg, device)()))
    return TrainingStep(digital, model, cg.AnalogSGD(model.parameters(), lr=LEARNING_RATE), row)


JOBS = {
    "update": Update, "forward": forward, "backward": backward, "layer forward": layer_forward,
    "layer step": layer_step, "hardware-aware": HardwareAware, "LeNet5 step": lenet5_step,
    "program": program, "drift": drift,
}  # fmt: skip
