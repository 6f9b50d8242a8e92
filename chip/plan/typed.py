"""Whether what a file gave for a dataclass has the types and sizes that its fields are declared with."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from typing import Any, cast

from crossgrid.kernels.errors import ConfigError, shown

#: the most that a number of a file may be, and a text's characters
MOST, LONGEST = 2**53, 10_000


def require_typed(made: Any, where: str, skip: tuple[str, ...] = ()) -> None:
    """An error unless every field of a dataclass, and of those in it, is of its type and finite."""
    for name, hint in _hints(cast(typing.Hashable, type(made))).items():
        if name not in skip and not _fits(getattr(made, name), hint):
            raise ConfigError(f"{where}: {name} = {shown(getattr(made, name))} cannot be; map the model anew")


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {each.name: hints[each.name] for each in dataclasses.fields(kind)}


def _fits(value: Any, hint: Any) -> bool:
    options = typing.get_args(hint)
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return any(_fits(value, option) for option in options)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, tuple):
            return False
        inner = [options[0]] * len(value) if options[-1] is Ellipsis else list(options)
        return len(value) == len(inner) and all(map(_fits, value, inner))
    if hint is int:
        return type(value) is int and 0 <= value <= MOST
    if hint is float:
        return type(value) in (int, float) and 0 <= value < math.inf
    if hint is str:
        return isinstance(value, str) and len(value) <= LONGEST
    if dataclasses.is_dataclass(hint):
        fields = _hints(cast(typing.Hashable, hint)) if isinstance(value, cast(type, hint)) else {"": None}
        return all(name and _fits(getattr(value, name), each) for name, each in fields.items())
    return hint is type(value) or (hint is type(None) and value is None)
