"""Which kind of tile each layer is best on: the least energy within a budget of accuracy and of tiles.

Of layers l and kinds k, with energy e, loss of accuracy a and tiles t of a layer alone on a kind:

    minimize  sum_l e[l, k(l)]
    where     sum_l max(a[l, k(l)], 0) <= budget
    and       sum of t[l, k] over the layers on k <= tiles of kind k, for each k

That losses add up is an assumption, which a run of the whole choice checks. It is solved exactly, as a linear
program in whole numbers, by SciPy's HiGHS (Huangfu and Hall, Math. Program. Comput. 10, 2018).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from crossgrid.kernels.errors import ConfigError

from ..cost.events import layer_events
from ..cost.parts import energy_by_part
from ..description.spec import Chip
from ..plan.layer_shape import LayerShape
from .mapper import map_layers

#: what rows of the program may be off by, HiGHS's own being 1e-6 of what they are scaled to
SLACK = 1e-9


class Option(NamedTuple):
    """A layer on a kind of tile."""

    energy_pj: float  # of one input, on its tiles: what travels depends on where others are
    loss: float  # of accuracy, with this layer alone on it
    tiles: int


@dataclass(frozen=True, slots=True)
class Choice:
    """A kind for each layer, and what they come to."""

    kinds: dict[str, str]
    energy_pj: float
    loss: float  # the sum of the layers', gains as none


Options = Mapping[str, Mapping[str, Option]]


def options_of(
    layers: Sequence[LayerShape], chip: Chip, losses: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, Option]]:
    """What each layer takes on each kind of which its loss is known.

    ``losses[kind][layer]`` are of layers by their names, or of modules that have several matrices.
    """
    found: dict[str, dict[str, Option]] = {}
    for kind, of_layer in losses.items():
        number = chip.kind_names.index(kind)
        plan = map_layers(layers, chip, kinds={"*": kind})
        events, tiles = layer_events(plan, chip), plan.layer_tiles.tolist()
        for name, loss in of_layer.items():
            mine = [
                k for k, layer in enumerate(layers) if layer.name == name or layer.name.startswith(f"{name}.")
            ]
            energy = sum(sum(energy_by_part(chip, events[k], 1, number).values()) for k in mine)
            option = Option(energy, loss, sum(tiles[k] for k in mine))
            found.setdefault(name, {})[kind] = option
    return found


def cheapest(options: Options, budget: float, room: Mapping[str, int]) -> Choice:
    """The kind of each layer that takes the least energy, as the module says; ``room`` has each kind's tiles.

    Raises:
        ConfigError: no choice loses so little, or there are too few tiles for any.
    """
    pairs = [(layer, kind) for layer, kinds in options.items() for kind in kinds]
    each = [options[layer][kind] for layer, kind in pairs]
    lost = np.array([max(option.loss, 0.0) for option in each])
    chosen = _solved(options, pairs, np.array([option.energy_pj for option in each]), room, (lost, budget))
    if chosen is None:
        least = _solved(options, pairs, lost, room)
        raise ConfigError(_impossible(options, room, budget, None if least is None else float(lost @ least)))
    kinds = {layer: kind for (layer, kind), taken in zip(pairs, chosen.tolist(), strict=True) if taken}
    total = sum(options[layer][kind].energy_pj for layer, kind in kinds.items())
    return Choice(kinds, total, sum(max(options[layer][kind].loss, 0.0) for layer, kind in kinds.items()))


def _solved(
    options: Options, pairs: Sequence[tuple[str, str]], price: np.ndarray, room: Mapping[str, int],
    limit: tuple[np.ndarray, float] | None = None,
) -> np.ndarray | None:  # fmt: skip
    """Which pairs of layer and kind cost the least ``price``, [pairs] of 0 and 1; None: none is possible."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    one = np.array([[float(of == layer) for of, _ in pairs] for layer in options])
    held = np.array(
        [[float(options[layer][kind].tiles) * (kind == of) for layer, kind in pairs] for of in room]
    ).reshape(len(room), len(pairs))
    rows = [
        LinearConstraint(one, 1.0, 1.0),
        LinearConstraint(held, -np.inf, np.array(list(room.values()), float) + 0.5),  # tiles are whole
    ]
    if limit is not None:
        lost, budget = limit
        scale = max(float(lost.max(initial=0.0)), budget, SLACK)
        rows.append(LinearConstraint(1e3 * lost / scale, -np.inf, 1e3 * (budget / scale + SLACK)))
    scaled = price / max(float(np.abs(price).max(initial=0.0)), 1e-300)
    found = milp(
        scaled, integrality=np.ones(len(pairs)), bounds=Bounds(0.0, 1.0), constraints=rows,
        options={"mip_rel_gap": 0.0},
    )  # fmt: skip
    return None if found.x is None else np.round(found.x).astype(int)


def _impossible(options: Options, room: Mapping[str, int], budget: float, least: float | None) -> str:
    if least is not None:
        return (
            f"budget = {budget:g}: no kinds of tiles lose so little accuracy, the least is {least:.4g}; give "
            "that or more, or a chip with finer tiles or more of them"
        )
    needed = {kind: sum(of[kind].tiles for of in options.values() if kind in of) for kind in room}
    said = ", ".join(f"'{kind}' {there} (all layers need {needed[kind]})" for kind, there in room.items())
    return f"the layers do not fit the tiles that there are: {said}; take more chips (chips=), or larger ones"
