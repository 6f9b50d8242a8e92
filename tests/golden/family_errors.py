"""How far a family's model with exact analog layers is from its digital self, and what of it is on tiles."""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

import crossgrid as cg
from crossgrid.emulator.model.analog_model import analog_matrices
from crossgrid.emulator.model.kinds import why_digital

#: a step that moves weights by about as much as they are large
RATE = 0.5


@dataclass(frozen=True)
class Errors:
    """Largest differences, each in units of the largest number that it is a difference of."""

    forward: float
    gradient: float  # of all parameters that are digital in both models
    step: float  # of all parameters after one step


@dataclass(frozen=True)
class Held:
    """Which part of a model's weights is on tiles, and where the others are."""

    on_tiles: float
    digital: dict[str, float]  # by what holds them


def compared(
    digital: nn.Module, inputs: dict[str, Tensor], training: bool, past: tuple[str, ...] = ()
) -> Errors:
    """One step of a digital model and of its exact analog twin."""
    analog = converted(digital, past)
    outputs, gradients = [], []
    for model, optimizer in ((copy.deepcopy(digital), torch.optim.SGD), (analog, cg.AnalogSGD)):
        model.train(training)
        steps = optimizer(model.parameters(), lr=RATE)
        torch.manual_seed(1)  # some put the pieces of an image in random order
        y = first(model(**inputs))
        (y * torch.linspace(-1, 1, y.numel()).reshape(y.shape)).mean().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters()})
        steps.step()
        outputs.append((y.detach(), {n: p.detach().clone() for n, p in model.named_parameters()}))
    (theirs, their_weights), (ours, our_weights) = outputs
    shared = [n for n, p in analog.named_parameters() if not isinstance(p, cg.AnalogContext)]
    pairs = [(gradients[1][n], gradients[0][n]) for n in shared if gradients[0][n] is not None]
    # a key's bias, or one before a normalization, has a gradient of zero: what rounding leaves says nothing;
    # docs/families.md derives the floors and the limit
    floor = 0.01 * max(float(their.abs().max()) for _, their in pairs)
    return Errors(
        relative(ours, theirs),
        max(relative(our, their, floor) for our, their in pairs),
        max(relative(our_weights[n], their_weights[n], 0.01) for n in their_weights),
    )


def relative(ours: Tensor, theirs: Tensor, floor: float = 1e-12) -> float:
    """The largest difference in units of the largest number."""
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=floor))


def held(digital: nn.Module, past: tuple[str, ...] = ()) -> Held:
    """Where a model's weights are after conversion."""
    analog = converted(digital, past)
    total = sum(p.numel() for p in analog.parameters())
    on_tiles = sum(matrix.weight.numel() for _, matrix in analog_matrices(analog))
    rest: Counter[str] = Counter()
    counted: set[int] = set()  # a parameter that is shared is one
    for module in analog.modules():
        for p in module._parameters.values():
            if p is not None and not isinstance(p, cg.AnalogContext) and id(p) not in counted:
                counted.add(id(p))
                rest[_holder(module)] += p.numel()
    return Held(on_tiles / total, {name: count / total for name, count in rest.most_common()})


def converted(digital: nn.Module, past: tuple[str, ...]) -> nn.Module:
    """The exact analog twin; that layers stay digital may be said, nothing else."""
    excluded = [name for name, _ in digital.named_modules() if name.rpartition(".")[2] in past]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        analog = cg.convert_to_analog(digital, cg.FloatingPointRPUConfig(), exclude_modules=excluded)
    assert all("stay" in str(each.message) for each in told), [str(each.message) for each in told]
    return analog


def first(output: object) -> Tensor:
    """The first tensor of numbers that a model gives."""
    found: Tensor = next(
        leaf for leaf in tree_leaves(dict(output)) if leaf.is_floating_point() and leaf.dim() > 1
    )
    return found


def _holder(module: nn.Module) -> str:
    """What a digital weight belongs to, with the reason where its module multiplies by it."""
    name = type(module).__name__
    if name.startswith("Analog"):
        return "biases"
    if "Norm" in name:
        return "normalization"
    if isinstance(module, nn.Embedding):
        return "embeddings: looked up"
    return f"{name}: {why_digital(module) or 'its weight is read past it'}"
