"""Points beyond a grid: an Optuna sampler chooses them by the rows that are there.

Which points it asks for follows from its seed and from the rows that it was told, never from when they were
done: a sweep that is called again asks for the same ones, and finds their rows in the file.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from crossgrid.kernels.errors import ConfigError, shown, unknown

from .figures import AXES, MORE_IS_BETTER, Row
from .study import Point, Study

#: a study's names of Optuna's samplers
SAMPLERS = {"nsga2": "NSGAIISampler", "tpe": "TPESampler", "random": "RandomSampler"}

#: points that are asked for before the rows of any of them are told: what Ray emulates at once
TOGETHER = 8


@dataclass(frozen=True, slots=True)
class Sampler:
    """What a study says of its sampler."""

    name: str = "nsga2"
    points: int = 100  # that are asked for; one that is asked for twice is computed once
    seed: int = 0
    objectives: Sequence[str] = ("accuracy", "energy_pj")

    def __post_init__(self) -> None:
        if self.name not in SAMPLERS:
            raise unknown("sampler", str(self.name), SAMPLERS)
        for key, least in (("points", 1), ("seed", 0)):
            value = getattr(self, key)
            if type(value) is not int or value < least:
                raise ConfigError(f"sampler: {key} = {shown(value)} must be an integer of at least {least}")
        if (
            isinstance(self.objectives, str)
            or not isinstance(self.objectives, Sequence)
            or not self.objectives
        ):
            raise ConfigError(f"sampler: objectives = {shown(self.objectives)} must be a list of figures")
        for name in self.objectives:
            if name not in AXES:
                raise unknown("figure of sampler: objectives", str(name), AXES)

    @classmethod
    def of(cls, given: Any) -> Sampler:
        """From a study's mapping.

        Raises:
            ConfigError: a key or value that cannot be, or Optuna is not installed.
        """
        if not isinstance(given, Mapping):
            raise ConfigError(
                f"study: sampler = {shown(given)} must be a mapping such as {{name: nsga2, points: 40}}"
            )
        known = [spec.name for spec in fields(cls)]
        for key in given:
            if key not in known:
                raise unknown("key of sampler", str(key), known)
        made = cls(**given)
        if importlib.util.find_spec("optuna") is None:
            raise ConfigError(
                f"sampler '{made.name}' needs the package optuna, which is not installed: pip install "
                "'crossgrid[samplers]', or leave sampler out to sweep the whole grid"
            )
        return made


def sample(study: Study, sampler: Sampler, rows_of: Callable[[list[Point]], Iterable[Row]]) -> None:
    """Ask for points and tell their rows, which ``rows_of`` gives in their order."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    directions: list[Any] = [
        "maximize" if name in MORE_IS_BETTER else "minimize" for name in sampler.objectives
    ]
    chooser = getattr(optuna.samplers, SAMPLERS[sampler.name])(seed=sampler.seed)
    asking = optuna.create_study(directions=directions, sampler=chooser)
    space = {name: _distribution(optuna, values) for name, values in study.parameters.items()}
    left = sampler.points
    while left > 0:
        trials = [asking.ask(space) for _ in range(min(TOGETHER, left))]
        left -= len(trials)
        points = [_point(study, trial.params) for trial in trials]
        for trial, row in zip(trials, rows_of(points), strict=True):
            told = [row[name] for name in sampler.objectives]
            if row["error"] or any(value is None for value in told):
                asking.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                asking.tell(trial, told)


def _distribution(optuna: Any, values: Sequence[Any]) -> Any:
    """Places in a list of values: of numbers that ascend their order counts."""
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if len(numbers) == len(values) and sorted(numbers) == numbers:
        return optuna.distributions.IntDistribution(0, len(values) - 1)
    return optuna.distributions.CategoricalDistribution(list(range(len(values))))


def _point(study: Study, places: Mapping[str, int]) -> Point:
    """The point of the whole grid that has these values."""
    number = 0
    for name, values in study.parameters.items():
        number = number * len(values) + places[name]
    return study.point(number, [values[places[name]] for name, values in study.parameters.items()])
