"""Layer shapes and a chip become a mapping plan: cut, assign to tiles, place on the grid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from crossgrid.kernels.errors import ConfigError, unknown

from ..description.checks import MOST_TILES
from ..description.load import load_chip
from ..description.spec import Chip
from ..plan.digital import DigitalWork
from ..plan.graph import check_names
from ..plan.plan import COLUMNS, Block, LayerShape, MappingPlan, TileAddress
from .cutting import cut
from .strategies import STRATEGIES

__all__ = ["Block", "LayerShape", "MappingPlan", "TileAddress", "cut", "map_layers"]

#: blocks of a plan: as many take some ten gigabytes while they are costed
MOST_BLOCKS = 1 << 25

PLACEMENTS = ("row-major", "traffic")


def map_layers(
    layers: Iterable[LayerShape],
    chip: Chip | str,
    strategy: str = "per-layer",
    chips: int | None = None,
    placement: str = "row-major",
    digital: Iterable[DigitalWork] = (),
) -> MappingPlan:
    """The plan of ``layers`` on ``chips`` chips; ``chips=None`` takes as many as are needed.

    ``digital`` is what the model computes besides its layers: the plan keeps it for its reports.
    """
    chip = load_chip(chip)
    shapes = tuple(layers)
    _check(shapes, strategy, chips, placement)
    _check_size(shapes, chip, chips)
    chosen = STRATEGIES[strategy]
    table = chosen.table(shapes, chip, chips)
    needed = int(table["tile"].max(initial=-1)) + 1
    count = -(-needed // chip.tiles)
    if chips is not None and count > chips:
        raise ConfigError(_does_not_fit(chip, needed, chips, count, strategy))
    plan = MappingPlan(
        chip=chip.name,
        chip_identity=chip.identity(),
        grid=(chip.grid.rows, chip.grid.columns),
        tile_out=chip.tile_out,
        tile_in=chip.tile_in,
        chips=chips or max(count, 1),
        strategy=strategy,
        placement=placement,
        layers=shapes,
        table={key: np.ascontiguousarray(table[key], dtype) for key, dtype in COLUMNS.items()},
        digital=tuple(digital),
        strategy_why=chosen.why,
    )
    if count > 1 or strategy == "replicated":
        from .copies_order import with_fast_order

        plan = with_fast_order(plan, chip)
    if placement == "traffic":
        from .floor_plan import shorten_traffic

        return shorten_traffic(plan, chip)
    return plan


def _check(layers: Sequence[LayerShape], strategy: str, chips: int | None, placement: str) -> None:
    if strategy not in STRATEGIES:
        raise unknown("strategy", strategy, STRATEGIES)
    if placement not in PLACEMENTS:
        raise unknown("placement", placement, PLACEMENTS)
    if chips is not None and (isinstance(chips, bool) or not isinstance(chips, int) or chips < 1):
        raise ConfigError(
            f"chips = {chips!r} must be an integer of at least 1, or None for as many as needed"
        )
    if not layers:
        raise ConfigError("the model has no layer that an analog tile could hold (linear or convolution)")
    seen: set[str] = set()
    for layer in layers:
        if layer.name in seen:
            raise ConfigError(f"two layers have the name '{layer.name}'; give every layer its own")
        seen.add(layer.name)
    check_names(layers)


def _check_size(layers: Sequence[LayerShape], chip: Chip, chips: int | None) -> None:
    """Refuse what no memory holds before it is cut."""
    if chips is not None and chips * chip.tiles > MOST_TILES:
        raise ConfigError(
            f"chips = {chips}: with {chip.tiles} tiles each they are more than {MOST_TILES} tiles; give fewer"
        )
    blocks = 0
    for layer in layers:
        height, width = layer.out // layer.groups, layer.in_ // layer.groups
        blocks += layer.groups * -(-height // chip.tile_out) * -(-width // chip.tile_in)
    if blocks > MOST_BLOCKS:
        raise ConfigError(
            f"the model needs about {blocks:,} tiles of {chip.tile_out} x {chip.tile_in} weights, a plan has "
            f"at most {MOST_BLOCKS:,}; map a part of it, or take a chip with larger tiles"
        )


def _does_not_fit(chip: Chip, needed: int, chips: int, count: int, strategy: str) -> str:
    have = chips * chip.tiles
    owner = f"chip '{chip.name}' has" if chips == 1 else f"{chips} chips '{chip.name}' have"
    return (
        f"the model needs {needed} tiles of {chip.tile_out} x {chip.tile_in} weights "
        f"with strategy '{strategy}', but {owner} {have}; "
        f"{count} chips would do (chips={count} or --chips {count}), "
        f"or strategy 'packed' or 'time-multiplexed'"
    )
