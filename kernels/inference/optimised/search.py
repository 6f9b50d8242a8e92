"""The search for a strategy: SciPy's differential evolution over the error that a noise model leaves.

The error is the time-averaged normalised mean square error: the mean, over times and weights, of
((alpha w(t) - w) / max |w|)², w(t) being what is left of a programmed weight and alpha the factor of the
drift compensation. Every strategy is tried on devices with the same random numbers. The error is therefore a
function of the strategy alone: two that differ little have errors that do, a search repeats, and it ends in
the same place however many threads try strategies. What is reported is the error on devices with others.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...backends import CPU
from ...config import Config, config, field
from ...errors import ConfigError, InputError
from ..compensation import BaseDriftCompensation
from ..noise.base import BaseNoiseModel
from ..noise.converters import BaseConductanceConverter
from ..noise.custom_pair import CustomPairConductanceConverter
from ..programming import ProgrammedState, weights_over_time
from .strategies import StrategySpace, converter_at

Array = NDArray[np.float32]
SEARCHED = 0  # tick of the programming that strategies are tried on; those of a report follow


@config
class ProgrammingSearch(Config):
    """How long and how widely strategies are searched for; names and defaults as in aihwkit 1.1.0."""

    strategy: str = field("best1bin")
    """Name of the rule by which SciPy's differential evolution mixes strategies."""
    popsize: int = field(100, at_least=1)
    """Number of strategies of a generation for each coordinate of a strategy."""
    maxiter: int = field(200, at_least=1)
    """Largest number of generations."""
    tol: float = field(0.0, at_least=0.0)
    """Ratio of a generation's spread of errors to their mean at which the search ends."""
    atol: float = field(0.02, at_least=0.0)
    """Spread of a generation's errors at which the search ends, relative to the baseline's error."""
    mutation: float = field(0.1, at_least=0.0, below=2.0)
    """Factor of the differences that are added to a strategy: the larger, the wider the search."""
    recombination: float = field(0.3, at_least=0.0, at_most=1.0)
    """Probability that a coordinate is that of the mixed strategy: the larger, the sooner it ends."""
    polish: bool = field(True)
    """Whether the best strategy is at last improved along its gradient (L-BFGS-B)."""
    loss_margin: float = field(0.125)
    """Fraction of the baseline's error by which the search must be better to end early."""
    baseline_iterations: int = field(100, at_least=1)
    """Number of programmings over which the reported errors are averaged."""
    seed: int = field(100, at_least=0)
    """Seed of the search and of the devices that strategies are tried on."""
    workers: int = field(1)
    """Number of threads that try strategies, which changes no result; -1: as many as there are cores."""


@dataclass(frozen=True)
class Task:
    """What is to be programmed, and what the devices do to it.

    Attributes:
        w_OI: the weights [out, in], float32.
        noise_model: programming, drift and read noise; its converter is what is searched for.
        times_s: seconds after programming at which errors count.
        compensation: of the drift; None: none.
        key_2: the key of the random numbers.
    """

    w_OI: Array
    noise_model: BaseNoiseModel
    times_s: tuple[float, ...]
    compensation: BaseDriftCompensation | None
    key_2: NDArray[np.uint32]

    def __post_init__(self) -> None:
        if self.w_OI.ndim != 2 or self.w_OI.size == 0 or not np.isfinite(self.w_OI).all():
            raise InputError(f"weights of shape {self.w_OI.shape} must be a matrix of finite numbers")
        if not np.any(self.w_OI):
            raise InputError("all weights are zero: every strategy bears them alike")
        if not self.times_s or not all(0.0 <= t_s < np.inf for t_s in self.times_s):
            raise InputError(f"times = {list(self.times_s)} must hold finite seconds of at least 0")


@dataclass(frozen=True)
class OptimisedProgramming:
    """What a search found.

    Attributes:
        converter: the strategy.
        error, baseline_error: time-averaged normalised mean square errors, without unit.
        beaten_by: how the search saw it, (error - baseline) / baseline + margin: below 0 where it succeeded.
        evaluations: strategies that were tried.
        message: why the search ended, in SciPy's words.
    """

    converter: CustomPairConductanceConverter
    error: float
    baseline_error: float
    beaten_by: float
    evaluations: int
    message: str


def representative(weights: Any, count: int, seed: int) -> Array:
    """``count`` weights with the distribution of ``weights``: its quantiles, in drawn order."""
    w = np.asarray(weights, np.float32).ravel()
    if w.size == 0 or not np.isfinite(w).all():
        raise InputError("the weights to be programmed must be finite numbers, one at least")
    quantiles = np.quantile(w, np.linspace(0.0, 1.0, count))
    return np.random.default_rng(seed).permutation(quantiles).astype(np.float32)


def time_averaged_error(task: Task, converter: BaseConductanceConverter, tick: int) -> float:
    """The time-averaged normalised mean square error of ``converter`` on the devices of ``tick``.

    Raises:
        ConfigError: the noise model holds for another range of conductances.
    """
    model = copy.copy(task.noise_model)
    model.g_converter = converter
    state = ProgrammedState.of(task.w_OI[None], model, task.key_2[None], tick, CPU)
    programmed_TOI, weights_NTOI = weights_over_time(state, task.times_s, tick)
    left_NOI, read_out, in_size = weights_NTOI[:, 0], task.compensation, task.w_OI.shape[1]
    if read_out is not None:
        baseline = read_out.baseline(_reading(programmed_TOI[0]), _reading(task.w_OI), in_size)
        for left_OI in left_NOI:
            alpha = read_out.alpha(baseline, _reading(left_OI), in_size)
            np.multiply(left_OI, np.reshape(alpha, (-1, 1)), out=left_OI)
    error = np.mean(np.square((left_NOI - task.w_OI).astype(float)))
    return float(error) / float(np.abs(task.w_OI).max()) ** 2


def _reading(w_OI: Array) -> Callable[[Array], Array]:
    """Exact products with ``w_OI``."""
    return lambda x_BI: x_BI @ w_OI.T


def stop_when_beaten(intermediate_result: Any) -> None:
    """End a search by SciPy once the baseline is beaten by the margin.

    Raises:
        StopIteration: it is; SciPy ends the search.
    """
    if intermediate_result.fun < 0.0:
        raise StopIteration


def optimised_programming(
    task: Task,
    space: StrategySpace,
    baseline: BaseConductanceConverter,
    search: ProgrammingSearch | None = None,
    *,
    callback: Callable[..., Any] | None = stop_when_beaten,
) -> OptimisedProgramming:
    """The strategy of ``space`` that bears the weights of ``task`` best, as far as the search came.

    Args:
        task: weights, noise and times.
        space: what is open of a strategy.
        baseline: the converter to be beaten.
        search: how long and how widely to search.
        callback: what SciPy calls after each generation, as ``stop_when_beaten``; None: nothing.

    Raises:
        ConfigError: the noise model holds for another range of conductances, or SciPy refuses the search.
    """
    from scipy.optimize import differential_evolution

    search = ProgrammingSearch() if search is None else search
    to_beat = time_averaged_error(task, baseline, SEARCHED)
    if not to_beat > 0.0:
        raise ConfigError(f"{type(baseline).__name__} makes no error with this noise model: nothing to beat")

    def beaten_by(point: NDArray[np.float64]) -> float:
        error = time_averaged_error(task, converter_at(space, np.clip(point, 0.0, 1.0)), SEARCHED)
        return (error - to_beat) / to_beat + search.loss_margin

    with ThreadPoolExecutor(None if search.workers < 1 else search.workers) as threads:
        try:
            found = differential_evolution(
                beaten_by, [(0.0, 1.0)] * space.dimensions, strategy=search.strategy, popsize=search.popsize,
                maxiter=search.maxiter, tol=search.tol, atol=search.atol, mutation=search.mutation,
                recombination=search.recombination, polish=search.polish, seed=search.seed,
                callback=callback, updating="deferred", workers=threads.map,
            )  # fmt: skip
        except ValueError as refused:
            raise ConfigError(f"ProgrammingSearch: {refused}") from refused
    converter = converter_at(space, np.clip(found.x, 0.0, 1.0))
    error, baseline_error = (_reported(task, each, search) for each in (converter, baseline))
    return OptimisedProgramming(
        converter, error, baseline_error, float(found.fun), int(found.nfev), str(found.message)
    )


def _reported(task: Task, converter: BaseConductanceConverter, search: ProgrammingSearch) -> float:
    ticks = range(SEARCHED + 1, SEARCHED + 1 + search.baseline_iterations)
    return float(np.mean([time_averaged_error(task, converter, tick) for tick in ticks]))
