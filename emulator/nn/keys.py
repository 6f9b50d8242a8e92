"""The keys of layers: what everything random in a layer follows from, where no seed is given.

A key is a function of torch's default generator as it stands, which is left there: a layer draws the initial
weights of its torch twin, and nothing else. So a model that is built twice after the same
``torch.manual_seed`` is the same model. Two layers made one after the other differ, as the first one's
weights move the generator on. In a conversion, too: each twin draws weights before it takes those of its
model, so a layer's key follows from its name and weights and from the layers that are converted before it.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crossgrid.kernels.errors import ConfigError

from ..analog_matrix.conversions import as_array
from .deferral import is_deferring, present_conversion

#: stands for the key of a layer whose numbers are not known yet
UNKNOWN = 0


def new_key(name: str, numbers: Iterable[Tensor] = (), generator: Tensor | None = None) -> int:
    """A 63-bit key from a state of torch's generator, the present one if not given, a name and numbers.

    Raises:
        ConfigError: the layer is built by itself within ``cg.deferred()``, where no weights are drawn that
            would tell it from the next one.
    """
    if is_deferring():
        raise ConfigError(
            f"{name} is built within cg.deferred(): give it a seed=, or build torch's layers there and call "
            "cg.convert_to_analog(model, rpu_config)"
        )
    state = torch.get_rng_state() if generator is None else generator
    digest = hashlib.blake2b(state.numpy().tobytes(), digest_size=8)
    digest.update(name.encode())
    for tensor in numbers:
        digest.update(np.ascontiguousarray(as_array(tensor)).data)
    return int.from_bytes(digest.digest(), "little") >> 1


def as_key(seed: Any) -> int:
    """A seed, of Python's or numpy's whole numbers.

    Raises:
        ConfigError: it is none, or has more than 64 bits.
    """
    try:
        key = operator.index(seed)
    except TypeError:
        raise ConfigError(f"seed = {seed!r:.80} must be a whole number") from None
    if not -(1 << 63) <= key < 1 << 64:
        raise ConfigError(f"seed = {key} must be at least -2**63 and less than 2**64")
    return key


def key_of(module: nn.Module, name: str) -> int:
    """The key of the analog twin of ``module``, which is called ``name`` in its model."""
    conversion = present_conversion()
    if conversion is None:
        return new_key(name, module.parameters())
    conversion.add(module, name)
    return UNKNOWN
