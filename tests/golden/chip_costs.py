"""What tables of chips are made of: the cost of a network of the zoo, and Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from crossgrid.chip import Chip, load_chip, map_layers
from crossgrid.chip.cost.cost import Cost, cost_of
from crossgrid.emulator.shapes.zoo import zoo_layers


def cost(model: str, chip: Chip | str, strategy: str = "per-layer", chips: int | None = None) -> Cost:
    chip = load_chip(chip)
    return cost_of(map_layers(zoo_layers(model), chip, strategy, chips), chip)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def each(values: Sequence[float], form: str) -> str:
    texts = [format(value, form) for value in values]
    return f"{texts[0]} each" if len(set(texts)) == 1 else " / ".join(texts)
