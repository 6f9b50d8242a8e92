"""Networks whose cost others published, beside what the parts of a chip give; no constant is fitted to them.

References: Bruschi et al., DATE 2023 (arXiv 2211.12877): ResNet-18 of 256 x 256 pixels, a batch of 16, on 512
clusters with HERMES cores, of which 322 hold weights. DNN+NeuroSim manual V1.4, table VII: VGG-8, RRAM at 22
nm, 4-bit ADC, 32 rows at once; and the results released with it (128 rows). Shafiee et al., ISCA 2016.
Pelke et al., DATE 2024 (CLSA-CIM): crossbars of 256 x 256 that convolutions take.
"""

from __future__ import annotations

import dataclasses

import pytest

from crossgrid.chip import Chip, LayerShape, load_chip, map_layers
from crossgrid.chip.cost.cost import Cost, cost_of
from crossgrid.chip.cost.events import mvm_latency_ns
from crossgrid.chip.description.spec import Grid
from crossgrid.emulator.shapes.zoo import zoo_layers

CLOSE = 0.30


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


@pytest.fixture(scope="module")
def bruschi() -> Cost:
    """322 HERMES cores, copies shared out over them."""
    chip = dataclasses.replace(load_chip("hermes-64"), grid=Grid(14, 23))
    layers = [at_256(layer) for layer in zoo_layers("resnet18")]
    return cost_of(map_layers(layers, chip, "replicated", chips=1), chip)


def test_resnet18_on_a_many_core_energy(bruschi: Cost) -> None:
    assert bruschi.tops_per_w == pytest.approx(6.5, rel=CLOSE)


def test_resnet18_on_a_many_core_throughput_is_optimistic(bruschi: Cost) -> None:
    """A batch of 16 takes one latency and 15 intervals. 20.2 TOPS are published, 58 are ours: their clusters
    also run the digital layers on processors and share buses, which is left out here."""
    batch_ns = bruschi.latency_ns + 15 * bruschi.interval_ns
    assert 16 * bruschi.operations / batch_ns / 1e3 == pytest.approx(58.2, rel=0.05)


def neurosim() -> Chip:
    """Table VII has 4 bits: one field of the preset edited."""
    chip = load_chip("neurosim-128")
    assert chip.adc is not None
    return dataclasses.replace(chip, adc=dataclasses.replace(chip.adc, bits=4))


@pytest.fixture(scope="module")
def vgg8() -> Cost:
    return cost_of(map_layers(zoo_layers("vgg8"), neurosim(), chips=1), neurosim())


def test_vgg8_on_neurosim_energy(vgg8: Cost) -> None:
    assert vgg8.tops_per_w == pytest.approx(11.25, rel=CLOSE)


def test_vgg8_on_neurosim_throughput(vgg8: Cost) -> None:
    """NeuroSim's floor plan fills tiles with copies: 8 of conv1, 4 of conv2 and conv3, 2 of conv4 and conv5
    (8 x 8 subarrays a tile, 4 x 4 a processing element, the manual's section "floorplan")."""
    copies = {"conv1": 8, "conv2": 4, "conv3": 4, "conv4": 2, "conv5": 2}
    slowest_ns = max(layer.interval_ns / copies.get(layer.name, 1) for layer in vgg8.layers)
    assert vgg8.operations / slowest_ns / 1e3 == pytest.approx(6.25, rel=CLOSE)


def test_vgg8_on_neurosim_area_by_part(vgg8: Cost) -> None:
    """Two figures are published for RRAM at 22 nm and differ by 4.5: 381.9 mm2 (manual, table VII), of which
    no parts are given, and 84.8 mm2 (released results): array 3.6, converters 5.1, accumulation 15.1,
    interconnect 8.3, drivers, decoders, buffers and the rest 52.7. Ours, of the tiles in use: array 8,
    converters 29, accumulation 12, interconnect 4, drivers and buffers 4; high-voltage drivers
    of rows are not modelled."""
    used = 6344 / 9216
    ours = {part: area * used for part, area in vgg8.area_by_part.items() if area}
    expected = {"ADC": 29.0, "DAC": 3.0, "crossbar": 8.0, "digital": 12.0, "buffers": 1.1, "links": 4.0}
    assert ours == pytest.approx(expected, rel=0.05)
    assert sum(ours.values()) == pytest.approx(57.1, rel=0.02)


def test_isaac_s_pipeline_takes_22_cycles() -> None:
    """Figure 4: eDRAM read, 16 array reads, conversion, shift-and-add, output register, sigmoid, write."""
    assert mvm_latency_ns(load_chip("isaac")) == pytest.approx(22 * 100)


@pytest.mark.parametrize(("model", "crossbars"), [("vgg16", 233), ("resnet50", 390)])
def test_crossbars_of_convolutions_are_those_of_clsa_cim(model: str, crossbars: int) -> None:
    """Crossbars of 256 x 256, convolutions only."""
    layers = [layer for layer in zoo_layers(model) if layer.convolution is not None]
    alone = [dataclasses.replace(layer, sources=None, joins=()) for layer in layers]
    assert map_layers(alone, "hermes-64").tiles_used == crossbars
