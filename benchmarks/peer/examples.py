"""The seed's five small examples in aihwkit, run by aihwkit's own Python: examples.py SEEDS.

Prints one JSON object: example -> final loss for each of the seeds 1 to SEEDS. The configurations are the
ones of examples/01, 02, 05, 07 and 08. For each seed a model starts from the very weights of this project's:
final losses depend on them more than on anything else. aihwkit draws its devices from the clock.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import torch
from aihwkit.inference import GlobalDriftCompensation, PCMLikeNoiseModel
from aihwkit.nn import AnalogLinear, AnalogSequential
from aihwkit.optim import AnalogSGD
from aihwkit.simulator.configs import (
    ConstantStepDevice,
    InferenceRPUConfig,
    SingleRPUConfig,
    SoftBoundsDevice,
    TransferCompound,
    UnitCellRPUConfig,
    VectorUnitCell,
    VectorUnitCellUpdatePolicy,
    WeightClipType,
    WeightModifierType,
    WeightNoiseType,
)
from torch.nn.functional import mse_loss

EPOCHS = 100
X = torch.tensor([[0.1, 0.2, 0.4, 0.3], [0.2, 0.1, 0.1, 0.3]])
Y = torch.tensor([[1.0, 0.5], [0.7, 0.3]])
Y_ONE = torch.tensor([[1.0], [0.7]])


def simple_layer() -> Any:
    return AnalogLinear(4, 2, bias=True, rpu_config=SingleRPUConfig(device=ConstantStepDevice()))


def multiple_layer() -> Any:
    config = SingleRPUConfig(device=ConstantStepDevice())
    return AnalogSequential(
        AnalogLinear(4, 3, rpu_config=config),
        AnalogLinear(3, 3, rpu_config=config),
        AnalogLinear(3, 1, rpu_config=config),
    )


def hardware_aware() -> Any:
    config = InferenceRPUConfig()
    config.forward.out_res = -1.0
    config.forward.w_noise_type = WeightNoiseType.ADDITIVE_CONSTANT
    config.forward.w_noise = 0.02
    config.clip.type = WeightClipType.FIXED_VALUE
    config.clip.fixed_value = 1.0
    config.modifier.pdrop = 0.03
    config.modifier.type = WeightModifierType.ADD_NORMAL
    config.modifier.std_dev = 0.1
    config.modifier.rel_to_actual_wmax = True
    config.noise_model = PCMLikeNoiseModel(g_max=25.0)
    config.drift_compensation = GlobalDriftCompensation()
    return AnalogLinear(4, 2, bias=True, rpu_config=config)


def other_devices() -> Any:
    cell = VectorUnitCell(
        unit_cell_devices=[
            ConstantStepDevice(w_max=0.3),
            ConstantStepDevice(w_max_dtod=0.4),
            ConstantStepDevice(up_down_dtod=0.1),
        ]
    )
    cell.update_policy = VectorUnitCellUpdatePolicy.SINGLE_RANDOM
    return AnalogLinear(4, 2, bias=True, rpu_config=UnitCellRPUConfig(device=cell))


def tiki_taka() -> Any:
    cell = TransferCompound(
        unit_cell_devices=[
            SoftBoundsDevice(w_min=-0.3, w_max=0.3),
            SoftBoundsDevice(w_min=-0.6, w_max=0.6),
        ],
        units_in_mbatch=True,
        transfer_every=2,
        n_reads_per_transfer=1,
        gamma=0.0,
        scale_transfer_lr=True,
        transfer_lr=1.0,
    )
    return AnalogLinear(4, 2, bias=True, rpu_config=UnitCellRPUConfig(device=cell))


#: example -> model, targets, learning rate
EXAMPLES: dict[str, tuple[Callable[[], Any], torch.Tensor, float]] = {
    "01_simple_layer": (simple_layer, Y, 0.1),
    "02_multiple_layer": (multiple_layer, Y_ONE, 0.5),
    "05_simple_layer_hardware_aware": (hardware_aware, Y, 0.1),
    "07_simple_layer_with_other_devices": (other_devices, Y, 0.1),
    "08_simple_layer_with_tiki_taka": (tiki_taka, Y, 0.1),
}


def started(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    """``model`` with the weights that this project's layers draw after ``torch.manual_seed(seed)``."""
    torch.manual_seed(seed)
    for layer in model.modules():
        if isinstance(layer, AnalogLinear):
            torch.randint(2**63 - 1, ())  # the layer's key
            bound = layer.in_features**-0.5
            weight = torch.empty(layer.out_features, layer.in_features).uniform_(-bound, bound)
            layer.set_weights(weight, torch.empty(layer.out_features).uniform_(-bound, bound))
    return model


def final_loss(name: str, seed: int) -> float:
    """The loss of the last of the epochs."""
    make, y, learning_rate = EXAMPLES[name]
    model = started(make(), seed)
    optimizer = AnalogSGD(model.parameters(), lr=learning_rate)
    optimizer.regroup_param_groups(model)
    loss = torch.tensor(0.0)
    for _ in range(EPOCHS):
        optimizer.zero_grad()
        loss = mse_loss(model(X), y)
        loss.backward()
        optimizer.step()
    return loss.item()


if __name__ == "__main__":
    seeds = range(1, int(sys.argv[1]) + 1)
    print(json.dumps({name: [final_loss(name, seed) for seed in seeds] for name in EXAMPLES}))
