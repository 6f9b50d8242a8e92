"""``choose_kinds``: the kind of tile of each layer by what it loses there, and a run of the whole choice."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from crossgrid.chip import map_layers
from crossgrid.chip.mapping.choice import Choice, Option, cheapest, options_of
from crossgrid.kernels.errors import ConfigError

from ..config.causes import EVERYTHING
from ..sweep.alone import NONE
from ..sweep.figures import Row
from ..sweep.points import Bench
from ..sweep.result import Sweep
from ..sweep.settings import Settings
from ..sweep.study import Study, study_of
from ..sweep.sweep import computed
from .sensitivity import UNKNOWN, fixed


@dataclass(frozen=True)
class KindChoice:
    """A kind of tile for each layer of a study's model.

    ``runs`` are emulations of the whole, with energy and area: all layers on one kind, and the choice.
    """

    choice: Choice
    budget: float
    options: dict[str, dict[str, Option]]  # of each layer on each kind
    runs: dict[str, Row]  # by the kind that all layers are on; "chosen" is the choice
    sensitivities: Sweep
    samples: int

    @property
    def kinds(self) -> dict[str, str]:
        """As ``emulate`` and ``map_layers`` take it."""
        return self.choice.kinds

    @property
    def text(self) -> str:
        """The same as text, for ``--kinds`` and for studies."""
        return ",".join(f"{layer}={kind}" for layer, kind in self.kinds.items())

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "kinds": self.kinds,
            "budget": self.budget,
            "loss": self.choice.loss,
            "energy_pj": self.choice.energy_pj,
            "samples": self.samples,
            "options": {
                layer: {kind: option._asdict() for kind, option in kinds.items()}
                for layer, kinds in self.options.items()
            },
            "runs": self.runs,
        }


def choose_kinds(
    study: Study | Mapping[str, Any] | str | os.PathLike[str],
    budget: float,
    rows: str | os.PathLike[str] | None = None,
    backend: Literal["local", "ray"] = "local",
    workers: int | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
) -> KindChoice:
    """The kind of tile of each layer that takes the least energy within a budget of accuracy.

    A run for each layer and kind says what accuracy goes with that layer alone on that kind, everything else
    exact, by all causes that the study has. Then kinds are chosen so that these losses, gains as none, add up
    to the budget at most and the tiles of each kind suffice, with the least energy on tiles: exactly, by a
    linear program in whole numbers. Losses of several layers need not add up: the choice is emulated as a
    whole, beside all layers on each kind.

    Args:
        study: as for ``sensitivity``; its chip has several kinds of tiles.
        budget: the accuracy to give up at most, a fraction of the inputs.
        rows: a CSV or Parquet file for the rows of the single layers, found again as in ``sweep``.
        backend, workers, settings: as for ``sensitivity``.

    Raises:
        ConfigError: as for ``sensitivity``; a chip of like tiles, or no choice within budget and tiles.
    """
    number = isinstance(budget, (int, float)) and not isinstance(budget, bool)
    if not number or not 0.0 <= budget <= 1.0:
        raise ConfigError(f"budget = {budget!r} must be a fraction of the inputs, 0 to 1; 0.01 is one in 100")
    data = fixed(study_of(study), {"kinds": None, **(settings or {})})
    probe = Study(**{**data, "parameters": {**data["parameters"], **UNKNOWN}})
    bench = Bench(probe)
    setting = Settings(probe).of(next(probe.points()))
    chip, layers = setting.chip, bench.shapes(setting)
    if not chip.kinds:
        raise ConfigError(
            f"the tiles of chip '{chip.name}' are all alike; describe others in its file "
            "(kinds: {fine: {tiles: 16, adc: {bits: 8}}}, digital: {cores: 4})"
        )
    kinds = [name for name, tiles in zip(chip.kind_names, chip.kind_tiles, strict=True) if tiles]
    # one layer at a time is asked about: its own tiles have to suffice, not those of all at once
    chips = max(map_layers(layers, chip, kinds={"*": kind}).chips for kind in kinds)
    varied = {
        "kinds": [f"*={kind}" for kind in kinds],
        "layer": [NONE, *bench.layers()],
        "cause": [EVERYTHING],
    }
    whole = replace(probe, chips=chips, parameters={**data["parameters"], **varied})
    done = computed(whole, rows, backend, workers, bench.with_study(whole))
    options = options_of(layers, chip, _losses(done, kinds))
    there = setting.chips or chip.chips
    room = {kind: there * chip.kind_tiles[chip.kind_names.index(kind)] for kind in kinds}
    choice = cheapest(options, budget, room)
    runs = _runs(data, bench, [*(f"*={kind}" for kind in kinds), _text(choice)], backend, workers)
    named = dict(zip((*kinds, "chosen"), runs, strict=True))
    return KindChoice(choice, float(budget), options, named, done, len(bench.load()[3]))


def _text(choice: Choice) -> str:
    return ",".join(f"{layer}={kind}" for layer, kind in choice.kinds.items())


def _losses(done: Sweep, kinds: list[str]) -> dict[str, dict[str, float]]:
    """Of each kind what each layer loses on it; runs with an error are no options."""
    found: dict[str, dict[str, float]] = {kind: {} for kind in kinds}
    errors = {row["error"] for row in done.rows}
    if len(errors) == 1 and "" not in errors:
        raise ConfigError(errors.pop())  # what is wrong with every run is wrong with the study
    exact = next((row["accuracy"] for row in done.rows if row["layer"] == NONE and not row["error"]), None)
    for row in done.rows:
        if row["layer"] != NONE and row["accuracy"] is not None and exact is not None:
            found[row["kinds"].removeprefix("*=")][row["layer"]] = exact - row["accuracy"]
    for row in done.rows:
        if row["error"] and not any(row["layer"] in of for of in found.values()):
            raise ConfigError(f"layer '{row['layer']}' runs on no kind of tile: {row['error']}")
    return found


def _runs(
    data: Mapping[str, Any], bench: Bench, kinds: list[str], backend: str, workers: int | None
) -> list[Row]:
    """A row for each of several assignments of kinds, as a whole."""
    distinct = list(dict.fromkeys(kinds))
    study = Study(**{**data, "parameters": {**data["parameters"], "kinds": distinct}})
    of = {row["kinds"]: row for row in computed(study, None, backend, workers, bench.with_study(study)).rows}
    return [of[each] for each in kinds]
