"""Write twins.json: one training step of one layer in aihwkit, for every case of ``twin_cases``.

Run it with a Python that has aihwkit 1.1.0 (CPython 3.11, torch 2.10): ``python make_twins.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from aihwkit import __version__
from aihwkit.nn import AnalogLinear
from aihwkit.optim import AnalogSGD
from aihwkit.simulator import configs, parameters
from aihwkit.simulator.parameters import enums
from twin_cases import CASES, IN_SIZE, OUT_SIZE, RATE, configuration, numbers

API = SimpleNamespace(**{**vars(enums), **vars(parameters), **vars(configs)})


def step(case: dict[str, Any]) -> dict[str, Any]:
    """The outputs, the gradients and the weights [out, in] after the step, with all scales."""
    w, x, d = (torch.from_numpy(values) for values in numbers())
    layer = AnalogLinear(IN_SIZE, OUT_SIZE, bias=False, rpu_config=configuration(API, case))
    layer.set_weights(w)
    optimizer = AnalogSGD(layer.parameters(), lr=RATE)
    optimizer.regroup_param_groups(layer)
    x.requires_grad_()
    y = layer(x)
    y.backward(d)
    (tile,) = layer.analog_tiles()
    found = {"y": y.tolist(), "x_grad": x.grad.tolist()}
    if tile.input_range is not None:
        found["range_grad"] = tile.input_range.grad.tolist()
    optimizer.step()
    if tile.out_scaling_alpha is not None:
        found["learned"] = tile.out_scaling_alpha.tolist()
    found["weights"] = layer.get_weights()[0].tolist()
    return found


if __name__ == "__main__":
    golden = {"aihwkit": __version__, "cases": {name: step(case) for name, case in CASES.items()}}
    target = Path(__file__).with_name("twins.json")
    target.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")
