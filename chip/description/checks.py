"""What a chip's fields say together: contradictions are refused with value, limit and way out."""

from __future__ import annotations

import dataclasses

from crossgrid.kernels.errors import ConfigError, nearest

from . import adc as adc_of
from . import dac as dac_of
from .parsing import one_of
from .spec import ADC_KINDS, CHIP_LINKS, DAC_KINDS, EVENTS, LINKS, MODELS, PHASES, SIGNS, SUMS, Chip, Part

#: what each model follows: the fields of a design point that it reads
FOLLOWS: dict[str, tuple[str, ...]] = {
    "": (),
    "adc": ("bits", "kind", "time_ns", "node_nm"),
    "dac": ("bits", "kind", "columns", "node_nm"),
    "array": ("rows", "columns", "devices_per_cell", "time_ns", "node_nm"),
    "line": ("node_nm",),
    "adder": ("lines", "value_bits", "node_nm"),
    "buffer": ("values", "value_bits", "node_nm"),
    "link": ("width_bits", "pitch_mm", "node_nm"),
}

MOST_TILES = 2**31 - 1  # plans number tiles in 32 bits


def check_chip(chip: Chip, where: str) -> None:
    """Raise ``ConfigError`` where the description contradicts itself; ``where`` names the file."""
    one_of(f"{where}.links.kind", chip.links.kind, LINKS)
    one_of(f"{where}.links.chips", chip.links.chips, CHIP_LINKS)
    one_of(f"{where}.links.sums", chip.links.sums, SUMS)
    _check_crossbar(chip, f"{where}.crossbar")
    if not chip.ideal and (chip.dac is None or chip.adc is None):
        raise ConfigError(f"{where}: 'dac' and 'adc' are missing; describe both, or set 'ideal: true'")
    _check_dac(chip, f"{where}.dac")
    _check_adc(chip, f"{where}.adc")
    if not chip.links.clock_ghz.value > 0.0:
        raise ConfigError(
            f"{where}.links.clock_ghz = {chip.links.clock_ghz.value:g}: links that never tick carry nothing; "
            "give a clock above 0"
        )
    if chip.chips * chip.tiles > MOST_TILES:
        raise ConfigError(
            f"{where}: {chip.chips} chips of {chip.tiles} tiles are more than {MOST_TILES} tiles; give fewer"
        )
    _check_clusters(chip, where)
    for k, part in enumerate(chip.parts):
        _check_part(chip, part, f"{where}.parts[{k}] ('{part.name}')")


def _check_crossbar(chip: Chip, where: str) -> None:
    bar = chip.crossbar
    one_of(f"{where}.sign", bar.sign, SIGNS)
    if chip.tile_out < 1:
        raise ConfigError(
            f"{where}: {bar.columns} columns less {bar.offset_columns} offset columns hold no "
            f"weight of {bar.cells_per_weight} cells; give more columns or fewer cells_per_weight"
        )
    if bar.sign == "column-pair" and bar.cells_per_weight % 2:
        raise ConfigError(
            f"{where}.cells_per_weight = {bar.cells_per_weight} must be even for sign 'column-pair'"
        )
    if (bar.columns - bar.offset_columns) % bar.cells_per_weight:
        whole = chip.tile_out * bar.cells_per_weight + bar.offset_columns
        raise ConfigError(
            f"{where}.columns = {bar.columns}: less {bar.offset_columns} offset columns they are no multiple "
            f"of the {bar.cells_per_weight} cells_per_weight; give {whole} or {whole + bar.cells_per_weight}"
        )
    if bar.bits_per_cell is None and bar.sign != "column-pair" and bar.cells_per_weight > 1:
        raise ConfigError(
            f"{where}.cells_per_weight = {bar.cells_per_weight}: with sign '{bar.sign}' an analog cell holds "
            "a whole weight; give 1, sign 'column-pair', or bits_per_cell"
        )
    if bar.bits_per_cell is not None and chip.slices * bar.bits_per_cell < bar.weight_bits - (
        bar.sign != "offset"
    ):
        raise ConfigError(
            f"{where}: {chip.slices} slices of {bar.bits_per_cell} bits hold fewer than the "
            f"{bar.weight_bits} weight_bits; raise cells_per_weight or bits_per_cell"
        )
    if bar.phases not in PHASES:
        raise ConfigError(
            f"{where}.phases = {bar.phases} must be 1, 2 (signs of inputs apart) or 4 (of weights too)"
        )
    if bar.rows_at_once is not None and bar.rows_at_once > bar.rows:
        raise ConfigError(
            f"{where}.rows_at_once = {bar.rows_at_once} is more than the {bar.rows} rows; give fewer"
        )


def _check_dac(chip: Chip, where: str) -> None:
    if chip.dac is None:
        return
    one_of(f"{where}.kind", chip.dac.kind, DAC_KINDS)
    if (chip.dac.input_bits or chip.dac.bits) < 2:
        raise ConfigError(f"{where}: an input of 1 bit is a sign alone; give input_bits, or more bits")


def _check_adc(chip: Chip, where: str) -> None:
    adc = chip.adc
    if adc is None or chip.dac is None:
        return
    one_of(f"{where}.kind", adc.kind, ADC_KINDS)
    lines = adc_of.lines(chip)
    if adc.columns > lines:
        raise ConfigError(
            f"{where}.columns = {adc.columns}: a tile has {lines} lines to convert; give at most {lines}"
        )
    if adc.bits < 2 and adc_of.has_sign(chip):
        raise ConfigError(
            f"{where}.bits = 1: sums have a sign, and one bit tells nothing else; give 2 or more"
        )
    smallest = 1.0 / adc_of.unit(chip)
    if adc.bound is not None and adc.bound < smallest:
        raise ConfigError(
            f"{where}.bound = {adc.bound:g} is below {smallest:.3g}, the smallest product that is not 0: "
            "every result would clip; give the largest output, in units of weight times input"
        )
    if not chip.ideal and not dac_of.pass_ns(chip) and not adc_of.conversion_ns(chip):
        raise ConfigError(f"{where}.time_ns and dac.time_ns are 0: a read would take no time; give one")


def _check_clusters(chip: Chip, where: str) -> None:
    names = [cluster.name for cluster in chip.clusters]
    for cluster in chip.clusters:
        if names.count(cluster.name) > 1 or cluster.name in ("tile", "chip"):
            raise ConfigError(f"{where}.clusters: the name '{cluster.name}' is taken; choose another")
        if cluster.tiles > chip.tiles:
            raise ConfigError(
                f"{where}.clusters: '{cluster.name}' has {cluster.tiles} tiles, the chip {chip.tiles}; "
                f"give at most {chip.tiles}"
            )


def _check_part(chip: Chip, part: Part, where: str) -> None:
    one_of(f"{where}.event", part.event, EVENTS)
    if part.model:
        one_of(f"{where}.model", part.model, MODELS[1:])
    levels = ("tile", "chip", *(cluster.name for cluster in chip.clusters))
    if part.per not in levels:
        raise ConfigError(f"{where}.per = '{part.per}' is no level of this chip: {nearest(part.per, levels)}")
    if part.energy_pj is not None and part.power_mw is not None:
        raise ConfigError(f"{where} has both energy_pj and power_mw; give one (power_mw with time_ns)")
    timed = part.draws_power or part.event == "none"
    if part.power_mw is not None and part.time_ns is None and not timed:
        raise ConfigError(f"{where} has power_mw but no time_ns: an event's energy is their product")
    if part.event == "none" and part.energy_pj is not None:
        raise ConfigError(f"{where} has energy_pj but no event: {nearest('', EVENTS)}")
    _check_design_point(part, where)
    _check_count(chip, part, where)


def _check_design_point(part: Part, where: str) -> None:
    given = [spec.name for spec in dataclasses.fields(part.at) if getattr(part.at, spec.name) is not None]
    follows = FOLLOWS[part.model]
    for name in given:
        if name not in follows:
            read = f"reads {', '.join(follows)}" if follows else "is missing, so the figures follow nothing"
            raise ConfigError(
                f"{where}.at.{name}: its model '{part.model}' {read}; leave it out or name a model"
            )
    if part.at.kind is not None:
        one_of(f"{where}.at.kind", part.at.kind, ADC_KINDS if part.model == "adc" else DAC_KINDS)


def _check_count(chip: Chip, part: Part, where: str) -> None:
    """A tile's converters and drivers must serve its lines and rows."""
    if part.count is None or part.per != "tile" or chip.adc is None:
        return
    needed, what = 0, ""
    if part.component == "adc":
        needed = adc_of.converters(chip)
        what = f"{adc_of.lines(chip)} lines with {chip.adc.columns} a converter"
    elif part.component == "dac":
        needed, what = chip.crossbar.rows, f"{chip.crossbar.rows} rows"
    if part.count < needed:
        raise ConfigError(
            f"{where}.count = {part.count:g} cannot serve a tile's {what}: it needs {needed}; give {needed}, "
            "or leave count out and it follows"
        )
