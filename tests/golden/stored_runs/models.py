"""Layers and models of analog layers alone: cut, pipelined, late, saved and restored."""

from __future__ import annotations

import tempfile
from functools import partial
from typing import Any

from torch import Tensor, nn

import crossgrid as cg

from .inputs import RATE, SEED, Results, numbers, trained, weights_of, with_weights

BATCH = 8  # a micro-batch's share of it is exact


def learning(max_size: int = 512) -> cg.SingleRPUConfig:
    """Devices and converters with everything that is on by default, on tiles of limited size."""
    mapping = cg.MappingParameter(max_input_size=max_size, max_output_size=max_size)
    return cg.SingleRPUConfig(device=cg.SoftBoundsDevice(dw_min=0.01), mapping=mapping)


def linear(in_size: int = 20, out_size: int = 18, max_size: int = 512, key: int = 0) -> Any:
    """A layer with weights."""
    layer = cg.AnalogLinear(in_size, out_size, bias=False, rpu_config=learning(max_size), seed=SEED + key)
    return with_weights(layer)


def stack(key: int = 0) -> nn.Module:
    """Two layers in a row, of several tiles each."""
    layers = (linear(20, 18, 8, 1 + key), linear(18, 7, 8, 2 + key))
    return with_weights(cg.AnalogSequential(*layers))


def fed(y: Tensor, gradient: Tensor) -> Tensor:
    """A loss whose gradient is ``gradient``; the sum itself is not stored."""
    return (y * gradient).sum()


def cut_layer() -> Results:
    """A layer on 3 x 3 tiles: partial sums in block order."""
    return trained(linear(max_size=8), numbers(BATCH, 20, start=81))


def scaled_layer() -> Results:
    """Weights that tiles hold by a digital factor for each output."""
    config = learning(8)
    config.mapping.weight_scaling_omega, config.mapping.weight_scaling_columnwise = 0.5, True
    layer = cg.AnalogLinear(20, 18, bias=False, rpu_config=config, seed=SEED)
    return trained(with_weights(layer, scale=2.0), numbers(BATCH, 20, start=81))


def convolution() -> Results:
    """Patches of padded images in two groups of channels, moved by two, on cut tiles."""
    layer = cg.AnalogConv2d(
        4, 6, 3, stride=2, padding=1, groups=2, bias=False, rpu_config=learning(8), seed=SEED
    )
    return trained(with_weights(layer), numbers(3, 4, 9, 7, start=91))


def convolutions_of_signals_and_volumes() -> Results:
    """One and three dimensions, dilated."""
    signal = cg.AnalogConv1d(3, 5, 3, dilation=2, bias=False, rpu_config=learning(), seed=SEED)
    volume = cg.AnalogConv3d(2, 3, 2, bias=False, rpu_config=learning(), seed=SEED)
    return {
        **{f"1d {name}": v for name, v in trained(with_weights(signal), numbers(2, 3, 12, start=5)).items()},
        **{f"3d {n}": v for n, v in trained(with_weights(volume), numbers(2, 2, 4, 3, 3, start=6)).items()},
    }


def recurrent() -> Results:
    """A network of rectifiers, whose digital part is exact, over four steps in both directions."""
    network = cg.AnalogRNN(
        9, 10, nonlinearity="relu", bias=False, bidirectional=True, rpu_config=learning(8), seed=SEED
    )
    return trained(with_weights(network), numbers(4, 3, 9, start=101))


def on_a_chip() -> Results:
    """A layer cut by a chip's crossbars and read by its converters."""
    layer = linear(150, 140)
    with cg.emulate(layer, "demo-128"):
        return trained(layer, numbers(BATCH, 150, start=111))


def train(emulation: cg.Emulation, optimizer: Any, steps: range, micro_batches: int = 1) -> None:
    """Steps with the numbers of the run's step ``k``."""
    for k in steps:
        x, gradient = numbers(BATCH, 20, start=120 + 300 * k), numbers(BATCH, 7, start=140 + 300 * k)
        emulation.train_step(x, gradient, fed, optimizer, micro_batches)


def pipelined() -> Results:
    """Steps of four micro-batches in flight, and inference with three."""
    model = stack()
    optimizer = cg.AnalogSGD(model.parameters(), lr=RATE)
    with cg.emulate(model) as emulation:
        train(emulation, optimizer, range(2), micro_batches=4)
        y = emulation.infer(numbers(13, 20, start=131), micro_batch=2, depth=3)
    return {"y": y, **weights_of(model)}


def delayed() -> Results:
    """Updates that are late by two steps."""
    model = stack()
    optimizer = cg.AnalogSGD(model.parameters(), lr=RATE)
    with cg.emulate(model, update_delay=2) as emulation:
        train(emulation, optimizer, range(4))
        before = weights_of(model)
    return {**before, **{f"applied {name}": weight for name, weight in weights_of(model).items()}}


def saved(from_disk: bool) -> Results:
    """A run that goes on from a directory, or from a ``state_dict``, in a model with other devices."""
    first, second = stack(), stack(key=100)
    optimizer = cg.AnalogSGD(first.parameters(), lr=RATE)
    later = cg.AnalogSGD(second.parameters(), lr=RATE)
    with tempfile.TemporaryDirectory() as directory:
        with cg.emulate(first) as emulation:
            train(emulation, optimizer, range(2))
            emulation.save(directory)
        if not from_disk:
            second.load_state_dict(first.state_dict())
        with cg.restore(directory, second) if from_disk else cg.emulate(second) as emulation:
            train(emulation, later, range(2, 4))
    return weights_of(second)


RUNS = {
    "cut-layer": cut_layer,
    "scaled-layer": scaled_layer,
    "convolution": convolution,
    "convolutions-of-signals-and-volumes": convolutions_of_signals_and_volumes,
    "recurrent-network": recurrent,
    "layer-on-a-chip": on_a_chip,
    "pipelined-run": pipelined,
    "delayed-run": delayed,
    "restored-run": partial(saved, True),
    "run-of-a-state-dict": partial(saved, False),
}
