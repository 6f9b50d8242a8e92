"""Kinds of tiles in a chip's file: each is the chip's own description with some fields of its own.

``kinds: {fine: {tiles: 16, adc: {bits: 8}}}``: whatever a kind does not say is as at the file's top level, of
parts those with other names. ``digital: {cores: 4}`` is one kind more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from crossgrid.kernels.errors import ConfigError, shown, unknown

from .checks import check_chip
from .parsing import Figure, from_mapping
from .spec import DIGITAL, HOME, Chip, Crossbar, DigitalCores, Kind, Part

#: what a kind may say of its own: all that a tile is, nothing that lies between tiles
OWN = (
    "crossbar", "dac", "adc", "write", "parts", "ideal", "node_nm", "mvm_overhead_ns", "stages_ns",
)  # fmt: skip

#: keys of a chip's file that are no fields of its own tiles
BESIDE = ("kinds", "digital")

#: what patterns of layers and lists of kinds are written with
_MARKS = frozenset("=,*?[]")


def with_kinds(chip: Chip, data: Mapping[str, Any], where: str) -> Chip:
    """``chip`` with the kinds that its file's ``data`` has beside its own tiles.

    Raises:
        ConfigError: a kind that cannot be, or more tiles than the chip has.
    """
    kinds = [*_kinds(chip, data, where), *_cores(chip, data, where)]
    taken = sum(kind.tiles for kind in kinds)
    if taken > chip.tiles:
        counted = ", ".join(f"{kind.tiles} {kind.name}" for kind in kinds)
        raise ConfigError(
            f"{where}.kinds: {counted} are {taken} tiles, the grid has {chip.tiles}; give fewer, or a larger "
            "grid"
        )
    return dataclasses.replace(chip, kinds=tuple(kinds))


def _kinds(chip: Chip, data: Mapping[str, Any], where: str) -> list[Kind]:
    given = data.get("kinds") or {}
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where}.kinds = {shown(given)} must be a mapping of names to what a kind has")
    found = []
    for name, own in given.items():
        place = f"{where}.kinds.{name}"
        if not isinstance(name, str) or name in (HOME, DIGITAL) or not name or _MARKS & set(name):
            raise ConfigError(
                f"{where}.kinds: {shown(name)} cannot name a kind: '{HOME}' are the chip's own tiles, "
                f"'{DIGITAL}' its cores, and {' '.join(sorted(_MARKS))} have a meaning of their own; choose "
                "another"
            )
        if not isinstance(own, Mapping):
            raise ConfigError(
                f"{place} = {shown(own)} must be a mapping, e.g. {{tiles: 16, adc: {{bits: 8}}}}"
            )
        for key in own:
            if key not in ("tiles", *OWN):
                raise unknown(f"key in {place}", str(key), ("tiles", *OWN))
        kind = from_mapping(Chip, _completed(data, own, place), place)
        check_chip(kind, place)
        found.append(Kind(name, _tiles(own, place), kind))
    return found


def _tiles(own: Mapping[str, Any], place: str) -> int:
    tiles = own.get("tiles")
    if type(tiles) is not int or tiles < 1:
        raise ConfigError(f"{place}.tiles = {shown(tiles)} must be a number of tiles of each chip, 1 or more")
    return tiles


def _completed(data: Mapping[str, Any], own: Mapping[str, Any], place: str) -> dict[str, Any]:
    """What the file would say of a chip of such tiles alone."""
    whole = {key: value for key, value in data.items() if key not in BESIDE}
    for key, value in own.items():
        before = whole.get(key)
        if key == "parts":
            whole[key] = _parts(before, value, place)
        elif key != "tiles":
            inner = before if isinstance(before, Mapping) and isinstance(value, Mapping) else None
            whole[key] = value if inner is None else {**inner, **value}
    return whole


def _parts(before: Any, own: Any, place: str) -> list[Any]:
    """Parts by name: one that both have keeps what its kind does not say."""
    if not isinstance(own, list) or not all(isinstance(each, Mapping) for each in own):
        raise ConfigError(f"{place}.parts = {shown(own)} must be a list of parts, each with its name")
    parts = {each.get("name"): each for each in before or ()}
    for each in own:
        name = each.get("name")
        parts[name] = {**parts.get(name, {}), **each}
    return list(parts.values())


def _cores(chip: Chip, data: Mapping[str, Any], where: str) -> list[Kind]:
    """The chip's digital cores as tiles that read a row of cells at a time, exactly."""
    given = data.get("digital")
    if given is None:
        return []
    cores = from_mapping(DigitalCores, given, f"{where}.digital")
    like = dataclasses.replace(
        chip, ideal=True, dac=None, adc=None, digital=cores, mvm_overhead_ns=Figure(), stages_ns=Figure(),
        crossbar=Crossbar(cores.rows, cores.columns, weight_bits=cores.weight_bits, rows_at_once=1),
        parts=_parts_of(chip, cores),
    )  # fmt: skip
    check_chip(like, f"{where}.digital")
    return [Kind(DIGITAL, cores.cores, like)]


def _parts_of(chip: Chip, cores: DigitalCores) -> tuple[Part, ...]:
    """Multipliers and memories of a core, and the chip's own links."""
    bytes_ = cores.weight_bits / 8

    def part(name: str, event: str, price: Figure, factor: float = 1.0) -> Part:
        figure = dataclasses.replace(price, value=price.value * factor)
        return Part(name, group="digital cores", event=event, energy_pj=figure)

    between = tuple(part for part in chip.parts if part.event in ("hop_bit", "crossing_bit"))
    return (
        Part("digital core", group="digital cores", area_mm2=cores.area_mm2),
        part("multipliers", "cell_pass", cores.mac_pj),
        part("weight memory", "cell_pass", cores.byte_pj, bytes_),
        part("value memory", "buffer_bit", cores.byte_pj, 1 / 8),
        part("digital activation", "activation", cores.operation_pj),
        part("weights written", "program_weight", cores.byte_pj, bytes_),
        *between,
    )
