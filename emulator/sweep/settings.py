"""What a point's paths set: fields of a chip's description and of a configuration, by name."""

from __future__ import annotations

import copy
import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any

from crossgrid.chip import Chip
from crossgrid.chip.description.load import chip_data, parse_chip
from crossgrid.chip.mapping.kinds import Kinds
from crossgrid.kernels.errors import ConfigError, shown, unknown

from ..config import presets, rpu
from ..config.causes import check_stuck
from ..config.rpu import RPUConfig
from .study import ROOTS, Point, Study


@dataclass(frozen=True, slots=True)
class Setting:
    """Everything that a point's numbers and cost depend on, beside the model and its data."""

    chip: Chip
    config: dict[str, Any]  # paths of the configuration's fields -> values
    strategy: str
    placement: str
    chips: int | None
    drift_s: float | None
    seed: int
    faults: float = 0.0
    layer: str | None = None
    cause: str | None = None
    kinds: Kinds | None = None


class Settings:
    """The settings of a study's points; a chip that several have is made once."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self._base = chip_data(study.chip_name)
        self._chips: dict[str, Chip] = {}

    def of(self, point: Point) -> Setting:
        """The setting of a point.

        Raises:
            UnknownNameError: a parameter that does not exist.
            ConfigError: a value that cannot be.
        """
        study, values = self.study, point.values
        of_chip = {path: value for path, value in values.items() if path.startswith("chip.")}
        config = {path.removeprefix("config."): v for path, v in values.items() if path.startswith("config.")}
        plain = {
            name: values.get(name, getattr(study, name)) for name in ROOTS if name not in ("chip", "config")
        }
        _check_plain(plain)
        return Setting(self._chip(of_chip), config, **plain)

    def _chip(self, changes: Mapping[str, Any]) -> Chip:
        key = repr(sorted(changes.items()))
        if key not in self._chips:
            data = copy.deepcopy(self._base)
            for path, value in changes.items():
                _assign(data, path.split(".")[1:], value, path)
            self._chips[key] = parse_chip(data, self.study.chip)
        return self._chips[key]


def _check_plain(values: Mapping[str, Any]) -> None:
    drift, seed = values["drift_s"], values["seed"]
    if drift is not None and (isinstance(drift, bool) or not isinstance(drift, (int, float)) or drift < 0):
        raise ConfigError(f"drift_s = {shown(drift)} must be seconds of at least 0, or null")
    if type(seed) is not int or seed < 0:
        raise ConfigError(f"seed = {shown(seed)} must be an integer of at least 0")
    check_stuck(values["faults"])


def _assign(data: Any, way: list[str], value: Any, path: str) -> None:
    """Set what ``way`` leads to in a chip's mapping; a list's entry is found by its ``name``.

    Whether the last name exists is the parser's to say.
    """
    for name in way[:-1]:
        if isinstance(data, list):
            named = {entry.get("name"): entry for entry in data if isinstance(entry, dict)}
            if name not in named:
                raise unknown(f"entry of parameter '{path}':", name, [str(key) for key in named])
            data = named[name]
            continue
        inner = data.setdefault(name, {})
        if not isinstance(inner, (dict, list)):
            raise ConfigError(
                f"parameter '{path}': '{name}' = {shown(inner)} has no fields; set it as a whole"
            )
        data = inner
    if not isinstance(data, dict):
        raise ConfigError(f"parameter '{path}' ends at a list; name an entry of it and its field")
    data[way[-1]] = value


def config_of(name: str, changes: Mapping[str, Any]) -> RPUConfig:
    """The configuration ``cg.NAME()`` with fields changed.

    Raises:
        UnknownNameError: it or a field does not exist.
    """
    made = _configuration(name)
    for path, value in changes.items():
        *way, last = path.split(".")
        owner: Any = made
        for step in way:
            owner = getattr(owner, _known(owner, step, path))
        present = getattr(owner, _known(owner, last, path))
        setattr(owner, last, _member(present, value, path))
    return made


def _member(present: Any, value: Any, path: str) -> Any:
    """The member of an enum that a text names where one was; any other value as it is."""
    if not isinstance(present, Enum) or not isinstance(value, str):
        return value
    members = type(present).__members__
    if value not in members:
        raise unknown(f"value of config.{path}", value, members)
    return members[value]


def _configuration(name: str) -> RPUConfig:
    known = {
        each: kind for each, kind in vars(rpu).items() if each.endswith("RPUConfig") and is_dataclass(kind)
    }
    if name not in known:
        for module in pkgutil.iter_modules(presets.__path__):
            found = vars(importlib.import_module(f"{presets.__name__}.{module.name}"))
            known |= {
                each: kind for each, kind in found.items() if each.endswith("Preset") and is_dataclass(kind)
            }
    if name not in known:
        raise unknown("configuration", name, known)
    kind: Any = known[name]
    made: RPUConfig = kind()
    return made


def _known(owner: Any, name: str, path: str) -> str:
    names = [spec.name for spec in fields(owner)] if is_dataclass(owner) else []
    if name not in names:
        raise unknown(f"parameter config.{path}: field of {type(owner).__name__}", name, names)
    return name
