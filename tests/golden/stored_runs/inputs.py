"""What stored runs are fed with: numbers that any processor computes alike, and the runs' common steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import crossgrid as cg
from crossgrid.emulator.model.analog_model import analog_matrices

#: what a run leaves: name -> float32 array
Results = dict[str, Any]

OUT, IN, BATCH = 13, 21, 6  # full lanes of eight and a rest in every direction
SEED = 20240229
RATE = 2.0**-4

#: under which names values were stored that are called otherwise by now
STORED_AS = {"decay_scales": "decay_scale", "diffusion_rates": "diffusion_rate"}


def numbers(*shape: int, start: int = 0, scale: float = 1.0) -> Tensor:
    """Multiples of scale / 128 in [-scale, scale), scattered by Murmur3's mixing of integers: exact."""
    count = int(np.prod(shape))
    hashed = np.arange(start, start + count, dtype=np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        hashed = (hashed ^ (hashed >> np.uint32(shift))) * np.uint32(factor)
    levels = (hashed >> np.uint32(24)).astype(np.float32) - np.float32(128.0)
    return torch.from_numpy((levels * np.float32(scale / 128.0)).reshape(shape))


def new_tile(config: Any, out_size: int = OUT, in_size: int = IN, scale: float = 0.5) -> cg.AnalogTile:
    """A tile that weights were written to."""
    tile = cg.AnalogTile(out_size, in_size, config, seed=SEED)
    tile.set_weights(numbers(out_size, in_size, start=5, scale=scale))
    return tile


def pulsed(tile: cg.AnalogTile, batches: int = 3, rate: float = RATE) -> cg.AnalogTile:
    """The tile after ``batches`` mini-batches of updates."""
    for k in range(batches):
        x = numbers(BATCH, tile.in_size, start=1000 + 200 * k)
        d = numbers(BATCH, tile.out_size, start=3000 + 200 * k)
        tile.update(x, d, rate)
    return tile


def held(tile: cg.AnalogTile) -> Results:
    """What the tile's devices are and hold."""
    hidden = tile.get_hidden_parameters()
    return {"weights": tile.get_weights(), **{STORED_AS.get(name, name): v for name, v in hidden.items()}}


def both_reads(tile: cg.AnalogTile, times: int = 2) -> Results:
    """Forward and backward products, read after read."""
    x, d = numbers(BATCH, tile.in_size, start=700), numbers(BATCH, tile.out_size, start=900)
    x[1], d[2], d[3] = x[1] * 0.25, d[2] * 0.0, d[3] * 0.5 - 0.5
    found: Results = {}
    for k in range(times):
        found[f"forward {k}"], found[f"backward {k}"] = tile.forward(x), tile.backward(d)
    return found


def with_weights(model: nn.Module, scale: float = 0.5) -> nn.Module:
    """The model with weights that do not depend on torch's generator."""
    for k, (_, matrix) in enumerate(analog_matrices(model)):
        matrix.set_weights(numbers(*matrix.grid.spec.weight_shape, start=11 + 500 * k, scale=scale))
    return model


def trained(model: nn.Module, x: Tensor, steps: int = 2) -> Results:
    """Outputs, input gradients and weights of a few steps with gradients that are fed, not computed."""
    optimizer = cg.AnalogSGD(model.parameters(), lr=RATE)
    found: Results = {}
    for k in range(steps):
        optimizer.zero_grad()
        x = x.detach().requires_grad_(True)
        y = model(x)
        y = y[0] if isinstance(y, tuple) else y
        y.backward(numbers(*y.shape, start=40 + 300 * k))
        optimizer.step()
        found[f"y {k}"], found[f"z {k}"] = y.detach(), x.grad
    return {**found, **weights_of(model)}


def weights_of(model: nn.Module) -> Results:
    """Every layer's weights, by the layer's name."""
    return {f"weights {name}": weight for name, weight in cg.analog_weights(model).items()}
