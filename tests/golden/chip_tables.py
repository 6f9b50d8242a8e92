"""Tables of docs/chip.md: what was published or found before beside what the chips give now."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import chip_beside
import yaml
from chip_costs import cost, each, table

from crossgrid.chip import Chip, Join, LayerShape, load_chip, map_layers
from crossgrid.chip.cost.cost import Cost, cost_of, peak
from crossgrid.chip.cost.events import mvm_latency_ns
from crossgrid.chip.cost.parts import energy_by_part
from crossgrid.chip.description.events import Events
from crossgrid.chip.description.load import PRESETS, parse_chip
from crossgrid.chip.description.parsing import Figure
from crossgrid.chip.description.spec import Grid
from crossgrid.chip.plan.plan import MappingPlan
from crossgrid.chip.reports.report import Report
from crossgrid.emulator.shapes.zoo import zoo_digital, zoo_layers

#: field, its values, and before parts followed it: energy in nJ, area in mm2, peak TOPS/W
DESIGN = (
    ("adc.bits", (4, 6, 9, 12), "147 each", "4.96 each", "77 each"),
    ("dac.bits", (3, 5, 7, 9), "147 each", "4.96 each", "77 each"),
    ("adc.columns", (1, 8, 32, 128), "147 each", "4.96 each", "77 each"),
    ("crossbar.rows", (32, 64, 128, 256, 512), "311 / 207 / 147 / 119 / 108", "4.96 each",
     "15 / 35 / 77 / 162 / 333"),
    ("links.width_bits", (16, 32, 64, 128), "147 each", "4.96 each", "77 each"),
)  # fmt: skip


def demo_with(field: str, value: int) -> Chip:
    """demo-128 with one field of its file edited."""
    data: Any = yaml.safe_load((PRESETS / "demo-128.yaml").read_text())
    section, key = field.split(".")
    edited = copy.deepcopy(data)
    edited[section][key] = value
    return parse_chip(edited, "chip.yaml")


def design() -> str:
    """LeNet5 on demo-128, one field changed."""
    rows = []
    for field, values, energy, area, efficiency in DESIGN:
        chips = [demo_with(field, value) for value in values]
        costs = [cost("lenet5", chip) for chip in chips]
        rows.append([
            f"{field} {' / '.join(map(str, values))}",
            energy, each([c.energy_pj / 1e3 for c in costs], ".0f"),
            area, each([c.area_mm2 for c in costs], ".2f"), each([c.interval_ns / 1e3 for c in costs], ".1f"),
            efficiency, each([peak(chip).tops_per_w for chip in chips], ".0f"),
        ])  # fmt: skip
    return table(
        ["change", "energy nJ, before", "after", "area mm², before", "after", "interval µs",
         "peak TOPS/W, before", "after"], rows,
    )  # fmt: skip


def at_256(layer: LayerShape) -> LayerShape:
    """A layer of the zoo's ResNet-18 for images of 256 pixels, not 224."""
    if layer.convolution is None:
        return layer
    size_in, size_out = (
        (side[0] * 256 // 224, side[1] * 256 // 224)
        for side in (layer.convolution.size_in, layer.convolution.size_out)
    )
    joins = tuple(dataclasses.replace(j, values=j.values * 256**2 // 224**2) for j in layer.joins)
    shape = dataclasses.replace(layer.convolution, size_in=size_in, size_out=size_out)
    return dataclasses.replace(layer, reuse=size_out[0] * size_out[1], convolution=shape, joins=joins)


def many_core() -> Cost:
    """ResNet-18 on 322 HERMES cores, copies shared out over them (Bruschi et al., DATE 2023)."""
    chip = dataclasses.replace(load_chip("hermes-64"), grid=Grid(14, 23))
    layers = [at_256(layer) for layer in zoo_layers("resnet18")]
    return cost_of(map_layers(layers, chip, "replicated", chips=1), chip)


def batch_tops(found: Cost, batch: int = 16) -> float:
    """A batch takes one latency and an interval for each further input."""
    return batch * found.operations / (found.latency_ns + (batch - 1) * found.interval_ns) / 1e3


def neurosim() -> Chip:
    """NeuroSim's table VII has converters of 4 bits: one field of the preset edited."""
    chip = load_chip("neurosim-128")
    assert chip.adc is not None
    return dataclasses.replace(chip, adc=dataclasses.replace(chip.adc, bits=4))


#: copies with which NeuroSim's floor plan fills tiles of 8 x 8 subarrays, 4 x 4 a processing element: counted
#: by hand from the manual's section "floorplan"
FLOOR_PLAN = {"conv1": 8, "conv2": 4, "conv3": 4, "conv4": 2, "conv5": 2}


@functools.cache
def neurosim_plan() -> MappingPlan:
    """What `crossgrid map vgg8 --strategy replicated --chips 1 --copies conv1=8,...` maps."""
    return map_layers(zoo_layers("vgg8"), neurosim(), "replicated", chips=1, copies=FLOOR_PLAN)


def neurosim_cost() -> Cost:
    """What it prints."""
    return cost_of(neurosim_plan(), neurosim())


def neurosim_area() -> dict[str, float]:
    """mm2 of the tiles in use, those of copies too, by part."""
    used = neurosim_plan().tiles_used / neurosim().tiles
    return {part: area * used for part, area in neurosim_cost().area_by_part.items() if area}


def crossbars(model: str) -> int:
    """Of 256 x 256, for convolutions alone."""
    layers = [layer for layer in zoo_layers(model) if layer.convolution is not None]
    alone = [dataclasses.replace(layer, sources=None, joins=()) for layer in layers]
    return map_layers(alone, "hermes-64").tiles_used


def published() -> str:
    """No constant is fitted to these."""
    vgg8, isaac = neurosim_cost(), load_chip("isaac")
    rows = [
        ["ResNet-18 on 322 of 512 clusters (Bruschi et al. 2022), TOPS/W", "6.5", "4.13",
         f"{many_core().tops_per_w:.1f}"],
        ["... a batch of 16, TOPS", "20.2", "63.5",
         f"{batch_tops(many_core()):.1f}: their digital layers and shared buses are left out"],
        ["VGG-8 on NeuroSim V1.4, RRAM 22 nm, TOPS/W", "11.25", "37.8", f"{vgg8.tops_per_w:.1f}"],
        ["... TOPS, with the copies of its floor plan", "6.25", "3.0", f"{vgg8.tops:.1f}"],
        ["... area with these copies, mm²", "381.9 (manual); 84.8 (released results)", "7.9",
         f"{sum(neurosim_area().values()):.1f}"],
        ["ISAAC, from eDRAM to eDRAM", "22 cycles", "17", f"{mvm_latency_ns(isaac) / 100:.0f}"],
        ["CLSA-CIM, crossbars of VGG-16's, ResNet-50's convolutions", "233, 390", "233, 390",
         f"{crossbars('vgg16')}, {crossbars('resnet50')}"],
        ["energy of a run against its plan", "equal", "7 times apart", "1 %"],
    ]  # fmt: skip
    return table(["", "published", "before", "after"], [*rows, *chip_beside.published()])


def without_traffic(model: str, strategy: str) -> Cost:
    """hermes-64 with links that take no time."""
    chip = load_chip("hermes-64")
    fast = {key: Figure(1e6, "given", estimate=False) for key in ("clock_ghz", "chip_gbit_per_s")}
    chip = dataclasses.replace(chip, links=dataclasses.replace(chip.links, width_bits=1 << 16, **fast))
    return cost(model, chip, strategy)


def latencies() -> str:
    """hermes-64, microseconds; an outside review had no traffic."""
    rows = []
    for name, model, strategy, before, outside in (
        ("ResNet-9", "resnet9", "per-layer", "525", "167"),
        ("ResNet-18", "resnet18", "per-layer", "4,034", "1,773"),
        ("ResNet-18, `replicated`", "resnet18", "replicated", "1,193", "164"),
        ("ResNet-50, `replicated`", "resnet50", "replicated", "4,197", "363"),
        ("VGG-16, `replicated`", "vgg16", "replicated", "5,819", "771"),
        ("U-Net", "unet", "per-layer", "", ""),
        ("U-Net, `replicated`", "unet", "replicated", "", "5.7 times less"),
    ):
        found = (without_traffic(model, strategy), cost(model, "hermes-64", strategy))
        in_turn = found[0].latency_in_turn_ns
        less = "" if before else f": {in_turn / found[0].latency_ns:.1f} times less"
        rows.append([
            name, before or f"{in_turn / 1e3:,.0f} now", outside or "–",
            f"{found[0].latency_ns / 1e3:,.1f}{less}", f"{found[1].latency_ns / 1e3:,.1f}",
        ])  # fmt: skip
    heads = ["", "layer by layer, before", "outside, no traffic", "ours, no traffic", "ours, with traffic"]
    return table(heads, rows)


def recurrent() -> list[LayerShape]:
    """An LSTM of two layers of 650 states and 35 steps."""
    layers, read = [], ""
    for k in range(2):
        gates, state = f"ih{k}", f"hh{k}"
        layers.append(LayerShape(gates, 2600, 650, 35, sources=(read,), in_step=True))
        layers.append(LayerShape(state, 2600, 650, 35, sources=(state,), joins=(Join(gates, 2600 * 35),)))
        read = state
    return layers


def links() -> str:
    """hermes-64: what tiles alone would take, and what full links, loops and groups make of it."""

    def interval(model: str, strategy: str = "per-layer", chips: int | None = None) -> float:
        return cost(model, "hermes-64", strategy, chips).interval_ns / 1e3

    chip = load_chip("hermes-64")
    star = dataclasses.replace(chip, links=dataclasses.replace(chip.links, sums="star"), sum_bits=8)
    gpt2, bert = (cost(model, star).interval_ns / 1e3 for model in ("gpt2", "bert-base"))
    together = [dataclasses.replace(layer, grouped="diagonal") for layer in zoo_layers("mobilenet-v2")]
    mobile = map_layers(together, chip)
    vgg8 = [
        cost_of(map_layers(zoo_layers("vgg8"), chip, placement=way), chip).crossing_bits
        for way in ("traffic", "row-major")
    ]
    once, trees = (chip_beside.on_isaac(multicast=multicast) for multicast in (False, True))
    packed = map_layers(zoo_layers("resnet18"), chip, "packed")
    lstm = cost_of(map_layers(recurrent(), chip, "replicated", 80), chip).interval_ns / 1e3
    rows = [
        ["GPT-2, one token: interval", "0.42 µs",
         f"{interval('gpt2'):.2f} µs, one link of a corner; sums in one tile {gpt2:.2f}, outside 12.16"],
        ["BERT-base, 128 tokens", "53.2 µs",
         f"{interval('bert-base'):.1f} µs; sums in one tile {bert:.1f}, outside 176"],
        ["ResNet-50, `replicated`, 7 chips", "208 µs",
         f"{interval('resnet50', 'replicated', 7):.0f} µs; 301 outside, in layer order"],
        ["ResNet-18, `replicated`, on `isaac`", "105.6 µs",
         f"{once.interval_ns / 1e3:.1f} µs; with multicast {trees.interval_ns / 1e3:.1f}, its fullest link "
         f"{trees.slowest_link_ns / 1e3:.1f}; outside links of 1,098 and 27"],
        ["LSTM 2 x 650, 35 steps, 80 chips", "0.27 µs", f"{lstm:.2f} µs; no copies of states"],
        ["MobileNetV2", "7,242 tiles, 87 mJ",
         f"{mobile.tiles_used} tiles, {cost_of(mobile, chip).energy_pj / 1e9:.1f} mJ, the same interval "
         "(`--grouped diagonal`)"],
        ["VGG-8, `--placement traffic`: bits from chip to chip", "2,968,096",
         f"{vgg8[0]:,.0f}; {vgg8[1]:,.0f} without"],
        ["ResNet-18, `packed`: interval", "3,335 µs",
         f"{cost_of(packed, chip).interval_ns / 1e3:,.0f} µs as `per-layer`, on {packed.tiles_used} tiles"],
    ]  # fmt: skip
    return table(["`hermes-64`", "tiles alone", "with links, loops, groups"], rows)


def many_core_parts() -> dict[str, float]:
    """Where the throughput of ResNet-18 on 322 cores comes from."""
    found, chip = many_core(), dataclasses.replace(load_chip("hermes-64"), grid=Grid(14, 23))
    layers = [at_256(layer) for layer in zoo_layers("resnet18")]
    one = cost_of(map_layers(layers, chip, chips=1), chip)
    work = sum(entry.operations or 0.0 for entry in zoo_digital("resnet18")) * 256**2 / 224**2
    return {
        "one copy of each layer, TOPS": one.tops,
        "with copies, TOPS": found.tops,
        "and a batch of 16, TOPS": batch_tops(found),
        "interval, µs": found.interval_ns / 1e3,
        "fullest link, µs": found.slowest_link_ns / 1e3,
        "latency of one image, µs": found.latency_ns / 1e3,
        "digital operations, M": work / 1e6,
    }


def many_core_stages() -> str:
    """Of each stage the most that a layer's tiles, or its links, take for an image."""
    chip = dataclasses.replace(load_chip("hermes-64"), grid=Grid(14, 23))
    plan = map_layers([at_256(layer) for layer in zoo_layers("resnet18")], chip, "replicated", chips=1)
    found = cost_of(plan, chip)
    rows = []
    for stage in ("conv1", "layer1", "layer2", "layer3", "layer4", "fc"):
        which = [k for k, layer in enumerate(plan.layers) if layer.name.split(".")[0] == stage]
        most = max(which, key=lambda k: found.layers[k].interval_ns)
        rows.append([
            stage, str(plan.layers[most].reuse), str(int(plan.copies[most])),
            str(int(plan.layer_tiles[which].sum())), f"{found.layers[most].interval_ns / 1e3:.1f}",
            f"{max(found.layers[k].carried_ns for k in which) / 1e3:.1f}", found.layers[most].bound,
        ])  # fmt: skip
    heads = [
        "slowest layer of",
        "vectors",
        "copies",
        "tiles of the stage",
        "interval µs",
        "links µs",
        "bound by",
    ]
    return table(heads, rows)


def many_core_sums() -> str:
    published = {
        "and a batch of 16, TOPS": "20.2",
        "interval, µs": "235, from 20.2 TOPS",
    }
    rows = [
        [name, published.get(name, "not public"), f"{value:.1f}"] for name, value in many_core_parts().items()
    ]
    return table(["ResNet-18, 256 x 256, 322 cores", "published", "ours"], rows)


#: of an outside review: crossbars of 256 x 256 that the weights fill, tiles of `per-layer` and `packed` then
MAPPED = (
    ("resnet9", "–", "33"), ("resnet18", "201", "179"), ("resnet50", "422", "390"),
    ("vgg16", "2,121", "2,113"),
    ("mobilenet-v2", "7,242", "54"), ("vit-b-16", "1,317", "1,317"), ("bert-base", "1,305", "1,305"),
    ("gpt2", "1,887", "1,885"), ("LSTM 2 x 650", "–", "–"), ("unet", "454", "431"),
)  # fmt: skip


def mapped() -> str:
    """hermes-64: tiles, and how much of the time tiles and cells of `per-layer` work."""
    chip, rows = load_chip("hermes-64"), []
    for name, before, packed_before in MAPPED:
        layers = recurrent() if name.startswith("LSTM") else zoo_layers(name)
        weights = sum(layer.weights for layer in layers)
        plan, packed = map_layers(layers, chip), map_layers(layers, chip, "packed")
        report = Report.of(plan, chip, name)
        rows.append([
            name, f"{weights / 1e6:.2f} M", f"{-(-weights // 256**2):,}", before, f"{plan.tiles_used:,}",
            packed_before, f"{packed.tiles_used:,}", f"{report.tiles_busy:.1%}",
            f"{report.time_utilization:.2%}",
        ])  # fmt: skip
    heads = [
        "",
        "weights",
        "bound",
        "`per-layer`, before",
        "now",
        "`packed`, before",
        "now",
        "tiles work",
        "cells work",
    ]
    return table(heads, rows)


def placed() -> str:
    """hermes-64: bits from chip to chip, and energy of links and crossings."""
    chip, rows = load_chip("hermes-64"), []
    for name, before, energy_before in (
        ("vgg8", "497,744 -> 2,968,096", "4.03 -> 5.49"),
        ("resnet18", "1,915,008 -> 3,130,352", "14.8 -> 11.8"),
        ("resnet50", "29,146,944 -> 33,484,272", "84.2 -> 78.6"),
    ):  # fmt: skip
        found = [
            cost_of(map_layers(zoo_layers(name), chip, placement=way), chip)
            for way in ("row-major", "traffic")
        ]
        bits = " -> ".join(f"{one.crossing_bits:,.0f}" for one in found)
        moved = [Events(hop_bit=one.hop_bits, crossing_bit=one.crossing_bits) for one in found]
        energy = " -> ".join(f"{sum(energy_by_part(chip, each, 1).values()) / 1e6:.2f}" for each in moved)
        rows.append([name, before, bits, energy_before, energy])
    heads = [
        "default -> `--placement traffic`",
        "bits between chips, before",
        "now",
        "links µJ, before",
        "now",
    ]
    return table(heads, rows)


TABLES: dict[
str, Callable[[], str]] = {
    "design": design, "published": published, "stages": many_core_stages, "sums": many_core_sums,
    "latencies": latencies, "links": links, "mapped": mapped, "placed": placed,
    **chip_beside.TABLES,
}  # fmt: skip


def filled(text: str, only: Sequence[str] = tuple(TABLES)) -> str:
    """``text`` with what stands between ``<!-- table NAME -->`` and ``<!-- end -->`` written anew."""
    for name in only:
        head, start, rest = text.partition(f"<!-- table {name} -->\n")
        if start:
            _, end, tail = rest.partition("<!-- end -->")
            text = f"{head}{start}{TABLES[name]()}{end}{tail}"
    return text
