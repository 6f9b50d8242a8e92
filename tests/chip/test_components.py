"""Cost follows the design: one edited field of a chip file changes number, time, area and energy as it would.

The laws, for every preset and every field: a converter of one bit more costs more, twice where its steps set
the energy and four times where thermal noise does (Walden's and Schreier's figures of merit); a flash has
twice the comparators, a counter counts twice as long; fewer lines a converter are more converters and less
time; a larger array is larger by its cells, of which a read pays those that it reads. Reference points are
from Murmann's "ADC Performance Survey 1997-2024".
"""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from crossgrid.chip import Chip, LayerShape, load_chip, map_layers, presets
from crossgrid.chip.cost.components import Design, size
from crossgrid.chip.cost.cost import Cost, cost_of, peak
from crossgrid.chip.cost.events import mvm_interval_ns, mvm_latency_ns
from crossgrid.chip.cost.parts import (
    area_by_part,
    count_of,
    design_of,
    energy_by_part,
    estimates,
    priced_parts,
)
from crossgrid.chip.description.adc import converters
from crossgrid.chip.description.load import PRESETS, parse_chip
from crossgrid.chip.description.spec import ADC_KINDS, DAC_KINDS
from crossgrid.emulator.shapes.zoo import zoo_layers
from crossgrid.kernels.errors import ConfigError

DESCRIBED = [name for name in presets() if name != "ideal"]


def edited(name: str, place: str, value: object) -> Chip:
    """The preset with one field of its file changed."""
    data = yaml.safe_load(Path(PRESETS / f"{name}.yaml").read_text())
    section, _, key = place.partition(".")
    data[section][key] = value
    return parse_chip(data, name)


def value_of(name: str, place: str) -> Any:
    section, _, key = place.partition(".")
    return yaml.safe_load(Path(PRESETS / f"{name}.yaml").read_text())[section][key]


def lenet(chip: Chip) -> Cost:
    return cost_of(map_layers(zoo_layers("lenet5"), chip), chip)


def group(chip: Chip, name: str) -> tuple[float, float]:
    """Energy for LeNet5, and area, of the parts of one group."""
    cost = lenet(chip)
    return cost.energy_by_part[name], cost.area_by_part[name]


@pytest.mark.parametrize("name", DESCRIBED)
def test_a_converter_of_one_bit_more_costs_more(name: str) -> None:
    bits = value_of(name, "adc.bits")
    chips = [edited(name, "adc.bits", b) for b in range(bits - 3, bits + 5)]
    for less, more in pairwise(chips):
        (energy, area), (next_energy, next_area) = group(less, "ADC"), group(more, "ADC")
        assert energy < next_energy <= 4.0 * energy
        assert area < next_area
        assert mvm_interval_ns(less) <= mvm_interval_ns(more)  # where the array is slower, conversion hides
        assert mvm_latency_ns(less) <= mvm_latency_ns(more)
        assert peak(more).tops_per_w < peak(less).tops_per_w
    slower = mvm_latency_ns(chips[0]) < mvm_latency_ns(chips[-1])
    assert slower == (value_of(name, "adc.kind") != "flash")  # which decides all bits at once


@pytest.mark.parametrize("name", DESCRIBED)
def test_converters_follow_from_their_sharing(name: str) -> None:
    chip = load_chip(name)
    lines = chip.tile_out * chip.slices + chip.crossbar.offset_columns
    chips = [edited(name, "adc.columns", shared) for shared in (1, 2, 8, 32, lines)]
    for shared, one in zip((1, 2, 8, 32, lines), chips, strict=True):
        (part,) = [part for part in one.parts if part.model == "adc"]
        assert count_of(one, part) == converters(one) == -(-lines // shared)
        assert lenet(one).events.adc_conversion == lenet(chip).events.adc_conversion
    for few, many in pairwise(chips):
        assert group(few, "ADC")[1] > group(many, "ADC")[1]
        assert mvm_interval_ns(few) <= mvm_interval_ns(many)
    assert mvm_latency_ns(chips[0]) < mvm_latency_ns(chips[-1])


@pytest.mark.parametrize("name", DESCRIBED)
def test_a_driver_of_one_bit_more_costs_more(name: str) -> None:
    bits = value_of(name, "dac.bits")
    for less, more in (
        (edited(name, "dac.bits", b), edited(name, "dac.bits", b + 1)) for b in range(bits, 8)
    ):
        each = [_price(chip, "dac") for chip in (less, more)]
        assert each[0] < each[1]
        assert area_by_part(less, 1)["DAC"] < area_by_part(more, 1)["DAC"]
        if less.dac is not None and less.dac.input_bits is None:  # the whole input in one pass
            assert mvm_interval_ns(less) <= mvm_interval_ns(more)
        else:  # wider digits are fewer passes
            assert less.passes >= more.passes


def _price(chip: Chip, model: str) -> float:
    return sum(priced.price for priced in priced_parts(chip) if priced.part.model == model)


@pytest.mark.parametrize("name", DESCRIBED)
@pytest.mark.parametrize("side", ["rows", "columns"])
def test_an_array_is_as_large_as_its_cells(name: str, side: str) -> None:
    size_here = value_of(name, f"crossbar.{side}")
    one, two = load_chip(name), edited(name, f"crossbar.{side}", 2 * size_here)
    (area,), (twice,) = ([p.area_mm2 for p in priced_parts(c) if p.part.model == "array"] for c in (one, two))
    assert twice == pytest.approx(2 * area)
    # a whole tile read once: twice the cells
    full = [energy_by_part(chip, dataclasses.replace(_whole(chip)), 1)["crossbar"] for chip in (one, two)]
    assert full[1] == pytest.approx(2 * full[0])
    tile = [sum(area_by_part(chip, 1).values()) for chip in (one, two)]
    assert tile[0] < tile[1]
    part = "DAC" if side == "rows" else "ADC"
    assert area_by_part(one, 1)[part] < area_by_part(two, 1)[part]


def _whole(chip: Chip) -> Any:
    from crossgrid.chip.cost.events import mvm_events

    return mvm_events(chip, chip.tile_out, chip.tile_in)


@pytest.mark.parametrize("name", DESCRIBED)
def test_a_read_pays_the_cells_that_it_reads(name: str) -> None:
    """One output of nine inputs, a depthwise channel, costs an array what nine of its weights cost."""
    chip = load_chip(name)
    small, whole = (
        cost_of(map_layers([LayerShape("a", *shape)], chip), chip).energy_by_part["crossbar"]
        for shape in ((1, 9), (chip.tile_out, chip.tile_in))
    )
    assert small / whole == pytest.approx(9 / (chip.tile_out * chip.tile_in))


@pytest.mark.parametrize("name", [name for name in DESCRIBED if name != "isaac"])
def test_a_wider_link_is_larger_and_no_slower(name: str) -> None:
    """ISAAC's routers draw their power all the time they work; the others' links cost a bit's way."""
    width = value_of(name, "links.width_bits")
    chips = [edited(name, "links.width_bits", width * factor) for factor in (1, 2, 4)]
    for less, more in pairwise(chips):
        assert _price(less, "link") < _price(more, "link")
        assert lenet(more).latency_ns <= lenet(less).latency_ns
    areas = [area_by_part(chip, 1)["links"] for chip in chips]
    assert areas == sorted(areas)


def test_isaac_s_routers_grow_with_their_links() -> None:
    one, two = load_chip("isaac"), edited("isaac", "links.width_bits", 64)
    assert area_by_part(one, 1)["links"] < area_by_part(two, 1)["links"]
    assert peak(one).watts < peak(two).watts


@pytest.mark.parametrize("name", DESCRIBED)
def test_at_its_own_design_a_chip_has_the_figures_of_its_file(name: str) -> None:
    chip = load_chip(name)
    for priced in priced_parts(chip):
        if "alone" in priced.scaled:  # it has no figures
            assert not priced.part.area_mm2.value
            continue
        assert priced.scaled == ""
        assert priced.area_mm2 == priced.part.area_mm2.value
    assert not any("scaled by" in text for text in estimates(chip))


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("adc.bits", 12, "ADC: scaled by the model 'adc': bits 9 -> 12"),
        ("adc.bits", 12, "adc.time_ns = 6.667 (scaled from 5 at 9 bits)"),
        ("dac.bits", 8, "dac.time_ns = 127 (scaled from 63 at 7 bits)"),
        ("crossbar.rows", 256, "crossbar: scaled by the model 'array': rows 128 -> 256"),
        ("links.width_bits", 64, "links: scaled by the model 'link': width_bits 32 -> 64"),
    ],
)
def test_what_is_scaled_is_an_estimate_and_says_so(place: str, value: int, words: str) -> None:
    assert any(text.startswith(words) for text in estimates(edited("demo-128", place, value)))


def design(**changes: Any) -> Design:
    return dataclasses.replace(design_of(load_chip("demo-128")), **changes)


@pytest.mark.parametrize("kind", ["sar", "flash", "counter"])
def test_growth_of_converters_by_the_bit(kind: str) -> None:
    """Few bits: levels set the energy, 2 a bit; many: thermal noise, 4 a bit, beyond 14 (the two figures of
    merit meet there). A flash's area doubles, a capacitor array's grows less, a counter's by a flip-flop."""
    sizes = [size("adc", design(adc_kind=kind, adc_bits=b, conversion_ns=0.0)) for b in range(1, 21)]
    energy = np.array([one.energy_pj for one in sizes])
    area = np.array([one.area_mm2 for one in sizes])
    growth = energy[1:] / energy[:-1]
    assert (growth >= 2.0 - 1e-9).all()
    assert (growth < 4.0).all()
    assert growth[7] < 2.1
    assert growth[-1] > 3.5
    area_growth = area[1:] / area[:-1]
    limits = {"sar": (1.25, 1.35), "flash": (2.0, 3.0), "counter": (1.0, 1.05)}[kind]
    assert ((area_growth >= limits[0]) & (area_growth <= limits[1])).all()


def test_a_faster_converter_and_an_older_node_cost_more() -> None:
    for slow, fast in pairwise([0.0, 100.0, 10.0, 1.0, 0.1]):
        slower, faster = (size("adc", design(conversion_ns=time)) for time in (slow, fast))
        assert slower.energy_pj < faster.energy_pj
    for model in ("adc", "dac", "adder", "buffer", "link"):
        new, old = (size(model, design(node_nm=node)) for node in (14.0, 65.0))
        assert new.energy_pj < old.energy_pj
        assert new.area_mm2 < old.area_mm2


#: published converters of the survey: GHz, nm, effective bits, pJ a conversion
SURVEY = [
    (1.0, 28, 7.26, 2.55), (1.5, 14, 8.03, 4.61), (1.1, 40, 7.18, 3.64), (1.6, 16, 8.06, 5.12),
    (0.1, 40, 9.06, 14.0), (1.0, 28, 9.67, 7.6), (0.3, 14, 9.75, 11.0), (0.26, 22, 9.76, 3.73),
    (0.5, 16, 10.06, 5.6), (0.1, 28, 10.41, 3.5), (0.2, 28, 10.79, 6.5), (0.05, 65, 10.5, 9.2),
    (0.13, 28, 11.75, 6.31), (0.0246, 40, 7.05, 2.22), (0.05, 65, 9.34, 9.66), (0.9, 40, 5.26, 0.778),
]  # fmt: skip


def test_the_converter_is_one_that_was_built() -> None:
    """Good published converters lie around the model, which is a lower quartile: on average within a factor
    of 2, none below a quarter or above 8 times."""
    ratios = []
    for rate, node, bits, energy in SURVEY:
        lower, upper = (
            size("adc", design(adc_bits=b, conversion_ns=1.0 / rate, node_nm=float(node))).energy_pj
            for b in (int(bits), int(bits) + 1)
        )
        model = lower * (upper / lower) ** (bits - int(bits))
        ratios.append(energy / model)
    assert min(ratios) > 1 / 4
    assert max(ratios) < 8
    assert 0.5 < np.exp(np.mean(np.log(ratios))) < 2.0


def test_a_part_without_figures_costs_what_its_model_says() -> None:
    data = yaml.safe_load((PRESETS / "demo-128.yaml").read_text())
    data["parts"] = [{"name": "ADC", "model": "adc", "event": "adc_conversion"}]
    chip = parse_chip(data, "mine")
    (part,) = priced_parts(chip)
    expected = size("adc", design_of(chip))
    assert (part.price, part.area_mm2, part.count) == (expected.energy_pj, expected.area_mm2, 16)
    assert any("by the model 'adc' alone" in text for text in estimates(chip))


def test_a_node_scales_what_says_its_own() -> None:
    data = yaml.safe_load((PRESETS / "demo-128.yaml").read_text())
    data["node_nm"] = 14
    new, old = parse_chip(data, "new"), load_chip("demo-128")
    assert sum(area_by_part(new, 1).values()) < sum(area_by_part(old, 1).values())
    assert peak(new).tops_per_w > peak(old).tops_per_w


def test_the_design_that_costs_least_is_neither_end() -> None:
    """Sharing trades area for time and tiles area for drivers: a sweep has a front, not a corner."""
    chips = {shared: edited("demo-128", "adc.columns", shared) for shared in (1, 8, 128)}
    density = {shared: peak(chip).tops_per_mm2 for shared, chip in chips.items()}
    assert density[8] > density[128]
    assert density[8] > density[1]


@pytest.mark.parametrize("name", sorted(set(presets()) - {"ideal"}))
@pytest.mark.parametrize(("owner", "kinds"), [("adc", ADC_KINDS), ("dac", DAC_KINDS)])
def test_a_converter_of_another_kind_costs_something_else(
    name: str, owner: str, kinds: tuple[str, ...]
) -> None:
    """Of which kind a part's figures are stands beside them, so whoever changes the kind changes the cost; it
    is marked as an estimate, by the ratio of both kinds' models."""
    chip = load_chip(name)
    here = getattr(chip, owner)
    figures = set()
    for kind in kinds:
        other = dataclasses.replace(chip, **{owner: dataclasses.replace(here, kind=kind)})
        (one,) = [part for part in priced_parts(other) if part.part.model == owner]
        figures.add((one.price, one.area_mm2))
        published = bool(one.part.area_mm2.value)
        if published:
            assert (f"kind {here.kind} -> {kind}" in one.scaled) == (kind != here.kind)
            now, then = (size(owner, design_of(each)) for each in (other, chip))
            assert one.area_mm2 == pytest.approx(one.part.area_mm2.value * now.area_mm2 / then.area_mm2)
    assert len(figures) == len(kinds)


def test_a_kind_that_is_none_of_its_model_s_is_one_line() -> None:
    data = yaml.safe_load((PRESETS / "demo-128.yaml").read_text())
    (part,) = [part for part in data["parts"] if part.get("model") == "adc"]
    part["at"]["kind"] = "pulse-width"
    with pytest.raises(ConfigError, match=r"at\.kind = 'pulse-width' is none of sar, flash, counter"):
        parse_chip(data, "chip.yaml")
