"""Layer shapes and a chip become a mapping plan: cut, assign to tiles, place on the grid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from crossgrid.kernels.errors import ConfigError, unknown

from ..description.checks import MOST_TILES
from ..description.load import load_chip
from ..description.spec import Chip
from ..plan.digital import DigitalWork
from ..plan.graph import check_names
from ..plan.layer_shape import LayerShape
from ..plan.plan import COLUMNS, Block, MappingPlan, TileAddress
from .cutting import Table, cut
from .given import Given
from .kinds import Kinds, chips_needed, numbers_of_kinds, on_chip, plan_kinds
from .strategies import STRATEGIES, number_of_copies

__all__ = ["Block", "LayerShape", "MappingPlan", "TileAddress", "cut", "map_layers"]

#: blocks of a plan: as many take some ten gigabytes while they are costed
MOST_BLOCKS = 1 << 25

#: inputs of a batch: counts are exact as floating-point numbers
MOST_BATCH = 1 << 32

PLACEMENTS = ("row-major", "traffic")


def map_layers(
    layers: Iterable[LayerShape],
    chip: Chip | str,
    strategy: str = "per-layer",
    chips: int | None = None,
    placement: str = "row-major",
    digital: Iterable[DigitalWork] = (),
    copies: Mapping[str, int] | None = None,
    batch: int = 1,
    kinds: Kinds | None = None,
) -> MappingPlan:
    """The plan of ``layers`` on ``chips`` chips; ``chips=None`` takes as many as are needed.

    Args:
        layers: shapes in the order in which they work.
        chip: a described chip, or the name or file of one.
        strategy: a name of ``STRATEGIES``.
        chips: how many chips there are.
        placement: a name of ``PLACEMENTS``.
        digital: what the model computes besides its layers: the plan keeps it for its reports.
        copies: of strategy "replicated": how many of a layer, by its name, one of each that is not named; by
            default as many as make the plan fastest.
        batch: of strategy "time-multiplexed": inputs that pass through a round before it gives way to the
            next, so that they share its programming.
        kinds: of a chip with several kinds of tiles: which one a layer is on, by its name or a pattern such
            as "layer4.*", the last that matches; or the same as text, "conv1=fine,fc=digital". Others are on
            the chip's own tiles.

    Raises:
        ConfigError: a name that does not exist, a number that cannot be, a model that does not fit.
    """
    chip = load_chip(chip)
    shapes = tuple(layers)
    _check(shapes, strategy, chips, placement)
    _check_options(strategy, copies, batch)
    on = numbers_of_kinds(shapes, chip, kinds)
    counts = None if copies is None else number_of_copies(shapes, copies)
    given = Given(chips, counts, on if chip.kinds else None)
    _check_size(shapes, chip, given)
    chosen = STRATEGIES[strategy]
    tables = chosen.tables(shapes, chip, given)
    counts = [_chips_needed(table, chip, given, strategy, shapes) for table in tables]
    head = MappingPlan(
        chip=chip.name,
        chip_identity=chip.identity(),
        grid=(chip.grid.rows, chip.grid.columns),
        tile_out=chip.tile_out,
        tile_in=chip.tile_in,
        chips=chips or max(counts),
        strategy=strategy,
        placement=placement,
        layers=shapes,
        table={},
        digital=tuple(digital),
        strategy_why=chosen.why,
        batch=batch,
        kinds=plan_kinds(chip),
    )
    columns: list[Table] = [
        {key: np.ascontiguousarray(table[key], kind) for key, kind in COLUMNS.items()}
        for table in (on_chip(table, chip, on) for table in tables)
    ]
    plans = [
        replace(head, table=table, chips=chips or count) for table, count in zip(columns, counts, strict=True)
    ]
    return _best(plans, chip, max(counts))


def _best(plans: Sequence[MappingPlan], chip: Chip, count: int) -> MappingPlan:
    """The fastest of ``plans``, which take ``count`` chips, with its blocks placed as they are to be."""
    plan = plans[0]
    if count > 1 or len(plans) > 1 or plan.strategy == "replicated":
        from .copies_order import fastest

        plan = fastest(plans, chip)
    if plan.placement == "traffic":
        from .floor_plan import shorten_traffic

        return shorten_traffic(plan, chip)
    return plan


def _chips_needed(table: Table, chip: Chip, given: Given, strategy: str, layers: Sequence[LayerShape]) -> int:
    on = [given.kind(k) for k in range(len(layers))]
    count, kind, needed = chips_needed(table, chip, on)
    if given.chips is not None and count > given.chips:
        held = [layer.name for layer, each in zip(layers, on, strict=True) if each == kind]
        raise ConfigError(_does_not_fit(chip, (kind, needed), given.chips, count, strategy, held))
    return count


def _check_options(strategy: str, copies: Mapping[str, int] | None, batch: int) -> None:
    if copies is not None and strategy != "replicated":
        raise ConfigError(f"copies are of strategy 'replicated', not of '{strategy}'; leave them out")
    if isinstance(batch, bool) or not isinstance(batch, int) or not 1 <= batch <= MOST_BATCH:
        raise ConfigError(f"batch = {batch!r} must be an integer from 1 to {MOST_BATCH}")
    if batch > 1 and strategy != "time-multiplexed":
        raise ConfigError(
            f"batch = {batch}: strategy '{strategy}' programs its tiles once, for any number of inputs; "
            "leave it out, or take strategy 'time-multiplexed'"
        )


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


def _check_size(layers: Sequence[LayerShape], chip: Chip, given: Given) -> None:
    """Refuse what no memory holds before it is cut."""
    if given.chips is not None and given.chips * chip.tiles > MOST_TILES:
        raise ConfigError(
            f"chips = {given.chips}: with {chip.tiles} tiles each they are more than {MOST_TILES} tiles; "
            "give fewer"
        )
    blocks = 0
    kinds = [chip.described(kind) for kind in range(len(chip.kind_names))]
    for k, (layer, copies) in enumerate(zip(layers, given.copies or [1] * len(layers), strict=True)):
        height, width, of = layer.out // layer.groups, layer.in_ // layer.groups, kinds[given.kind(k)]
        blocks += copies * layer.groups * -(-height // of.tile_out) * -(-width // of.tile_in)
    if blocks > MOST_BLOCKS:
        raise ConfigError(
            f"the model needs about {blocks:,} tiles of {chip.tile_out} x {chip.tile_in} weights, a plan has "
            f"at most {MOST_BLOCKS:,}; map a part of it, or take a chip with larger tiles"
        )


def _does_not_fit(
    chip: Chip, most: tuple[int, int], chips: int, count: int, strategy: str, layers: Sequence[str]
) -> str:
    kind, needed = most
    have = chips * chip.kind_tiles[kind]
    others = "'time-multiplexed'" if strategy == "packed" else "'packed' or 'time-multiplexed'"
    owner = f"chip '{chip.name}' has" if chips == 1 else f"{chips} chips '{chip.name}' have"
    if chip.kinds:
        named = ", ".join(f"'{name}'" for name in layers[:3]) + (", …" if len(layers) > 3 else "")
        of = chip.described(kind)
        return (
            f"{named} need {needed} tiles of kind '{chip.kind_names[kind]}' ({of.tile_out} x {of.tile_in} "
            f"weights) with strategy '{strategy}', but {owner} {have}; give some of them another kind "
            f"({', '.join(name for k, name in enumerate(chip.kind_names) if k != kind)}; kinds= or --kinds), "
            f"take {count} chips (chips={count} or --chips {count}), or strategy {others}"
        )
    return (
        f"the model needs {needed} tiles of {chip.tile_out} x {chip.tile_in} weights "
        f"with strategy '{strategy}', but {owner} {have}; "
        f"{count} chips would do (chips={count} or --chips {count}), or strategy {others}"
    )
