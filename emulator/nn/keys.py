"""The keys of layers: what everything random in a layer follows from, where no seed is given.

A key is a function of torch's default generator as it stands, which is left there: a layer draws the initial
weights of its torch twin, and nothing else. So a model that is built twice after the same
``torch.manual_seed`` is the same model. Two layers made one after the other differ, as the first one's
weights move the generator on; where none are drawn (a conversion), their names and weights make them differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ..analog_matrix.conversions import as_array


def new_key(name: str, numbers: Iterable[Tensor] = ()) -> int:
    """A 63-bit key from the generator's state, a name and the numbers that a layer is to hold."""
    digest = hashlib.blake2b(torch.get_rng_state().numpy().tobytes(), digest_size=8)
    digest.update(name.encode())
    for tensor in numbers:
        digest.update(as_array(tensor).tobytes())
    return int.from_bytes(digest.digest(), "little") >> 1


def key_of(module: nn.Module, name: str) -> int:
    """The key of the analog twin of ``module``, which is called ``name`` in its model."""
    return new_key(name, module.parameters())
