"""Which plan a model runs on: one that is given, or one that is mapped for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypedDict

from torch import nn

from crossgrid.chip import Chip, LayerShape, MappingPlan, load_chip, map_layers, presets
from crossgrid.chip.mapping.kinds import Kinds
from crossgrid.chip.mapping.mapper import PLACEMENTS
from crossgrid.chip.plan.file import load_plan
from crossgrid.chip.plan.plan import check_chip
from crossgrid.chip.plan.sound import check_blocks
from crossgrid.kernels.errors import ConfigError, unknown

from ..nn.matrix import AnalogMatrix
from ..shapes.analog import plain_shapes, traced_shapes
from ..shapes.counting import ModelShapes

DEFAULT_STRATEGY = "per-layer"


class MappingOptions(TypedDict, total=False):
    """Where the blocks of a model are, beside the mapper's strategy; see ``emulate``."""

    plan: MappingPlan | str | os.PathLike[str] | None
    placement: str
    chips: int | None
    reprogram: bool
    kinds: Kinds | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a plan: to be this one, or how it is made; whether its rounds program the tiles."""

    plan: MappingPlan | None
    strategy: str
    placement: str
    chips: int | None
    reprogram: bool = False
    kinds: Kinds | None = None

    @classmethod
    def of(cls, strategy: str, options: Mapping[str, Any]) -> Wanted:
        """From the arguments of ``emulate``; the plan of a file is read.

        Raises:
            ConfigError: an argument that does not exist, or one that a given plan leaves no choice for.
        """
        known = tuple(MappingOptions.__annotations__)
        for name in options:
            if name not in known:
                raise unknown("argument of emulate", name, known)
        plan, chips, kinds = options.get("plan"), options.get("chips"), options.get("kinds")
        placement = options.get("placement", PLACEMENTS[0])
        reprogram = options.get("reprogram", False)
        if not isinstance(reprogram, bool):
            raise ConfigError(f"reprogram = {reprogram!r} must be True or False")
        if plan is None:
            return cls(None, strategy, placement, chips, reprogram, kinds)
        if strategy != DEFAULT_STRATEGY or placement != PLACEMENTS[0] or chips is not None or kinds:
            raise ConfigError("plan= is mapped already: leave out strategy, placement, chips and kinds")
        if isinstance(plan, MappingPlan):
            check_blocks(plan)
            return cls(plan, plan.strategy, plan.placement, plan.chips, reprogram)
        if not isinstance(plan, (str, os.PathLike)):
            raise ConfigError(
                f"plan is of type {type(plan).__name__}; give a MappingPlan, or the file of a saved one"
            )
        loaded = load_plan(os.fspath(plan))
        return cls(loaded, loaded.strategy, loaded.placement, loaded.chips, reprogram)

    def chip(self, given: str | os.PathLike[str] | Chip | None) -> Chip | None:
        """The chip that is given, else that of the plan, if there is one."""
        if given is not None:
            return load_chip(given)
        if self.plan is None:
            if self.chips is not None or self.placement != PLACEMENTS[0] or self.kinds:
                raise ConfigError("chips, placement and kinds are of a chip: give chip=, or leave them out")
            if self.reprogram:
                raise ConfigError("reprogram=True is of a chip's tiles: give chip=, or leave it out")
            return None
        if self.plan.chip not in presets():
            raise ConfigError(f"the plan is for the chip '{self.plan.chip}', which is no preset: give chip=")
        return load_chip(self.plan.chip)


def planned(
    model: nn.Module, layers: list[tuple[str, AnalogMatrix]], chip: Chip, wanted: Wanted, example: Any
) -> MappingPlan:
    """The plan of a model's layers on ``chip``: the wanted one, or one that is mapped as is wanted.

    Raises:
        ConfigError: it belongs to another model or chip, or the model does not fit.
    """
    if wanted.strategy == "replicated" and example is None and wanted.plan is None:
        raise ConfigError(
            "strategy 'replicated' copies the layers that an input passes through most often: show it one, "
            "emulate(..., example_input=a batch or its shape), or take strategy 'per-layer'"
        )
    shapes = plain_shapes(model, layers) if example is None else traced_shapes(model, layers, example)
    if wanted.plan is not None:
        check_chip(wanted.plan, chip)
        return _adopted(wanted.plan, shapes, traced=example is not None)
    chips = chip.chips if wanted.chips is None else wanted.chips
    return map_layers(
        shapes.layers, chip, wanted.strategy, chips, placement=wanted.placement, digital=shapes.digital,
        kinds=wanted.kinds,
    )  # fmt: skip


def _adopted(plan: MappingPlan, shapes: ModelShapes, traced: bool) -> MappingPlan:
    """A given plan for these layers, in the plan's order; what an example tells of them is taken over."""
    given = {shape.name: shape for shape in shapes.layers}
    planned_names = [shape.name for shape in plan.layers]
    both = [given[name] for name in planned_names if name in given]
    further = [shape for shape in shapes.layers if shape.name not in planned_names]
    layers: tuple[LayerShape, ...] = (*both, *further)
    plan.check_model(layers)
    return replace(plan, layers=layers, digital=shapes.digital) if traced else plan


def knows_reuse(plan: MappingPlan | None, traced: bool) -> bool:
    """Whether a plan says how often an input passes through each layer: an example told, once."""
    return traced or (plan is not None and any(layer.sources is not None for layer in plan.layers))
