"""A small network on a card against processors. Run as a script for Triton's interpreter:

TRITON_INTERPRET=1 python card_checks.py
"""

from __future__ import annotations

import copy
import tempfile
from typing import Any

import numpy as np
import torch
from torch import nn

import crossgrid as cg

# short trains: the interpreter takes a tenth of a second for each slot
CONFIG = cg.SingleRPUConfig(
    mapping=cg.MappingParameter(max_output_size=3, max_input_size=4),
    update=cg.UpdateParameters(desired_bl=3),
)


def linear_net() -> nn.Module:
    """Two layers in three tiles."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 3))


def convolution_net() -> nn.Module:
    """A convolution and a linear layer for images of 3 x 3."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3))


def weights_of(model: nn.Module) -> np.ndarray:
    """The weights of all layers."""
    layers = [layer for layer in model if hasattr(layer, "get_weights")]
    return np.concatenate([np.ravel(layer.get_weights()[0]) for layer in layers])


def trained(net: nn.Module, size: tuple[int, ...], where: dict[str, str], steps: int) -> dict[str, Any]:
    """Outputs, input gradient and weights of a network of two layers after training it on a batch."""
    torch.manual_seed(3)  # the layers' keys
    model = cg.convert_to_analog(copy.deepcopy(net), CONFIG)
    before = weights_of(model)
    optimizer = cg.AnalogSGD(model.parameters(), lr=0.1)
    data = torch.Generator().manual_seed(2)
    x = torch.rand(*size, generator=data).requires_grad_()
    with cg.emulate(model, **where):
        for _ in range(steps):
            optimizer.zero_grad()
            y = model(x)
            nn.functional.cross_entropy(y, torch.arange(len(x)) % 3).backward()
            optimizer.step()
    assert x.grad is not None
    weights = weights_of(model)
    assert not np.array_equal(weights, before)
    return {"y": y.detach().numpy(), "grad": x.grad.numpy(), "weights": weights}


def check_network(net: nn.Module, size: tuple[int, ...], backend: str = "local", steps: int = 1) -> None:
    """Equal up to float32's rounding; a pulse more or less where a value sat at a threshold is rare."""
    wanted, there = (
        trained(net, size, {"backend": backend, "device": device}, steps) for device in ("cpu", "cuda")
    )
    for name, tolerance in (("y", 1e-4), ("grad", 1e-4), ("weights", 1e-5)):
        difference = np.abs(wanted[name] - there[name])
        assert np.mean(difference > tolerance) <= 0.05, (name, difference)
    assert np.abs(wanted["weights"] - there["weights"]).max() < 0.01  # some steps of 0.001


def check_restored() -> None:
    """A run that was saved on processors goes on on the card, with the same weights."""
    x = torch.linspace(-1, 1, 10).reshape(2, 5)
    model = cg.convert_to_analog(linear_net(), CONFIG)
    other = cg.convert_to_analog(linear_net(), CONFIG)
    with tempfile.TemporaryDirectory() as folder:
        with cg.emulate(model) as running:
            running.save(folder)
            wanted = running.infer(x)
        with cg.restore(folder, other, device="cuda") as running:
            assert running.executor.worker.device == "cuda"
            assert np.array_equal(weights_of(other), weights_of(model))
            torch.testing.assert_close(running.infer(x), wanted, rtol=0, atol=1e-4)


def main() -> None:
    """A step of training, and a restored run."""
    check_network(linear_net(), (2, 5))
    check_restored()
    print("agrees")


if __name__ == "__main__":
    main()
