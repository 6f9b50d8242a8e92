"""Dropout whose masks have addresses: the step's key, the layer's name, the micro-batch, the element.

A step through micro-batches may compute these at once, or in other processes; torch's generator would give
their masks in the order of arrival. With addresses a mask is the same wherever and whenever it is drawn.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd
from torch.overrides import handle_torch_function, has_torch_function_unary

from crossgrid.kernels.errors import ConfigError

from ..analog_matrix.mini_batch import recomputes

#: the number of the micro-batch that this thread computes
MICRO_BATCH: ContextVar[int] = ContextVar("dropout_micro_batch", default=0)

#: what SELU tends to for small inputs: what alpha dropout puts in the place of what it drops
SELU_FLOOR = -1.0507009873554805 * 1.6732632423543772

#: axes that share their fate with their channel
CHANNELS = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.FeatureAlphaDropout)
UNBATCHED = {nn.Dropout1d: 2, nn.Dropout3d: 4}  # axes of an input without samples, where there may be one


def dropouts(model: nn.Module) -> dict[str, _DropoutNd]:
    """The dropout layers of a model that drop something now, by name."""
    found = ((name, module) for name, module in model.named_modules() if isinstance(module, _DropoutNd))
    return {name: module for name, module in found if module.training and module.p > 0}


def step_key(model: nn.Module) -> int | None:
    """A step's key, drawn from torch's generator; None where nothing is dropped."""
    return int(torch.randint(2**63 - 1, ()).item()) if dropouts(model) else None


@contextlib.contextmanager
def addressed(model: nn.Module, key: int | None) -> Iterator[None]:
    """Inside, the dropout layers of ``model`` drop what the addresses say, of a step of this key."""
    layers = {} if key is None else dropouts(model)
    for name, layer in layers.items():
        layer.forward = _dropping(name, layer, key or 0)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers.values():
            vars(layer).pop("forward", None)


@contextlib.contextmanager
def of_micro_batch(number: int) -> Iterator[None]:
    """Inside, this thread computes that micro-batch."""
    token = MICRO_BATCH.set(number)
    try:
        yield
    finally:
        MICRO_BATCH.reset(token)


def _dropping(name: str, layer: _DropoutNd, key: int) -> Callable[[Tensor], Tensor]:
    calls: Counter[int] = Counter()  # by micro-batch

    def forward(x: Tensor) -> Tensor:
        number = MICRO_BATCH.get()
        if recomputes():
            if calls[number] > 1:
                raise ConfigError(
                    f"{name}: a dropout layer that is called {calls[number]} times cannot be computed again "
                    "by activation checkpointing; use a layer of its own at each place, or p=0"
                )
            call = 0
        else:
            call, calls[number] = calls[number], calls[number] + 1
        return _dropped(x, layer, _seed(key, name, number, call))

    return forward


def _seed(*address: Any) -> int:
    digest = hashlib.blake2b(repr(address).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def _dropped(x: Tensor, layer: _DropoutNd, seed: int) -> Tensor:
    """As torch's layer of this class, with the mask of ``seed``, in a tensor of its own.

    One operation for whoever counts operations, with and without numbers.
    """
    if has_torch_function_unary(x):
        dropped: Tensor = handle_torch_function(_dropped, (x,), x, layer, seed)
        return dropped
    if x.is_meta:
        return torch.empty_like(x)
    kept, shape = 1.0 - layer.p, list(x.shape)
    if isinstance(layer, CHANNELS):
        channels = 0 if x.dim() == UNBATCHED.get(type(layer)) else 1
        shape[channels + 1 :] = [1] * (len(shape) - channels - 1)
    mask = torch.empty(shape).bernoulli_(kept, generator=torch.Generator().manual_seed(seed)).to(x)
    if not isinstance(layer, (nn.AlphaDropout, nn.FeatureAlphaDropout)):
        return x * (mask / kept) if kept > 0 else x * 0.0
    if kept == 0:
        return x * 0.0
    scale = 1.0 / math.sqrt((SELU_FLOOR**2 * layer.p + 1.0) * kept)
    return (x * mask + SELU_FLOOR * (1.0 - mask)) * scale - scale * SELU_FLOOR * layer.p
