"""Figures of published chips and tools, derived from the presets' parts; no total is written in a preset.

References: Le Gallo et al., Nature Electronics 6, 680 (2023) [HERMES]; Khaddam-Aljameh et al., JSSC 57, 1027
(2022) [HERMES core]; Shafiee et al., ISCA 2016 [ISAAC]; Ambrogio et al., Nature 620, 768 (2023) [speech];
DNN+NeuroSim manuals V1.0 table I and V2.1.
"""

from __future__ import annotations

import dataclasses

import pytest
from neurosim_utilization import V1_0, V2_1, FloorPlan, memory_utilization

from crossgrid.chip import Chip, LayerShape, load_chip, map_layers
from crossgrid.chip.cost.cost import peak
from crossgrid.chip.cost.parts import area_by_part, count_of, instances
from crossgrid.emulator.shapes.zoo import zoo_layers
from crossgrid.kernels.errors import ConfigError


def test_hermes_one_phase_throughput_efficiency_and_density() -> None:
    best = peak(load_chip("hermes-64"))
    assert best.tops == pytest.approx(63.1, rel=0.005)
    assert best.tops_per_w == pytest.approx(9.76, rel=0.005)
    assert best.tops_per_mm2 == pytest.approx(1.55, rel=0.01)


def test_hermes_four_phases() -> None:
    """The times of a phase and of the rest are solved from both throughputs; energy is not fitted here."""
    chip = load_chip("hermes-64")
    precise = dataclasses.replace(chip, crossbar=dataclasses.replace(chip.crossbar, phases=4))
    best = peak(precise)
    assert best.tops == pytest.approx(16.1, rel=0.005)
    assert best.tops_per_w == pytest.approx(2.48, rel=0.02)
    assert best.tops_per_mm2 == pytest.approx(0.400, rel=0.01)


def test_hermes_core_is_the_one_of_the_core_publication() -> None:
    """10.5 TOPS/W and 1.59 TOPS/mm² of one core at 1.008 TOPS: what is per tile, without the chip's rest."""
    chip = load_chip("hermes-64")
    core = dataclasses.replace(chip, parts=tuple(part for part in chip.parts if part.per == "tile"))
    best = peak(core)
    assert best.tops_per_w == pytest.approx(10.5, rel=0.01)
    assert 1.008 / (best.area_mm2 / 64) == pytest.approx(1.59, rel=0.01)


def test_hermes_holds_its_networks() -> None:
    """Caption LSTM of 4.08 M weights over all 64 cores (hidden size 512, output of 3872 words); ResNet-9."""
    caption = [LayerShape("lstm", 4 * 512, 512 + 512), LayerShape("words", 3872, 512)]
    assert sum(layer.weights for layer in caption) == pytest.approx(4.08e6, rel=0.001)
    assert map_layers(caption, "hermes-64", chips=1).tiles_used == 64
    resnet9 = zoo_layers("resnet9")
    assert sum(layer.weights for layer in resnet9) == pytest.approx(1.87e6, rel=0.02)
    assert map_layers(resnet9, "hermes-64", chips=1).tiles_used <= 64


def test_hermes_refuses_what_is_larger() -> None:
    with pytest.raises(ConfigError, match=r"201 tiles .* has 64; 4 chips would do"):
        map_layers(zoo_layers("resnet18"), "hermes-64", chips=1)


def _only(chip: Chip, *levels: str) -> Chip:
    return dataclasses.replace(chip, parts=tuple(part for part in chip.parts if part.per in levels))


def test_isaac_unit_tile_and_chip_power_and_area() -> None:
    """Table I: a unit 24.08 mW and 0.0131 mm², 12 of them 289 mW and 0.157 mm²; a tile 330 mW and 0.372 mm²;
    168 tiles 55.4 W and 62.5 mm²; the chip 65.8 W and 85.4 mm²."""
    chip = load_chip("isaac")
    units = _only(chip, "tile", "unit")
    assert peak(units).watts * 1e3 / 168 == pytest.approx(289, rel=0.001)
    assert sum(area_by_part(units, 1).values()) / 168 == pytest.approx(0.157, rel=0.005)
    tiles = _only(chip, "tile", "unit", "isaac-tile", "router")
    assert peak(tiles).watts * 1e3 / 168 == pytest.approx(330, rel=0.001)
    assert sum(area_by_part(tiles, 1).values()) / 168 == pytest.approx(0.372, rel=0.002)
    assert peak(tiles).watts == pytest.approx(55.4, rel=0.001)
    assert peak(chip).watts == pytest.approx(65.8, rel=0.001)
    assert peak(chip).area_mm2 == pytest.approx(85.4, rel=0.001)


def test_isaac_density() -> None:
    """478.95 GOPS/(s mm²) of 16-bit operations; the parts give 483.3, 0.9 % more."""
    assert peak(load_chip("isaac")).tops_per_mm2 * 1e3 == pytest.approx(478.95, rel=0.01)


def test_isaac_counts() -> None:
    chip = load_chip("isaac")
    by_name = {part.name: part for part in chip.parts}
    assert instances(chip, by_name["eDRAM"]) == 168
    assert instances(chip, by_name["router"]) == 42
    assert count_of(chip, by_name["DAC"]) * chip.tiles == 168 * 12 * 8 * 128


def test_speech_chip() -> None:
    """Up to 12.4 TOPS/W; five chips hold the RNN-T's weights that are on them: 34 x 512 x 512 each."""
    chip = load_chip("speech-34")
    assert peak(chip).tops_per_w == pytest.approx(12.4, rel=0.05)
    assert 5 * chip.tiles * chip.tile_out * chip.tile_in == pytest.approx(45e6, rel=0.02)
    assert chip.tiles * chip.crossbar.rows * chip.crossbar.columns == pytest.approx(35.65e6, rel=0.001)


@pytest.mark.parametrize(
    ("plan", "novel", "published"),
    [(V1_0, False, 90.65), (V1_0, True, 98.73), (V2_1, False, 91.45), (V2_1, True, 95.23)],
    ids=["V1.0-conventional", "V1.0-novel", "V2.1-conventional", "V2.1-novel"],
)
def test_neurosim_memory_utilization_of_vgg8(plan: FloorPlan, novel: bool, published: float) -> None:
    """Both manuals' figures to the last digit, by NeuroSim's floor planning.

    The manuals differ in the cells (1 bit, so eight columns a weight, against one cell), in the units'
    size and in the mean: V1.0's main.cpp prints realMappedMemory / totalNumTile, a mean over tiles.
    """
    percent = 100 * memory_utilization(zoo_layers("vgg8"), 128, novel, plan)
    assert percent == pytest.approx(published, abs=0.006)


def test_neurosim_subarrays_alone() -> None:
    """Without whole tiles and copies: 800 subarrays of which 791 are full (conv2 to fc1)."""
    plan = map_layers(zoo_layers("vgg8"), "neurosim-one-cell", chips=1)
    assert plan.tiles_used == 800
    assert plan.utilization == pytest.approx((791 * 128**2 + 27 * 128 + 1024 * 10) / (800 * 128**2))
