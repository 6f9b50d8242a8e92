"""Which torch device kernels for a card run on."""

from __future__ import annotations

from typing import Any

from .errors import ConfigError


def card() -> Any:
    """The torch device of the backend "cuda": a card, or the host under Triton's interpreter."""
    import torch
    import triton

    if triton.knobs.runtime.interpret:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ConfigError('device "cuda" needs a CUDA card, and torch finds none; use device="cpu"')
    return torch.device("cuda")
