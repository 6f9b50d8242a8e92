"""What a chip's parts cost at its own design: published figures, scaled by each part's model.

Everything that asks what an event or a part costs asks here, so that an edited resolution, tile or link is
followed by number, area and energy of every part that depends on it.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Any

from ..description import adc, dac
from ..description.checks import FOLLOWS
from ..description.events import Events
from ..description.parsing import Figure
from ..description.spec import Chip, Part
from .components import NODE_NM, Design, size


@dataclass(frozen=True, slots=True)
class Priced:
    """A part as the chip's design has it."""

    part: Part
    count: float  # on one tile, cluster or chip
    area_mm2: float  # of one
    price: float  # pJ of one event; mW of one where it draws power (busy_ns, static_ns)
    scaled: str  # from which design to which it is scaled, and by which model; "" where figures are as given

    @property
    def event(self) -> str:
        """What its price is counted by; a read of an array costs what the cells cost that it reads."""
        whole = self.part.model == "array" and self.part.event == "array_pass"
        return "cell_pass" if whole else self.part.event

    @property
    def group(self) -> str:
        """The bar it belongs to in reports."""
        return self.part.group or self.part.name


@functools.lru_cache(maxsize=256)
def priced_parts(chip: Chip, kind: int = 0) -> tuple[Priced, ...]:
    """Every part of the tiles of a kind, of clusters of them and of the chip, with what it costs there."""
    here, of = design_of(chip, kind), chip.described(kind)
    return tuple(_priced(of, part, here) for part in of.parts)


@functools.lru_cache(maxsize=256)
def design_of(chip: Chip, kind: int = 0) -> Design:
    """What the components' costs depend on, as a kind of the chip's tiles has it; a link spans a square tile,
    of several kinds one of their mean area."""
    area = sum(_area_inside(chip, each) for each in range(len(chip.kinds) + 1))
    return dataclasses.replace(_without_pitch(chip.described(kind)), pitch_mm=math.sqrt(area / chip.tiles))


def _area_inside(chip: Chip, kind: int) -> float:
    """What the tiles of a kind take with their clusters, without links, mm²."""
    of = chip.described(kind)
    here = _without_pitch(of)
    inside = [part for part in of.parts if part.per != "chip" and part.model != "link"]
    priced = [_priced(of, part, here) for part in inside]
    return sum(one.area_mm2 * one.count * instances(chip, one.part, kind) for one in priced)


def _without_pitch(chip: Chip) -> Design:
    bar = chip.crossbar
    adc_bits = chip.adc.bits if chip.adc else 1
    return Design(
        adc_kind=chip.adc.kind if chip.adc else "sar",
        dac_kind=chip.dac.kind if chip.dac else "voltage",
        adc_bits=adc_bits,
        dac_bits=chip.dac.bits if chip.dac else 1,
        conversion_ns=adc.conversion_ns(chip),
        pass_ns=dac.pass_ns(chip),
        rows=bar.rows,
        columns=bar.columns,
        lines=adc.lines(chip),
        values=chip.tile_in + chip.tile_out,
        value_bits=max(chip.output_bits, adc_bits),
        width_bits=chip.links.width_bits,
        devices_per_cell=bar.devices_per_cell,
        pitch_mm=0.0,
        node_nm=chip.node_nm or NODE_NM,
    )


def count_of(chip: Chip, part: Part) -> float:
    """How many of a part its tile, cluster or chip has: as given, else as many as the design needs."""
    if part.count is not None:
        return part.count
    if part.per != "tile":
        return 1.0
    needed = {"adc": adc.converters(chip), "dac": chip.crossbar.rows, "line": adc.lines(chip)}
    return float(needed.get(part.component, 1))


def _priced(chip: Chip, part: Part, here: Design) -> Priced:
    count, price = count_of(chip, part), _given_price(part)
    if not part.model:
        return Priced(part, count, part.area_mm2.value, price, "")
    now, then = size(part.model, here), size(part.model, _at(part, here))
    cells = chip.crossbar.rows * chip.crossbar.columns if part.event == "array_pass" else 1
    each = cells if part.model == "array" else 1
    if not part.area_mm2.value and not price:  # nothing is published: what the model says
        priced = 0.0 if part.draws_power or part.event == "none" else now.energy_pj / each
        return Priced(part, count, now.area_mm2, priced, f"by the model '{part.model}' alone")
    # power is drawn by all of a circuit, an event uses it once
    larger = now.area_mm2 / then.area_mm2
    grown = larger if part.draws_power else _ratio(now.energy_pj, then.energy_pj)
    return Priced(part, count, part.area_mm2.value * larger, price * grown / each, _changes(part, here))


def _given_price(part: Part) -> float:
    """pJ of an event, or mW: 1 mW for 1 ns is 1 pJ."""
    if part.event == "none":
        return 0.0
    if part.energy_pj is not None:
        return part.energy_pj.value
    power = part.power_mw.value if part.power_mw is not None else 0.0
    timed = part.time_ns is not None and not part.draws_power
    return power * part.time_ns.value if timed and part.time_ns is not None else power


def _ratio(now: float, then: float) -> float:
    return now / then if then else 1.0


def _at(part: Part, here: Design) -> Design:
    """The design for which the part's figures were published."""
    at = part.at
    point = {
        "adc_bits": at.bits if part.model == "adc" else None,
        "adc_kind": at.kind if part.model == "adc" else None,
        "dac_bits": at.bits if part.model == "dac" else None,
        "dac_kind": at.kind if part.model == "dac" else None,
        "conversion_ns": at.time_ns if part.model == "adc" else None,
        "pass_ns": at.time_ns if part.model == "array" else None,
        **{key: getattr(at, key) for key in _SAME_NAMES},
    }
    given = {key: value for key, value in point.items() if value is not None}
    return dataclasses.replace(
        here, **{key: v for key, v in given.items() if not _same(v, getattr(here, key))}
    )


def _same(given: float | str, now: float | str) -> bool:
    """Whether a figure is the chip's own, as exact as files give it; or a word."""
    if isinstance(given, str) or isinstance(now, str):
        return given == now
    return math.isclose(given, now, rel_tol=1e-3)


_SAME_NAMES = (
    "rows", "columns", "lines", "values", "value_bits", "width_bits", "devices_per_cell", "pitch_mm",
    "node_nm",
)  # fmt: skip


def _changes(part: Part, here: Design) -> str:
    """In words how the chip's design differs from the part's design point."""
    own: dict[str, Any] = {
        "bits": {"adc": here.adc_bits, "dac": here.dac_bits}.get(part.model, 0),
        "kind": {"adc": here.adc_kind, "dac": here.dac_kind}.get(part.model, ""),
        "time_ns": here.pass_ns if part.model == "array" else here.conversion_ns,
    }
    differ = []
    for name in FOLLOWS[part.model]:
        then = getattr(part.at, name)
        now = own[name] if name in own else getattr(here, name)
        if then is not None and now and not _same(then, now):
            differ.append(f"{name} {then} -> {now}" if name == "kind" else f"{name} {then:g} -> {now:.4g}")
    return f"scaled by the model '{part.model}': {', '.join(differ)}" if differ else ""


def energy_by_part(chip: Chip, events: Events, chips: int, kind: int = 0) -> dict[str, float]:
    """Energy in pJ of each group of parts, for counted events of tiles of a kind on ``chips`` chips."""
    energies: dict[str, float] = {}
    for priced in priced_parts(chip, kind):
        energy = _energy(chip, priced, events, chips, kind)
        energies[priced.group] = energies.get(priced.group, 0.0) + energy
    return energies


def _energy(chip: Chip, priced: Priced, events: Events, chips: int, kind: int) -> float:
    if priced.event == "none":
        return 0.0
    energy = float(getattr(events, priced.event)) * priced.price
    if priced.event == "static_ns":  # every instance of every chip draws its power all the time
        return energy * priced.count * instances(chip, priced.part, kind) * chips
    if priced.event == "busy_ns":  # shared by the tiles of its level, which work together
        return energy * priced.count * instances(chip.described(kind), priced.part) / chip.tiles
    return energy


def instances(chip: Chip, part: Part, kind: int = 0) -> float:
    """How many tiles of a kind, clusters of them or chips one chip has of the level that the part belongs to;
    what a chip has once is counted with its own tiles."""
    tiles = chip.kind_tiles[kind]
    if part.per == "tile":
        return float(tiles)
    if part.per == "chip":
        return 0.0 if kind else 1.0
    return tiles / next(cluster.tiles for cluster in chip.clusters if cluster.name == part.per)


def area_by_part(chip: Chip, chips: int) -> dict[str, float]:
    """Area in mm² of each group of parts, of whole chips."""
    areas: dict[str, float] = {}
    for kind in range(len(chip.kinds) + 1):
        for priced in priced_parts(chip, kind):
            area = priced.area_mm2 * priced.count * instances(chip, priced.part, kind) * chips
            areas[priced.group] = areas.get(priced.group, 0.0) + area
    return areas


def estimates(chip: Chip) -> list[str]:
    """The figures of a chip that have no published source, and those that are scaled to its design; of each
    kind of its tiles those that differ."""
    own = list(chip.estimated) + _estimates_of_kind(chip, 0)
    for number, kind in enumerate(chip.kinds, start=1):
        further = (text for text in _estimates_of_kind(chip, number) if text not in own)
        own += [f"{kind.name}: {text}" for text in further]
    return own


def _estimates_of_kind(whole: Chip, kind: int) -> list[str]:
    chip, found = whole.described(kind), []
    if chip.digital is not None:
        found += _estimates_of(chip.digital, "digital")
    owners = ((chip.dac, "dac"), (chip.adc, "adc"), (chip.links, "links"), (chip.write, "write"))
    for owner, name in (*owners, (chip, chip.name)):
        if owner is not None:
            found += _estimates_of(owner, name)
    for name, figure, now in (
        ("dac", chip.dac and chip.dac.time_ns, dac.pass_ns(chip)),
        ("adc", chip.adc and chip.adc.time_ns, adc.conversion_ns(chip)),
    ):
        if figure and now != figure.value:
            found.append(
                f"{name}.time_ns = {now:.4g} (scaled from {figure.value:g} at {figure.at_bits} bits)"
            )
    for priced in priced_parts(whole, kind):
        found += _estimates_of(priced.part, priced.part.name)
        if priced.scaled:
            found.append(f"{priced.part.name}: {priced.scaled}")
    return found


def _estimates_of(owner: object, name: str) -> list[str]:
    figures = [(spec.name, getattr(owner, spec.name)) for spec in dataclasses.fields(owner)]  # type: ignore[arg-type]
    return [
        f"{name}.{key} = {value.value:g}" + (f" ({value.source})" if value.source else "")
        for key, value in figures
        if isinstance(value, Figure) and value.estimate and value.value
    ]
