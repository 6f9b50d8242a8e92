"""A small network, and a training of it, that several tests put in different places."""

from __future__ import annotations

import torch
from torch import nn

import crossgrid as cg

CONFIG = cg.SingleRPUConfig(mapping=cg.MappingParameter(max_output_size=12, max_input_size=16))
TILES = 1 + 2 * 3 + 1 * 2


class SmallNet(nn.Module):
    """A convolution and two linear layers: nine tiles when cut at 12 x 16."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2))
        self.hidden = nn.Linear(36, 20)
        self.out = nn.Linear(20, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.tanh(self.hidden(self.features(x).flatten(1))))


def small_net(seed: int, config: cg.SingleRPUConfig = CONFIG) -> tuple[nn.Module, cg.AnalogSGD]:
    """The network on tiles, and its optimizer."""
    torch.manual_seed(seed)
    model = cg.convert_to_analog(SmallNet(), config)
    return model, cg.AnalogSGD(model.parameters(), lr=0.1, momentum=0.5)


def batch(number: int, size: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and classes: the batch ``number`` of the training data."""
    data = torch.Generator().manual_seed(number)
    return torch.rand(size, 1, 6, 6, generator=data), torch.randint(4, (size,), generator=data)


def train(model: nn.Module, optimizer: cg.AnalogSGD, numbers: range) -> None:
    """A plain loop over the batches ``numbers``."""
    for number in numbers:
        x, y = batch(number)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
