"""LeNet5 trained on images, on either side: ``python -m peer.training SIDE DATA.npz CONFIGURATION SEED``.

SIDE is "ours" or "aihwkit"; the classes of both have the same names. Printed is the accuracy on the test
images after the last epoch. Both sides start from the same weights and see the same batches.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from .network import lenet5

BATCH = 8
EPOCHS = {"hardware-aware": 4, "pulsed": 3}
RATES = {"hardware-aware": 0.05, "pulsed": 0.01}
CONFIGURATIONS = (
    "hardware-aware, no scaling", "hardware-aware, omega 1", "hardware-aware, every scale",
    "pulsed, no scaling", "pulsed, omega 0.6",
)  # fmt: skip


def classes(side: str) -> Any:
    """The side's classes."""
    if side == "ours":
        import crossgrid as cg

        return cg
    from aihwkit import inference, optim
    from aihwkit import nn as layers
    from aihwkit.nn.conversion import convert_to_analog
    from aihwkit.simulator import configs, parameters, presets
    from aihwkit.simulator.parameters import enums

    modules = (enums, parameters, configs, presets, inference, layers, optim)
    names = {name: value for module in modules for name, value in vars(module).items()}
    return SimpleNamespace(**names | {"convert_to_analog": convert_to_analog})


def configuration(api: Any, name: str) -> Any:
    """One of ``CONFIGURATIONS``.

    "Every scale" is the configuration of aihwkit's example 6, without the management of output clipping that
    this project has not: weights mapped to the whole range, learned scales of each output, learned input
    ranges, remapping, clipping, noisy weights and a tight bound of the ADC.
    """
    if name.startswith("pulsed"):
        config = api.GokmenVlasovPreset()
        config.mapping.weight_scaling_omega = 0.6 if "omega" in name else 0.0
        return config
    config = api.InferenceRPUConfig()
    config.modifier.type, config.modifier.std_dev = api.WeightModifierType.ADD_NORMAL, 0.05
    if "omega 1" in name:
        config.mapping.weight_scaling_omega = 1.0
    if "every scale" in name:
        config.modifier.std_dev = 0.1
        config.mapping = api.MappingParameter(
            weight_scaling_omega=1.0, weight_scaling_columnwise=False, learn_out_scaling=True,
            out_scaling_columnwise=True, max_input_size=512, max_output_size=512,
        )  # fmt: skip
        config.noise_model = api.PCMLikeNoiseModel(g_max=25.0)
        config.remap.type = api.WeightRemapType.CHANNELWISE_SYMMETRIC
        config.clip.type, config.clip.sigma = api.WeightClipType.LAYER_GAUSSIAN, 2.5
        config.forward.noise_management = api.NoiseManagementType.NONE
        config.forward.bound_management = api.BoundManagementType.NONE
        config.forward.out_bound = 10.0
        ranges = config.pre_post.input_range
        ranges.enable, ranges.decay, ranges.input_min_percentage = True, 0.001, 0.95
    return config


def main() -> None:
    side, data, name, seed = sys.argv[1], np.load(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    api, kind = classes(side), name.split(",")[0]
    x, y = torch.from_numpy(data["train_x"]), torch.from_numpy(data["train_y"])
    digital = lenet5()
    torch.manual_seed(seed)
    model = api.convert_to_analog(digital, configuration(api, name))
    optimizer = api.AnalogSGD(model.parameters(), lr=RATES[kind])
    if side == "aihwkit":
        optimizer.regroup_param_groups(model)
    order = torch.Generator().manual_seed(seed)
    for _ in range(EPOCHS[kind]):
        model.train()
        for batch in torch.randperm(len(x), generator=order).split(BATCH):
            optimizer.zero_grad()
            nn.functional.nll_loss(model(x[batch]), y[batch]).backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        classified = model(torch.from_numpy(data["test_x"])).argmax(dim=1)
    print((classified == torch.from_numpy(data["test_y"])).float().mean().item())


if __name__ == "__main__":
    main()
