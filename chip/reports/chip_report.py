"""Chips in the terminal: a list of them, or one drawn with all its parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..cost.cost import peak
from ..cost.events import mvm_interval_ns
from ..cost.parts import Priced, area_by_part, estimates, instances, priced_parts
from ..description.adc import shortfall
from ..description.parsing import Figure
from ..description.spec import Chip, Part
from .tables import console


def chip_dict(chip: Chip) -> dict[str, object]:
    """What there is to say about a chip, as plain data."""
    best = peak(chip)
    return {
        "name": chip.name,
        "title": chip.title,
        "reference": list(chip.reference),
        "chips": chip.chips,
        "grid": [chip.grid.rows, chip.grid.columns],
        "tiles": chip.tiles,
        "tile_out": chip.tile_out,
        "tile_in": chip.tile_in,
        "weights": weights_of(chip),
        "dac_bits": chip.dac.bits if chip.dac else None,
        "adc_bits": chip.adc.bits if chip.adc else None,
        "mvm_ns": mvm_interval_ns(chip),
        "tops": best.tops,
        "watts": best.watts,
        "tops_per_w": best.tops_per_w,
        "area_mm2": best.area_mm2,
        "tops_per_mm2": best.tops_per_mm2,
        "area_by_part": area_by_part(chip, 1),
        "warnings": _warnings(chip),
        "estimates": estimates(chip),
        **({"kinds": _kind_dicts(chip)} if chip.kinds else {}),
    }


def weights_of(chip: Chip) -> int:
    """Weights that the tiles of one chip hold."""
    kinds = (chip.described(kind) for kind in range(len(chip.kind_names)))
    return sum(n * of.tile_out * of.tile_in for n, of in zip(chip.kind_tiles, kinds, strict=True))


def _kind_dicts(chip: Chip) -> list[dict[str, object]]:
    found = []
    for kind, (name, tiles) in enumerate(zip(chip.kind_names, chip.kind_tiles, strict=True)):
        of = chip.described(kind)
        found.append({
            "name": name, "tiles": tiles, "tile_out": of.tile_out, "tile_in": of.tile_in,
            "dac_bits": of.dac.bits if of.dac else None, "adc_bits": of.adc.bits if of.adc else None,
            "digital": of.digital is not None, "mvm_ns": mvm_interval_ns(of),
        })  # fmt: skip
    return found


def _warnings(chip: Chip) -> list[str]:
    found = []
    for kind, (name, tiles) in enumerate(zip(chip.kind_names, chip.kind_tiles, strict=True)):
        lost = shortfall(chip.described(kind))
        if lost and tiles:
            found.append(f"kind '{name}': {lost}" if chip.kinds else lost)
    return found


def print_chips(chips: Sequence[Chip]) -> None:
    """A line a chip."""
    from rich.table import Table

    table = Table(title="chips", title_justify="left")
    for name in (
        "name",
        "tiles",
        "tile (out x in)",
        "weights",
        "DAC",
        "ADC",
        "MVM",
        "TOPS",
        "TOPS/W",
        "mm²",
        "estimates",
    ):
        table.add_column(name, justify="left" if name == "name" else "right")
    for chip in chips:
        best = peak(chip)
        table.add_row(
            chip.name,
            f"{chip.chips} x {chip.grid.rows} x {chip.grid.columns}",
            f"{chip.tile_out} x {chip.tile_in}",
            f"{chip.chips * weights_of(chip) / 1e6:.2f} M",
            f"{chip.dac.bits} bit" if chip.dac else "–",
            f"{chip.adc.bits} bit" if chip.adc else "–",
            f"{mvm_interval_ns(chip):.0f} ns" if chip.dac else "–",
            f"{best.tops:.1f}" if best.tops else "–",
            f"{best.tops_per_w:.2f}" if best.tops_per_w else "–",
            f"{best.area_mm2:.1f}" if best.area_mm2 else "–",
            str(len(estimates(chip))),
        )
    console().print(table)


def print_chip(chip: Chip) -> None:
    """One chip: what it is, its grid, its parts with the sources of their figures."""
    shown = console()
    best = peak(chip)
    shown.print(f"{chip.name}: {chip.title}", style="bold")
    for reference in chip.reference:
        shown.print(f"  {reference}", style="dim")
    shown.print(
        f"{chip.chips} chip of {chip.grid.rows} x {chip.grid.columns} tiles; a tile has "
        f"{chip.crossbar.rows} rows x {chip.crossbar.columns} columns, "
        f"{chip.crossbar.cells_per_weight} a weight: {chip.tile_out} outputs x {chip.tile_in} inputs"
    )
    shown.print(_drawing(chip), highlight=False)
    if chip.dac and chip.adc:
        shown.print(
            f"DAC {chip.dac.bits} bit, {chip.passes} passes a vector; ADC {chip.adc.bits} bit "
            f"({chip.adc.kind}), {chip.adc.columns} columns each; "
            f"a vector every {mvm_interval_ns(chip):.1f} ns"
        )
        shown.print(
            f"at most {best.tops:.2f} TOPS ({chip.operation_bits} bit), {best.watts:.3f} W, "
            f"{best.tops_per_w:.3f} TOPS/W, {best.area_mm2:.2f} mm², {best.tops_per_mm2:.3f} TOPS/mm²"
        )
    for sign, of in zip(_signs(chip), _kind_dicts(chip) if chip.kinds else (), strict=False):
        converters = f"DAC {of['dac_bits']} bit, ADC {of['adc_bits']} bit" if of["adc_bits"] else "digital"
        shown.print(
            f"{sign} {of['tiles']} tiles of kind '{of['name']}': {of['tile_out']} outputs x {of['tile_in']} "
            f"inputs, {converters}, a whole vector every {of['mvm_ns']:.1f} ns",
            highlight=False,
        )
    for text in _warnings(chip):
        shown.print(f"warning: {text}", highlight=False)
    if chip.parts:
        shown.print(_parts_table(chip))
    else:
        shown.print("no parts are described: no area, no energy")
    named = {part.name for kind in range(len(chip.kind_names)) for part in chip.described(kind).parts}
    for text in estimates(chip):  # those of parts stand in the table
        if text.rpartition(": ")[2].partition(".")[0] not in named:
            shown.print(f"estimate: {text}", highlight=False)


def _parts_table(chip: Chip) -> object:
    from rich.table import Table

    table = Table(title="parts", title_justify="left")
    for name in ("part", "on a chip", "mm² each", "cost", "source"):
        table.add_column(
            name, justify="right" if name in ("on a chip", "mm² each") else "left", overflow="fold"
        )
    for kind, name in enumerate(chip.kind_names):
        for priced in priced_parts(chip, kind):
            count = priced.count * instances(chip, priced.part, kind)
            if not count:  # another kind's tiles alone have it
                continue
            area = f"{priced.area_mm2:.3g}" if priced.area_mm2 else "–"
            source = "; ".join(text for text in (_source_text(priced.part), priced.scaled) if text)
            part = f"{name}: {priced.part.name}" if chip.kinds else priced.part.name
            table.add_row(part, f"{count:,.0f}", area, _cost_text(priced), source)
    return table


def _cost_text(priced: Priced) -> str:
    if not priced.price:
        return "–"
    if priced.part.draws_power:
        return f"{priced.price:.4g} mW, {priced.event.removesuffix('_ns')}"
    return f"{priced.price:.4g} pJ a {priced.event}"


def _source_text(part: Part) -> str:
    """Sources of a part's figures; what has none is said to be estimated."""
    texts: list[str] = []
    for figure in (part.area_mm2, part.energy_pj, part.power_mw, part.time_ns):
        if not isinstance(figure, Figure) or not figure.value:
            continue
        text = f"estimate: {figure.source or 'no reason given'}" if figure.estimate else figure.source
        if text not in texts:
            texts.append(text)
    return "; ".join(texts)


def _drawing(chip: Chip) -> str:
    """The grid in characters, at most 32 x 64; larger grids are drawn with their count."""
    rows, columns = chip.grid.rows, chip.grid.columns
    if rows > 32 or columns > 64:
        return f"  ┌─ {columns} ─┐\n  {rows} x tile\n  └{'─' * (len(str(columns)) + 4)}┘"
    link = {"mesh": "─", "torus": "═", "h-tree": " "}[chip.links.kind]
    signs = np.array(_signs(chip))[chip.kind_of(np.arange(rows * columns))].reshape(rows, columns)
    return "\n".join(f"  {link.join(row)}" for row in signs.tolist())


def _signs(chip: Chip) -> list[str]:
    """What stands for a tile of each kind: of the chip's own a square, of others the first free letter."""
    signs = ["▢"]
    for name in chip.kind_names[1:]:
        free = (letter for letter in (*name.upper(), *"ABCDEFGHIJKLMNOPQRSTUVWXYZ") if letter not in signs)
        signs.append(next(free, "?"))
    return signs
