"""A tile's configuration in its ``state_dict``: bytes of plain values, no pickle."""

from __future__ import annotations

import dataclasses
import importlib
from enum import Enum
from typing import Any

import msgpack
import numpy as np
import torch
from torch import Tensor

from crossgrid.kernels.config import Config

OURS = "crossgrid."


def packed_config(configuration: Any) -> Tensor | None:
    """A configuration as bytes; None where a class of the user's own is in it."""
    try:
        plain = msgpack.packb(_plain(configuration))
    except TypeError:
        return None
    return torch.from_numpy(np.frombuffer(plain, np.uint8).copy())


def unpacked_config(saved: Tensor) -> Any:
    """The configuration that ``packed_config`` was given."""
    return _made(msgpack.unpackb(saved.cpu().numpy().tobytes()))


def _plain(value: Any) -> Any:
    if isinstance(value, (Config, Enum)):
        kind = type(value)
        if not kind.__module__.startswith(OURS):
            raise TypeError(f"{kind.__name__} is no class of this project")
        name = [kind.__module__, kind.__qualname__]
        if isinstance(value, Enum):
            return {"enum": name, "member": value.name}
        fields: Any = dataclasses.fields(value)  # type: ignore[arg-type]
        return {"class": name, "fields": {spec.name: _plain(getattr(value, spec.name)) for spec in fields}}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value


def _made(plain: Any) -> Any:
    if isinstance(plain, list):
        return [_made(each) for each in plain]
    if not isinstance(plain, dict):
        return plain
    module, name = plain.get("enum") or plain["class"]
    named = getattr(importlib.import_module(module), name) if module.startswith(OURS) else None
    if not isinstance(named, type) or not issubclass(named, (Config, Enum)):
        raise TypeError(f"{module}.{name} in a saved configuration is no configuration of this project")
    kind: Any = named
    if "enum" in plain:
        return kind[plain["member"]]
    made = kind.__new__(kind)
    for field, value in plain["fields"].items():
        object.__setattr__(made, field, _made(value))
    return made
