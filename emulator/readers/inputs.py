"""Shapes of inputs as a user writes them: ``NAME=1x3x224x224`` or ``NAME=1x128:int64``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from crossgrid.kernels.errors import ConfigError, unknown

TYPES = {
    "float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "int64": torch.int64,
    "int32": torch.int32, "bool": torch.bool,
}  # fmt: skip

#: integers by custom
INDICES = ("ids", "mask", "labels", "indices")


def named_inputs(texts: Sequence[str]) -> dict[str, Tensor]:
    """Tensors on the meta device by name; what is called ids or mask holds integers, all else float32.

    Raises:
        ConfigError: a text has another form.
    """
    return dict(_input(text) for text in texts)


def _input(text: str) -> tuple[str, Tensor]:
    name, equals, rest = text.partition("=")
    shape, colon, kind = rest.partition(":")
    sizes = shape.lower().replace(",", "x").split("x")
    if not name or not equals or not all(size.isascii() and size.isdecimal() for size in sizes):
        raise ConfigError(f"input '{text}' is no NAME=SHAPE; give x=1x3x224x224 or ids=1x128:int64")
    if colon and kind not in TYPES:
        raise unknown(f"type of input '{name}'", kind, TYPES)
    usual = "int64" if any(name.endswith(each) for each in INDICES) else "float32"
    dtype = TYPES[kind if colon else usual]
    try:
        return name, torch.empty([int(size) for size in sizes], dtype=dtype, device="meta")
    except (RuntimeError, TypeError) as error:
        raise ConfigError(
            f"input '{text}': no tensor has such a shape ({str(error).splitlines()[0]})"
        ) from None
