"""More tables of docs/chip.md: large networks, more chips, single published figures, what chips compute."""

from __future__ import annotations

import dataclasses
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from chip_costs import cost, table

from crossgrid.chip import LayerShape, load_chip, map_layers, presets
from crossgrid.chip.cost.cost import Cost, cost_of, peak
from crossgrid.emulator.shapes.zoo import zoo_layers

#: of an outside review: tiles of `per-layer` and `packed`, seconds of planning; seconds that a test allows
LARGE = (
    ("mixtral-8x7b, one block", "22,160", "22,145", "1.9", 5.0),
    ("mixtral-8x7b", "–", "–", "–", 30.0),
    ("llama-2-7b", "100,816", "100,816", "1.2", 5.0),
    ("llama-2-70b", "1,048,480", "1,048,480", "5.0", 30.0),
)


def large_layers(name: str) -> list[LayerShape]:
    """A network of the zoo, or its first block alone."""
    model, block, _ = name.partition(", one block")
    layers = zoo_layers(model)
    if not block:
        return layers
    first = [layer for layer in layers if layer.name.startswith("model.layers.0.")]
    return [dataclasses.replace(layer, sources=None, joins=()) for layer in first]


def large() -> str:
    """hermes-64: tiles of language models."""
    rows = []
    for name, before, packed_before, seconds, limit in LARGE:
        layers = large_layers(name)
        tiles = [map_layers(layers, "hermes-64", how).tiles_used for how in ("per-layer", "packed")]
        weights = sum(layer.weights for layer in layers)
        rows.append([
            name, f"{weights / 1e6:,.0f} M", f"{-(-weights // 256**2):,}", before, f"{tiles[0]:,}",
            packed_before, f"{tiles[1]:,}", seconds, f"under {limit:.0f}",
        ])  # fmt: skip
    heads = [
        "", "weights", "bound", "`per-layer`, before", "now", "`packed`, before", "now", "s to map, before",
        "now",
    ]  # fmt: skip
    return table(heads, rows)


def on_isaac(multicast: bool) -> Cost:
    """ResNet-18, `replicated`."""
    chip = load_chip("isaac")
    chip = dataclasses.replace(chip, links=dataclasses.replace(chip.links, multicast=multicast))
    return cost("resnet18", chip, "replicated")


def chips() -> str:
    """hermes-64: `replicated` ResNet-18, and what sets its interval."""
    rows = []
    for number, tiles, before in ((8, "26.1", "57.1"), (16, "11.3", "28.4"), (24, "–", "28.4")):
        found = cost("resnet18", "hermes-64", "replicated", number)
        rows.append([
            str(number), tiles, before, f"{found.interval_ns / 1e3:.1f}",
            f"{found.slowest_link_ns / 1e3:.1f}", found.bottleneck,
        ])  # fmt: skip
    heads = ["chips", "tiles alone, outside, µs", "before", "now", "fullest link, µs", "set by"]
    return table(heads, rows)


def one_vector_a_layer(phases: int) -> Cost:
    """hermes-64: ResNet-9, each of its matrices read once."""
    chip = load_chip("hermes-64")
    chip = dataclasses.replace(chip, crossbar=dataclasses.replace(chip.crossbar, phases=phases))
    layers = zoo_layers("resnet9")
    once = [dataclasses.replace(layer, reuse=1, convolution=None, joins=()) for layer in layers]
    return cost_of(map_layers(once, chip), chip)


def two_bit_cells() -> tuple[float, float, float]:
    """neurosim-128, cells of 2 bits, converters of 4: mm2 of tiles in use, mW pipelined and in turn."""
    chip = load_chip("neurosim-128")
    assert chip.adc is not None
    adc = dataclasses.replace(chip.adc, bits=4)
    crossbar = dataclasses.replace(chip.crossbar, bits_per_cell=2, cells_per_weight=4)
    chip = dataclasses.replace(chip, adc=adc, crossbar=crossbar)
    plan = map_layers(zoo_layers("vgg8"), chip, chips=1)
    found = cost_of(plan, chip)
    area = found.area_mm2 * plan.tiles_used / chip.tiles
    return area, found.energy_pj / found.interval_ns, found.energy_pj / found.latency_in_turn_ns


def published() -> list[list[str]]:
    """Rows of single figures: source, published, before, now."""
    precise, fast = one_vector_a_layer(4), one_vector_a_layer(1)
    area, pipelined, in_turn = two_bit_cells()
    return [
        ["HERMES, ResNet-9, a vector a layer, µJ", "1.51", "1.99; 0.57 with one phase",
         f"{precise.energy_pj / 1e6:.2f}; {fast.energy_pj / 1e6:.2f}"],
        ["... µs", "1.52, of what is not public", "5.25; 1.68 with one phase",
         f"{precise.latency_ns / 1e3:.2f}; {fast.latency_ns / 1e3:.2f}"],
        ["VGG-8 on NeuroSim V1.3, 22 nm, cells of 2 bits, mm²", "45.5 (a user's run)", "31.7", f"{area:.1f}"],
        ["... mW", "27, layer by layer", "261, pipelined",
         f"{in_turn:.0f} layer by layer, {pipelined:.0f} pipelined"],
        ["ISAAC, GOPS/W", "363.7 (CE), 380.7 (PE)", "627",
         f"{peak(load_chip('isaac')).tops_per_w * 1e3:.0f}; their density, area and power give 621"],
    ]  # fmt: skip


#: of an outside review, of another small network: per cent
RIGHT = {
    "ideal": "98.2", "demo-128": "98.0", "hermes-64": "98.4", "speech-34": "98.0", "isaac": "98.0",
    "neurosim-128": "9.2", "neurosim-one-cell": "as `neurosim-128` was",
}  # fmt: skip


def right(names: tuple[str, ...] = ()) -> dict[str, float]:
    """Per cent of examples/digits_cnn.py's 360 digits that are named rightly on each chip."""
    import crossgrid as cg

    sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
    import digits_cnn

    network, (x, y) = digits_cnn.net(), digits_cnn.test_set()
    found = {"digital": 100.0 * float((network(x).argmax(1) == y).double().mean())}
    for name in names or presets():
        model = cg.convert_to_analog(network, cg.InferenceRPUConfig(), seed=1).eval()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", f"chip '{name}': adc.bits")
            with cg.emulate(model, name, example_input=(1, 1, 8, 8)) as running:
                found[name] = 100.0 * float((running.infer(x, 250).argmax(1) == y).double().mean())
    return found


def accuracies() -> str:
    found = right()
    rows = [[name, RIGHT.get(name, "97.4"), f"{percent:.0f}"] for name, percent in found.items()]
    return table(["digits, per cent right", "before", "now"], rows)


TABLES: dict[str, Callable[[], str]] = {"large": large, "chips": chips, "accuracies": accuracies}
