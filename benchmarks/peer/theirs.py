"""aihwkit's side of the comparison; runs in its own environment."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np

from .job import Job, exact_read, exact_update, slope_of
from .network import TrainingStep, lenet5
from .rows import LEARNING_RATE, TILE_SIZE, Row

sys.modules.setdefault("torchvision", types.ModuleType("torchvision"))  # aihwkit imports it for its datasets

import torch  # noqa: E402
from aihwkit.nn import AnalogLinear  # noqa: E402
from aihwkit.nn.conversion import convert_to_analog  # noqa: E402
from aihwkit.optim import AnalogSGD  # noqa: E402
from aihwkit.simulator.configs import InferenceRPUConfig, SingleRPUConfig  # noqa: E402
from aihwkit.simulator.configs import devices as peer_devices  # noqa: E402
from aihwkit.simulator.parameters.enums import WeightModifierType  # noqa: E402
from aihwkit.simulator.tiles import AnalogTile  # noqa: E402


class Update(Job):
    """A pulsed update of one tile."""

    def __init__(self, device: str, row: Row) -> None:
        config = SingleRPUConfig(device=getattr(peer_devices, device)())
        self.tile: Any = AnalogTile(row.out_size, row.in_size, config)
        self.tile.set_learning_rate(LEARNING_RATE)
        self.x, self.d = (torch.from_numpy(values) for values in row.data())
        self.row, self.zero = row, torch.zeros(row.out_size, row.in_size)

    def start(self) -> None:
        self.tile.set_weights(self.zero)

    def run(self) -> None:
        self.tile.update(self.x, self.d)

    def slope(self) -> float:
        return slope_of(np.array(self.tile.get_weights()[0]), exact_update(self.row))


class Read(Job):
    """A noisy product of one tile."""

    def __init__(self, row: Row, forward: bool) -> None:
        device = peer_devices.ConstantStepDevice(w_max_dtod=0.0, w_min_dtod=0.0)
        self.tile: Any = AnalogTile(row.out_size, row.in_size, SingleRPUConfig(device=device))
        self.tile.set_weights(torch.from_numpy(row.weights()))
        self.row, self.forward = row, forward
        self.values = torch.from_numpy(row.data()[0 if forward else 1])

    def run(self) -> None:
        with torch.no_grad():
            self.y = self.tile.forward(self.values) if self.forward else self.tile.backward(self.values)

    def slope(self) -> float:
        return slope_of(self.y.numpy(), exact_read(self.row, self.forward))


def forward(device: str, row: Row) -> Job:
    """A forward read."""
    return Read(row, True)


def backward(device: str, row: Row) -> Job:
    """A backward read."""
    return Read(row, False)


class Layer(Job):
    """A linear layer in tiles: its forward, or a whole training step."""

    def __init__(self, config: Any, row: Row, step: bool) -> None:
        config.mapping.max_input_size = config.mapping.max_output_size = TILE_SIZE
        self.layer: Any = AnalogLinear(row.in_size, row.out_size, bias=False, rpu_config=config)
        self.layer.set_weights(torch.from_numpy(row.weights()))
        x, d = row.data()
        self.x, self.d = torch.from_numpy(x).requires_grad_(step), torch.from_numpy(d)
        self.optimizer: Any = AnalogSGD(self.layer.parameters(), lr=LEARNING_RATE) if step else None
        if step:
            self.optimizer.regroup_param_groups(self.layer)
        self.row = row

    def run(self) -> None:
        if self.optimizer is None:
            with torch.no_grad():
                self.y = self.layer(self.x)
            return
        self.optimizer.zero_grad(set_to_none=False)
        self.y = self.layer(self.x)
        self.y.backward(self.d)
        self.optimizer.step()

    def slope(self) -> float:
        return slope_of(self.y.detach().numpy(), exact_read(self.row, forward=True))


def layer_forward(device: str, row: Row) -> Job:
    """The forward of a layer that learns in place."""
    return Layer(_pulsed(device), row, step=False)


def layer_step(device: str, row: Row) -> Job:
    """Forward, backward and pulsed update."""
    return Layer(_pulsed(device), row, step=True)


def _pulsed(device: str) -> Any:
    return SingleRPUConfig(device=getattr(peer_devices, device)(w_max_dtod=0.0, w_min_dtod=0.0))


class HardwareAware(Layer):
    """Forward and backward with a weight modifier."""

    def __init__(self, device: str, row: Row) -> None:
        config = InferenceRPUConfig()
        config.modifier.type, config.modifier.std_dev = WeightModifierType(device), 0.1
        super().__init__(config, row, step=False)
        self.layer.train()
        self.x = self.x.requires_grad_(True)

    def run(self) -> None:
        self.y = self.layer(self.x)
        self.y.backward(self.d)


class Programmed(Layer):
    """Programming of an inference layer, or its drift to a new time in each run, and a read."""

    def __init__(self, row: Row, drifts: bool) -> None:
        super().__init__(InferenceRPUConfig(), row, step=False)
        self.layer.eval()
        self.layer.program_analog_weights()
        self.drifts, self.seconds = drifts, 20.0

    def run(self) -> None:
        if self.drifts:
            self.seconds += 1.0
            self.layer.drift_analog_weights(self.seconds)
        else:
            self.layer.program_analog_weights()
        with torch.no_grad():
            self.y = self.layer(self.x)


def program(device: str, row: Row) -> Job:
    """Programming and a read."""
    return Programmed(row, drifts=False)


def drift(device: str, row: Row) -> Job:
    """Drift, its compensation and a read."""
    return Programmed(row, drifts=True)


def lenet5_step(device: str, row: Row) -> Job:
    """A training step of LeNet5, a tile a layer."""
    digital = lenet5()
    model: Any = convert_to_analog(digital, SingleRPUConfig(device=getattr(peer_devices, device)()))
    optimizer: Any = AnalogSGD(model.parameters(), lr=LEARNING_RATE)
    optimizer.regroup_param_groups(model)
    return TrainingStep(digital, model, optimizer, row)


JOBS = {
    "update": Update, "forward": forward, "backward": backward, "layer forward": layer_forward,
    "layer step": layer_step, "hardware-aware": HardwareAware, "LeNet5 step": lenet5_step,
    "program": program, "drift": drift,
}  # fmt: skip
