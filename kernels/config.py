"""Configurations: slotted dataclasses that check a field when it is made and whenever it is set.

A configuration class derives from ``Config``, is decorated with ``@config`` and declares its fields
with ``field``; limits stand beside the default::

    @config
    class ConstantStepDevice(PulsedDevice):
        dw_min: float = field(0.001, above=0.0)
        \"\"\"Mean size of a step, in units of weight.\"\"\"

The string after a field says what it means and in which unit; ``help`` shows it with the default and the
limits (see ``field_help``). Checks of one field are its type and its limits; checks across fields go into
``validate``.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
import types
import typing
import warnings
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from numbers import Integral, Real
from typing import Any, ClassVar, TypeVar

from .errors import ConfigError, InputError, nearest, shown, unknown
from .field_help import Help

if sys.version_info >= (3, 11):
    from typing import dataclass_transform
else:
    from typing_extensions import dataclass_transform

T = TypeVar("T", bound=type)


def field(
    default: Any = dataclasses.MISSING,
    *,
    factory: Callable[[], Any] | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Any:
    """A dataclass field with limits: at_least <= value <= at_most, above < value < below."""
    limits = {"at_least": at_least, "at_most": at_most, "above": above, "below": below}
    if factory is not None:
        return dataclasses.field(default_factory=factory, metadata=limits)
    return dataclasses.field(default=default, metadata=limits)


class Config:
    """Base of all configurations: unknown fields and impossible values are refused."""

    __slots__ = ()

    # fields that are accepted but change nothing -> why; whoever sets one is warned
    without_effect: ClassVar[Mapping[str, str]] = {}

    def validate(self) -> None:
        """Raise ``ConfigError`` where fields contradict each other. Runs after every change."""

    def unused(self) -> dict[str, str]:
        """Fields that are set, but that others leave without effect -> which, and the way out.

        They may still change, so it is told when something is made of the configuration.
        """
        return {}

    def __post_init__(self) -> None:
        self.validate()

    def __setstate__(self, state: tuple[dict[str, Any] | None, dict[str, Any]]) -> None:
        """As pickle does it for slots.

        Raises:
            InputError: the state is not of a class with slots, but of another one by the same name.
        """
        if not isinstance(state, tuple):
            raise InputError(
                f"a pickled {type(self).__name__} is not of crossgrid; a checkpoint of aihwkit is read by "
                "crossgrid.aihwkit.utils.checkpoint.load_checkpoint"
            )
        for part in state:
            for name, value in (part or {}).items():
                object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        kind: Any = type(self)  # mypy takes a dataclass with __eq__ for unhashable, its class too
        checks = field_checks(kind)
        if name not in checks:
            raise unknown(f"field of {type(self).__name__}", name, checks)
        complete = all(hasattr(self, known) for known in checks)
        previous = getattr(self, name, None)
        object.__setattr__(self, name, checks[name](value))
        if complete:
            try:
                self.validate()
            except ConfigError:
                object.__setattr__(self, name, previous)
                raise
            if name in kind.without_effect:
                _warn_without_effect(self, [name])


@dataclass_transform()
def config(cls: T) -> T:
    """Make ``cls`` a slotted dataclass whose constructor names the nearest field to an unknown one."""
    made: Any = dataclasses.dataclass(slots=True)(cls)
    plain_init = made.__init__

    @functools.wraps(plain_init)
    def __init__(self: Config, *args: Any, **kwargs: Any) -> None:
        kind: Any = type(self)
        known = field_checks(kind)
        for name in kwargs:
            if name not in known:
                raise unknown(f"field of {type(self).__name__}", name, known)
        plain_init(self, *args, **kwargs)
        _warn_without_effect(self, kind.without_effect)

    made.__init__ = __init__
    made.__doc__ = Help(made.__doc__)
    return made


def _warn_without_effect(made: Config, names: Iterable[str]) -> None:
    """Warn whoever made or set ``made`` of the fields among ``names`` that are set."""
    kind: Any = type(made)
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_name in ("__init__", "__setattr__"):
        frame, level = frame.f_back, level + 1
    for spec in dataclasses.fields(kind) if names else ():
        if spec.name in names and getattr(made, spec.name) != spec.default:
            what = f"{kind.__name__}.{spec.name} = {getattr(made, spec.name)!r}"
            warnings.warn(f"{what} has no effect: {kind.without_effect[spec.name]}", stacklevel=level)


def warn_of_unused(made: Any) -> None:
    """Warn of what is set in a configuration, and in those that it holds, and has no effect."""
    if not isinstance(made, Config):
        return
    for name, why in made.unused().items():
        what = f"{type(made).__name__}.{name} = {getattr(made, name)!r}"
        warnings.warn(f"{what} has no effect: {why}", stacklevel=4)
    for spec in dataclasses.fields(made):  # type: ignore[arg-type]
        value = getattr(made, spec.name)
        for part in value if isinstance(value, list) else [value]:
            warn_of_unused(part)


@functools.cache
def field_checks(cls: type) -> dict[str, Callable[[Any], Any]]:
    """For each field of ``cls`` the function that checks a value and returns what is stored."""
    hints = typing.get_type_hints(cls)
    return {
        spec.name: functools.partial(_check, f"{cls.__name__}.{spec.name}", hints[spec.name], spec.metadata)
        for spec in dataclasses.fields(cls)  # type: ignore[arg-type]
    }


def _check(where: str, hint: Any, limits: Any, value: Any) -> Any:
    value = _typed(where, hint, value)
    if isinstance(value, Real) and not isinstance(value, bool):
        _check_limits(where, limits, float(value))
    return value


def _check_limits(where: str, limits: Any, value: float) -> None:
    rules = (
        ("at_least", value.__ge__, "at least"),
        ("at_most", value.__le__, "at most"),
        ("above", value.__gt__, "above"),
        ("below", value.__lt__, "below"),
    )
    for key, holds, words in rules:
        limit = limits.get(key)
        if limit is not None and not holds(float(limit)):
            raise ConfigError(f"{where} = {value:g} must be {words} {limit:g}")


def _typed(where: str, hint: Any, value: Any) -> Any:
    """``value`` as the type that ``hint`` asks for, or a ``ConfigError``."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _typed_union(where, hint, value)
    if origin in (list, tuple):
        return _typed_sequence(where, hint, value)
    if hint is Any:
        return value
    if hint is bool:
        if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):
            return bool(value)
    elif hint in (int, float):
        if isinstance(value, Integral if hint is int else Real) and not isinstance(value, bool):
            return _number(where, hint, value)
    elif isinstance(hint, type) and issubclass(hint, Enum):
        return _typed_enum(where, hint, value)
    elif isinstance(hint, type) and isinstance(value, hint):
        return value
    raise _wrong_type(where, value, getattr(hint, "__name__", str(hint)))


def _wrong_type(where: str, value: Any, wanted: str) -> ConfigError:
    return ConfigError(
        f"{where} = {shown(value)} is of type {type(value).__name__}; it must be of type {wanted}"
    )


def _number(where: str, hint: type, value: Any) -> Any:
    """A whole number of at most 63 bits, or a finite one."""
    if hint is int:
        if abs(value) >= 1 << 63:
            raise ConfigError(f"{where} = {shown(value)} must be a number of at most 63 bits")
        return int(value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ConfigError(f"{where} = {shown(value)} must be a finite number")
    return number


def _typed_union(where: str, hint: Any, value: Any) -> Any:
    failure: ConfigError | None = None
    options = typing.get_args(hint)
    if all(isinstance(option, type) and issubclass(option, Config) for option in options):
        if isinstance(value, options):
            return value
        raise _wrong_type(where, value, " or ".join(option.__name__ for option in options))
    for option in options:
        if option is type(None):
            if value is None:
                return None
            continue
        try:
            return _typed(where, option, value)
        except ConfigError as error:
            failure = error
    assert failure is not None
    raise failure


def _typed_sequence(where: str, hint: Any, value: Any) -> Any:
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"{where} = {shown(value)} must be a list")
    item = typing.get_args(hint)[0]
    items = [_typed(f"{where}[{k}]", item, entry) for k, entry in enumerate(value)]
    return items if typing.get_origin(hint) is list else tuple(items)


def _typed_enum(where: str, hint: type[Enum], value: Any) -> Enum:
    if isinstance(value, hint):
        return value
    if value is None and "NONE" in hint.__members__:
        return hint["NONE"]
    for member in hint:
        if isinstance(value, str) and value.lower() in (member.name.lower(), str(member.value).lower()):
            return member
    raise ConfigError(
        f"{where} = {shown(value)} is no {hint.__name__}: {nearest(shown(value), [m.name for m in hint])}"
    )
