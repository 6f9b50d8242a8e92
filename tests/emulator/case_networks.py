"""Networks and configurations of the tests of cases."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

import crossgrid as cg


def exact(**changes: Any) -> cg.FloatingPointRPUConfig:
    return cg.FloatingPointRPUConfig(**changes)


def perfect(**changes: Any) -> cg.InferenceRPUConfig:
    """Inference with perfect reads, without compensation unless asked for."""
    return cg.InferenceRPUConfig(
        **{"forward": cg.IOParameters(is_perfect=True), "drift_compensation": None, **changes}
    )


def largest(a: Tensor, b: Tensor) -> float:
    return (a - b).abs().max().item()


def perceptron() -> nn.Sequential:
    return nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 3))


def convolutions() -> nn.Sequential:
    return nn.Sequential(nn.Unflatten(1, (1, 4, 5)), nn.Conv2d(1, 4, 2), nn.Flatten(), nn.Linear(48, 3))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.out = nn.LSTM(5, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.rnn(x.reshape(len(x), 4, 5).transpose(0, 1))[0][-1])


NETWORKS = {"linear": perceptron, "convolution": convolutions, "recurrent": Recurrent}
