"""Write aihwkit_checkpoint.pt: the state of a small model of aihwkit, and what it computes.

Run it with a Python that has aihwkit 1.1.0 (CPython 3.11, torch 2.10): ``python make_checkpoint.py``.
"""

from __future__ import annotations

from pathlib import Path

import torch
from aihwkit.nn import AnalogLinear, AnalogSequential
from aihwkit.simulator.configs import InferenceRPUConfig, IOParameters, MappingParameter, SingleRPUConfig

if __name__ == "__main__":
    torch.manual_seed(1)
    perfect = IOParameters(is_perfect=True)
    pulsed = SingleRPUConfig(forward=perfect, mapping=MappingParameter(weight_scaling_omega=0.6))
    trained = InferenceRPUConfig(
        forward=perfect, mapping=MappingParameter(weight_scaling_omega=1.0, learn_out_scaling=True)
    )
    trained.pre_post.input_range.enable = True
    trained.pre_post.input_range.init_value = 0.4
    trained.pre_post.input_range.init_from_data = 0
    model = AnalogSequential(AnalogLinear(4, 3, rpu_config=pulsed), AnalogLinear(3, 2, rpu_config=trained))
    next(model[1].analog_tiles()).out_scaling_alpha.data[:] = 1.5
    x = torch.linspace(-1.0, 1.0, 8).reshape(2, 4)
    state = model.eval().state_dict()
    state["test.x"], state["test.y"] = x, model(x).detach()
    torch.save(state, Path(__file__).with_name("aihwkit_checkpoint.pt"))
