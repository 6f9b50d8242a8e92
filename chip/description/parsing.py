"""From a YAML file's mapping to frozen dataclasses; an error names the place, the value and the way out."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from crossgrid.kernels.config import field_checks
from crossgrid.kernels.errors import ConfigError, nearest, shown, unknown

T = TypeVar("T")

#: of a class; texts are evaluated each time they are asked for, half of the time that a chip's file takes
hints_of: Callable[[Any], dict[str, Any]] = functools.cache(typing.get_type_hints)

#: what a unit is in the base unit of its kind: a key ends with a unit, a value is a plain number in it
UNITS: dict[str, dict[str, float]] = {
    "time": {"ps": 1e-12, "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0},
    "energy": {"fj": 1e-15, "pj": 1e-12, "nj": 1e-9, "uj": 1e-6, "µj": 1e-6, "mj": 1e-3, "j": 1.0},
    "length": {"nm": 1e-9, "um": 1e-6, "µm": 1e-6},
    "area": {"um2": 1e-12, "µm2": 1e-12, "mm2": 1e-6, "cm2": 1e-4},
    "power": {"uw": 1e-6, "µw": 1e-6, "mw": 1e-3, "w": 1.0},
    "frequency": {"hz": 1.0, "khz": 1e3, "mhz": 1e6, "ghz": 1e9},
}

#: what a figure may be, by the unit in its key: beyond it a slip of the pen, not hardware; 0 is nothing
RANGES: dict[str, tuple[float, float]] = {
    "ns": (1e-6, 1e12), "pj": (0.0, 1e12), "mw": (0.0, 1e9), "mm2": (0.0, 1e6), "ghz": (1e-9, 1e6),
    "gbit": (1e-9, 1e9),
}  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """A number that describes hardware, with where it comes from; without a source it is an estimate."""

    value: float = 0.0
    source: str = ""
    estimate: bool = False
    at_bits: int | None = None  # a converter's time: the resolution at which it holds

    def __float__(self) -> float:
        return self.value


def from_mapping(cls: type[T], data: Any, where: str) -> T:
    """``data`` as the frozen dataclass ``cls``; ``where`` is the place that an error names."""
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where} = {shown(data)} must be a mapping of keys to values")
    specs = {spec.name: spec for spec in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in data:
        if key not in specs:
            raise unknown(f"key in {where}", str(key), specs)
    hints = hints_of(cls)
    values = {}
    for name, spec in specs.items():
        place = f"{where}.{name}"
        if name in data:
            values[name] = _value(cls, spec, hints[name], data[name], place)
        elif spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{place} is missing: give it, e.g. '{name}: {_example(hints[name])}'")
    return cls(**values)


def _value(cls: type, spec: Any, hint: Any, value: Any, place: str) -> Any:
    options = [option for option in typing.get_args(hint) if option is not type(None)]
    optional = type(None) in typing.get_args(hint)
    if optional and value is None:
        return None
    plain = options[0] if optional else hint
    if plain is Figure:
        return figure(value, place, spec.metadata.get("at_bits", False))
    if isinstance(plain, type) and dataclasses.is_dataclass(plain):
        return from_mapping(plain, value, place)
    item = typing.get_args(plain)[0] if typing.get_origin(plain) is tuple else None
    if isinstance(item, type) and dataclasses.is_dataclass(item):
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{place} = {shown(value)} must be a list")
        return tuple(from_mapping(item, entry, f"{place}[{k}]") for k, entry in enumerate(value))
    if isinstance(value, str) and plain in (int, float):
        raise ConfigError(_not_a_number(place, value))
    try:
        return field_checks(cls)[spec.name](value)
    except ConfigError as error:
        raise ConfigError(str(error).replace(f"{cls.__name__}.{spec.name}", place, 1)) from None


def figure(value: Any, place: str, with_bits: bool = False) -> Figure:
    """A number, ``{value, source}`` or ``{value, estimate: reason}``; a converter's time has ``at_bits``."""
    if not isinstance(value, Mapping):
        return Figure(_number(value, place), "", estimate=True)
    known = ("value", "source", "estimate", *(("at_bits",) if with_bits else ()))
    for key in value:
        if key not in known:
            raise unknown(f"key in {place}", str(key), known)
    if "value" not in value:
        raise ConfigError(f"{place} has no 'value': give a number, or {{value: NUMBER, source: TEXT}}")
    number, bits = _number(value["value"], place), value.get("at_bits")
    if bits is not None and (isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= 64):
        raise ConfigError(f"{place}.at_bits = {shown(bits)} must be a whole number of bits from 1 to 64")
    texts = {key: value[key] for key in ("source", "estimate") if value.get(key) is not None}
    for key, text in texts.items():
        if not isinstance(text, str):
            raise ConfigError(f"{place}.{key} = {shown(text)} must be text: where the figure is from")
    if texts.get("source"):
        return Figure(number, texts["source"], estimate=False, at_bits=bits)
    return Figure(number, texts.get("estimate", ""), estimate=True, at_bits=bits)


def _number(value: Any, place: str) -> float:
    if isinstance(value, str):
        raise ConfigError(_not_a_number(place, value))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"{place} = {shown(value)} is of type {type(value).__name__}; it must be a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not 0.0 <= number < float("inf"):
        raise ConfigError(f"{place} = {number:g} must be a finite number that is not negative")
    units = [unit for unit in place.rsplit(".", 1)[-1].split("_") if unit in RANGES]
    least, most = RANGES[units[0]] if units else (0.0, math.inf)
    if number and not least <= number <= most:
        raise ConfigError(
            f"{place} = {number:g} is no figure of hardware; give 0, or one from {least:g} to {most:g}"
        )
    return number


def _not_a_number(place: str, text: str) -> str:
    """The message for a text where a number belongs; a text with a unit is converted for the user."""
    text = text[:80]
    match = re.fullmatch(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([a-zA-Zµ²2]+)\s*", text)
    wanted = place.rsplit("_", 1)[-1].lower()
    for kind, scales in UNITS.items():
        if wanted not in scales or match is None:
            continue
        unit = match[2].replace("²", "2").lower()
        if unit in scales:
            number = float(match[1]) * scales[unit] / scales[wanted]
            return f"{place} = '{text}' is text; its unit is {wanted}, write the number alone: {number:.6g}"
        return f"{place} = '{text}': '{match[2]}' is no unit of {kind}; give a number in {wanted}"
    return f"{place} = '{text}' is text; it must be a number"


def _example(hint: Any) -> str:
    examples = {int: "1", float: "1.0", str: "text", bool: "true"}
    return examples.get(hint, "…")


def one_of(place: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse a text that is none of ``known``."""
    if value not in known:
        raise ConfigError(f"{place} = '{value}' is none of {', '.join(known)}: {nearest(value, known)}")
