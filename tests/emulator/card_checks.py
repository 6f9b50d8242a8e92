"""A small network on a card against processors. Run as a script for Triton's interpreter:

TRITON_INTERPRET=1 python card_checks.py
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

import crossgrid as cg

CONFIG = cg.SingleRPUConfig(mapping=cg.MappingParameter(max_output_size=3, max_input_size=6))


def trained(device: str, backend: str, steps: int, batch: int) -> dict[str, Any]:
    """Outputs, input gradient and weights of three tiles in two layers: a convolution and a linear layer."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(1, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3))
    model = cg.convert_to_analog(net, CONFIG)
    optimizer = cg.AnalogSGD(model.parameters(), lr=0.1)
    data = torch.Generator().manual_seed(2)
    x = torch.rand(batch, 1, 3, 3, generator=data).requires_grad_()
    with cg.emulate(model, backend=backend, device=device):
        for _ in range(steps):
            optimizer.zero_grad()
            y = model(x)
            nn.functional.cross_entropy(y, torch.arange(batch) % 3).backward()
            optimizer.step()
    assert x.grad is not None
    weights = np.concatenate([w.ravel() for w, _ in (layer.get_weights() for layer in (model[0], model[3]))])
    return {"y": y.detach().numpy(), "grad": x.grad.numpy(), "weights": weights}


def check_network(backend: str = "local", steps: int = 1, batch: int = 2) -> None:
    """Equal up to float32's rounding; a pulse more or less where a value sat at a threshold is rare."""
    wanted, there = (trained(device, backend, steps, batch) for device in ("cpu", "cuda"))
    for name, tolerance in (("y", 1e-4), ("grad", 1e-4), ("weights", 1e-5)):
        difference = np.abs(wanted[name] - there[name])
        assert np.mean(difference > tolerance) <= 0.05, (name, difference)
    assert np.abs(wanted["weights"] - there["weights"]).max() < 0.01  # some steps of 0.001


def main() -> None:
    """A step of training."""
    check_network()
    print("agrees")


if __name__ == "__main__":
    main()
