"""The fields of a configuration as a flat table, alike for aihwkit's dataclasses and this project's."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from enum import Enum
from typing import Any

#: a field's path, such as "device.unit_cell_devices.0.dw_min" -> its value; an enum by its member's name
Leaves = dict[str, Any]


def leaves(configuration: Any) -> Leaves:
    """Every field of a configuration and of the configurations in it."""
    return dict(_leaves("", configuration))


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Enum):
        yield path, value.name
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for spec in dataclasses.fields(value):
            yield from _leaves(f"{path}.{spec.name}".lstrip("."), getattr(value, spec.name))
    elif isinstance(value, (list, tuple)):
        yield f"{path}.length", len(value)
        for k, item in enumerate(value):
            yield from _leaves(f"{path}.{k}", item)
    elif isinstance(value, (bool, int, float, str, type(None))):
        yield path, float(f"{value:.9g}") if isinstance(value, float) else value
