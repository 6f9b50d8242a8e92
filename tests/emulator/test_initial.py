"""Torch's generator behind initial weights that nobody drew stands where drawing them would leave it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from crossgrid.emulator.nn.initial import pass_over

LAYERS: dict[str, Callable[[], object]] = {
    "nothing": lambda: None,
    "a linear layer": lambda: nn.Linear(63, 100),
    "one of a whole turn": lambda: nn.Linear(624, 1, bias=False),
    "one word less": lambda: nn.Linear(623, 1, bias=False),
    "without a bias, many turns": lambda: nn.Linear(1000, 333, bias=False),
    "a convolution": lambda: nn.Conv2d(3, 16, 5),
    "a transposed one in groups": lambda: nn.ConvTranspose2d(4, 8, 3, groups=2),
    "two inputs": lambda: nn.Bilinear(7, 9, 11),
    "a recurrent layer": lambda: nn.LSTM(17, 33, num_layers=2, bidirectional=True),
    "a cell": lambda: nn.GRUCell(5, 6),
    "64 bits": lambda: nn.Linear(63, 100, dtype=torch.float64),
    "half precision": lambda: nn.Linear(63, 100, dtype=torch.bfloat16),
    "numbers that are not uniform": lambda: nn.Embedding(20, 30),
    "both kinds": lambda: (nn.Linear(30, 40), nn.Embedding(20, 30), nn.Linear(3, 4)),
}


@pytest.mark.parametrize("drawn", [0, 1, 400, 623, 624, 1000])
@pytest.mark.parametrize("layer", LAYERS)
def test_the_generator_stands_where_drawing_would_leave_it(layer: str, drawn: int) -> None:
    def numbers(move: Callable[[], object]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        torch.manual_seed(5)
        torch.rand(drawn)
        move()
        state = torch.get_rng_state()
        return state, torch.rand(2000), torch.randn(50)

    for passed, truth in zip(numbers(lambda: pass_over(LAYERS[layer])), numbers(LAYERS[layer]), strict=True):
        assert torch.equal(passed, truth)
