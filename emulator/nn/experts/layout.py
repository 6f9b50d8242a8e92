"""How a module multiplies by its parameters [experts, ...]: found out by a trial with zeros."""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from .stacks import ExpertStack, refused


def stacks_of(module: nn.Module) -> dict[str, Tensor]:
    """The parameters of a module itself that may be stacks of matrices."""
    return {
        name: p
        for name, p in module._parameters.items()
        if p is not None
        and not isinstance(p, nn.parameter.UninitializedParameter)
        and p.dim() == 3
        and min(p.shape) > 1
    }


def layout_of(module: nn.Module) -> dict[str, bool] | None:
    """For each stack of ``module``, in the order of use, whether a slice is [in, out]; None: it is not known.

    The module's forward pass runs on a copy, with zeros in place of all other parameters, and inputs of the
    shapes that experts take. It is known if it multiplies by every stack, always the same way round.
    """
    stacks = stacks_of(module)
    if not stacks:
        return None
    experts = min(p.shape[0] for p in stacks.values())  # some have places for experts that do nothing
    widths = dict.fromkeys(size for p in stacks.values() for size in (p.shape[2], p.shape[1]))
    with torch.random.fork_rng(devices=[]), torch.no_grad(), torch.device("cpu"):
        trial = _trial_copy(module, stacks)
        for width, inputs in itertools.product(widths, _inputs(type(module), experts)):
            found = _tried(trial, stacks, inputs(width))
            if found is not None:
                return found
    return None


def _tried(trial: nn.Module, stacks: dict[str, Tensor], inputs: tuple[Any, ...]) -> dict[str, bool] | None:
    """How the stacks are used for the inputs; None where the pass fails or does not use them all."""
    found: dict[str, bool] = {}

    def reading(name: str) -> ExpertStack:
        def read(expert: int, x: Tensor, inputs_first: bool) -> Tensor:
            out, in_ = stacks[name].shape[1:]
            out, in_ = (in_, out) if inputs_first else (out, in_)
            if found.setdefault(name, inputs_first) is not inputs_first or x.shape[-1] != in_:
                raise refused(name, "a product both ways round")
            return x.new_zeros(*x.shape[:-1], out)

        return ExpertStack(name, stacks[name], read)

    try:
        output = with_stacks(type(trial), trial.__dict__, {n: reading(n) for n in stacks}, inputs, {})
    except Exception:
        return None
    return found if {*found} == {*stacks} and isinstance(output, Tensor) else None


def with_stacks(
    kind: Any,
    state: dict[str, Any],
    stacks: dict[str, ExpertStack],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """What the class ``kind`` computes with a module's state (its ``__dict__``) and stacks as parameters."""
    stand_in = object.__new__(kind)
    stand_in.__dict__.update(state)
    stand_in.__dict__.update(stacks)
    config = state.get("config")
    if hasattr(config, "_experts_implementation_internal"):  # Hugging Face's; others pass the slices by
        config = copy.copy(config)
        config.__dict__["_experts_implementation_internal"] = "eager"
        stand_in.__dict__["config"] = config
    return kind.forward(stand_in, *args, **kwargs)


def _trial_copy(module: nn.Module, stacks: dict[str, Tensor]) -> nn.Module:
    """The module on a processor with zeros for numbers, its stacks left out."""
    trial = copy.deepcopy(module, {id(p): None for p in stacks.values()})
    for part in trial.modules():
        for kept in (part._parameters, part._buffers):
            for name, own in kept.items():
                if own is not None:
                    zeros = torch.zeros(
                        own.shape, dtype=torch.float32 if own.is_floating_point() else own.dtype
                    )
                    kept[name] = zeros  # type: ignore[assignment]
    return trial


def _inputs(kind: Any, experts: int) -> Iterator[Any]:
    """What experts may be called with, as functions of the tokens' width.

    Tokens, to which experts they go and with which weight, or how many tokens each expert has, in the orders
    that the signature leaves room for.
    """
    parameters = [
        p for p in inspect.signature(kind.forward).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD
    ][1:]
    tokens = 2 * experts
    index = torch.tensor([0, experts - 1]).expand(tokens, 2)  # the first and the last
    weights, dense = torch.ones(tokens, 2), torch.ones(tokens, experts) / experts
    sizes: list[Any] = [torch.full((experts,), 2), [2] * experts]
    others: dict[int, list[tuple[Any, ...]]] = {
        1: [()],
        2: [(size,) for size in sizes] + [(index,), (dense,)],
        3: [(index, weights), (weights, index), (dense, index), (index, dense)],
    }
    for shape, rest in itertools.product(((tokens,), (1, tokens)), others.get(len(parameters), [])):
        yield lambda width, shape=shape, rest=rest: (torch.zeros(*shape, width), *rest)
