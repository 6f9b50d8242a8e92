"""What all pulsed devices have in common: their parameters and how a population of them is drawn."""

from __future__ import annotations

import functools
from collections import namedtuple
from collections.abc import Mapping
from enum import IntEnum
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from ..config import Config, config, field
from ..errors import ConfigError
from ..machine.bind import Formula
from ..rng.formulas import exponential

Array = NDArray[np.float32]
Population = dict[str, Array]


class Spread(IntEnum):
    """Numbers of the draws that make a device. Part of the reproducible result: never renumber."""

    STEP = 0
    UP_DOWN = 1
    UPPER = 2
    LOWER = 3
    RESET = 4
    LIFETIME = 5
    DIFFUSION = 6
    DRIFT = 7
    STUCK = 8  # uniform
    STUCK_VALUE = 9  # uniform
    OWN = 12  # a device's further draws start here


class Draws(Protocol):
    """Addressed random numbers for a range of rows of each tile, [tiles, rows, columns]."""

    def normal(self, index: int) -> Array:
        """Standard normals, number ``index`` of each crosspoint."""

    def uniform(self, index: int) -> Array:
        """Uniform numbers in [0, 1), number ``index`` of each crosspoint."""


@config
class DriftParameter(Config):
    """Power-law drift of a weight since its last change: w(t) = w_0 max((t - t_w) / t_0, 1)^-nu.

    w_0 is the weight at that change, t_w its time; each device has an exponent nu of its own.
    """

    nu: float = field(0.0)
    """Mean exponent of the drift, without unit."""
    nu_dtod: float = field(0.0, at_least=0.0)
    """Spread of the exponent from device to device, relative to ``nu``."""
    nu_std: float = field(0.0, at_least=0.0)
    """Noise of a device's exponent from one call to the next, relative to the exponent."""
    nu_k: float = field(0.0)
    """Fall of the exponent for each unit of ln(g), g the conductance of the weight; without unit."""
    log_g0: float = field(0.0)
    """The ln(g) at which ``nu`` holds; without unit."""
    t_0: float = field(1.0, above=0.0)
    """Time after a change of the weight up to which it does not drift, in units of the time that is let pass
    (seconds)."""
    g_offset: float = field(0.0)
    """Conductance g of a weight of ``w_offset``, in units of conductance that are yours."""
    w_offset: float = field(0.0)
    """Weight at the conductance ``g_offset``, in units of weight."""
    wg_ratio: float = field(1.0, above=0.0)
    """Weight for one unit of conductance: g = (w - w_offset) / wg_ratio + g_offset."""
    w_noise_std: float = field(0.0, at_least=0.0)
    """Noise of a drifted weight, its standard deviation in units of weight."""
    reset_tol: float = field(1e-7, at_least=0.0)
    """A change between two calls above this, in units of weight, starts the drift of a weight anew."""

    @property
    def active(self) -> bool:
        """Whether anything drifts."""
        return self.nu != 0.0 or self.nu_k != 0.0 or self.w_noise_std > 0.0


@config
class PulsedDevice(Config):
    """A device that is stepped by coincident pulses.

    A weight of 1 turns an input of 1 into an output of 1. Spreads are normal and drawn once for each device,
    noises are normal and drawn every time.
    """

    # names of the arrays that a step takes as ``p.name``: four to seven, the bounds first
    parameters: ClassVar[tuple[str, ...]] = ("min_bound", "max_bound", "dwmin_up", "dwmin_down")
    # whether n equal steps can be taken at once
    aggregates: ClassVar[bool] = False
    # whether a CPU gathers a row's parameters to vectorise the step: pays where it has an exponential
    blockwise: ClassVar[bool] = False

    without_effect: ClassVar[Mapping[str, str]] = {
        "count_pulses": "pulses are always counted, for each tile and not for each device"
    }

    dw_min: float = field(0.001, above=0.0)
    """Mean size of a step at w = 0, or the scale of steps that depend on w, in units of weight."""
    dw_min_dtod: float = field(0.3, at_least=0.0)
    """Spread of the step size from device to device, relative to ``dw_min``."""
    dw_min_dtod_log_normal: bool = field(False)
    """Whether the factor of a device's step is exp(dw_min_dtod ξ), ξ a standard normal, or else 1 +
    dw_min_dtod ξ."""
    dw_min_std: float = field(0.3, at_least=0.0)
    """Noise of a step from pulse to pulse, its standard deviation relative to the step."""
    w_max: float = field(0.6)
    """Mean upper bound of the weights, in units of weight; at least 0."""
    w_max_dtod: float = field(0.3, at_least=0.0)
    """Spread of the upper bound from device to device, relative to ``w_max``."""
    w_min: float = field(-0.6)
    """Mean lower bound of the weights, in units of weight; at most 0."""
    w_min_dtod: float = field(0.3, at_least=0.0)
    """Spread of the lower bound from device to device, relative to ``w_min``."""
    up_down: float = field(0.0)
    """Mean asymmetry of the steps, in units of ``dw_min``: above 0 it is taken from the down step, below 0
    from the up step."""
    up_down_dtod: float = field(0.01, at_least=0.0)
    """Spread of the asymmetry from device to device, in units of ``dw_min``: added for up, taken away for
    down."""
    reset: float = field(0.0)
    """Mean weight that a reset or a decay leads to, in units of weight."""
    reset_dtod: float = field(0.0, at_least=0.0)
    """Spread of that weight from device to device, in units of weight."""
    reset_std: float = field(0.01, at_least=0.0)
    """Noise of the weight after each reset, its standard deviation in units of weight."""
    lifetime: float = field(0.0, at_least=0.0)
    """Time constant of the decay, in mini-batches; 0: no decay."""
    lifetime_dtod: float = field(0.0, at_least=0.0)
    """Spread of the time constant from device to device, relative to ``lifetime``."""
    diffusion: float = field(0.0, at_least=0.0)
    """Standard deviation of a weight's random walk in a mini-batch, in units of weight; 0: none."""
    diffusion_dtod: float = field(0.0, at_least=0.0)
    """Spread of the random walk's size from device to device, relative to ``diffusion``."""
    corrupt_devices_prob: float = field(0.0, at_least=0.0, at_most=1.0)
    """Probability that a device is stuck: it keeps one value whatever is written."""
    corrupt_devices_range: float = field(0.1, at_least=0.0)
    """Largest magnitude of a stuck value, in units of weight; values are uniform within it and the device's
    bounds."""
    enforce_consistency: bool = field(True)
    """Whether drawn steps are made positive, and drawn bounds ordered and put on both sides of 0; without,
    steps may point backwards, and bounds that have crossed meet in their middle."""
    perfect_bias: bool = field(False)
    """Whether the last column, a bias, has steps of exactly ``dw_min`` and bounds a hundred times as wide."""
    count_pulses: bool = field(False)
    """Whether pulses are to be counted at every device."""
    construction_seed: int = field(0, at_least=0)
    """Seed of the population: above 0 the same devices wherever the configuration is used; 0: each tile draws
    its own."""
    drift: DriftParameter = field(factory=DriftParameter)
    """Drift of weights that are left alone, applied when a call lets time pass."""

    def validate(self) -> None:
        name = type(self).__name__
        if self.w_min > self.w_max:
            raise ConfigError(
                f"{name}.w_min = {self.w_min:g} is above w_max = {self.w_max:g}; it must not be"
            )
        if self.w_min > 0.0:
            raise ConfigError(f"{name}.w_min = {self.w_min:g} must be at most 0: weights start at 0")
        if self.w_max < 0.0:
            raise ConfigError(f"{name}.w_max = {self.w_max:g} must be at least 0: weights start at 0")

    @property
    def granularity(self) -> float:
        """Mean size of a step near w = 0."""
        return self.dw_min

    @property
    def num_states(self) -> float:
        """Steps between the mean bounds."""
        return (self.w_max - self.w_min) / self.granularity

    @property
    def write_noise(self) -> float:
        """Standard deviation of the weight that is seen about the one that is kept; 0: none."""
        return float(self.dw_min * getattr(self, "write_noise_std", 0.0))

    def constants(self) -> tuple[float, ...]:
        """The numbers ``c`` that a step takes, the same for all crosspoints; c[0] scales the noise."""
        return (self.dw_min_std,)

    def draw(self, draws: Draws) -> Population:
        """The arrays named in ``parameters``."""
        return with_stuck(self, draws, bounds_and_steps(self, draws))

    @staticmethod
    def step(w: Any, up: Any, n: Any, xi: Any, p: Any, c: Any) -> Any:
        """The weight after ``n`` coincidences (1 unless ``aggregates``), up or down, with noise ``xi``."""
        raise NotImplementedError


def evaluated(formula: Formula, *values: Any) -> Any:
    """``formula`` of drawn values: by numpy, or by a card where they stand for its own.

    A draw takes exponentials, logarithms and powers from ``rng.formulas``, not from numpy, which has other
    last bits on other processors.
    """
    traced = next((value for value in values if hasattr(value, "evaluated")), None)
    return formula(*values) if traced is None else traced.evaluated(formula, *values)


def with_asymmetry(mean: Array, spread: Array, up_down: float, scale: float) -> tuple[Array, Array]:
    """A device's (up, down) value from its common factor and its up-down spread.

    An asymmetry only shrinks one side: the up side where it is negative, the down side where positive.
    """
    up = (np.float32(min(up_down, 0.0)) + mean + spread) * np.float32(scale)
    down = (np.float32(-max(up_down, 0.0)) + mean - spread) * np.float32(scale)
    return up, down


def bounds_and_steps(device: PulsedDevice, draws: Draws) -> Population:
    """Bounds and step sizes of each device, before any is stuck."""
    spread = np.float32(device.dw_min_dtod) * draws.normal(Spread.STEP)
    log_normal = device.dw_min_dtod_log_normal
    factor = evaluated(exponential, spread) if log_normal else np.float32(1.0) + spread
    asymmetry = np.float32(device.up_down_dtod) * draws.normal(Spread.UP_DOWN)
    up, down = with_asymmetry(factor, asymmetry, device.up_down, device.dw_min)
    one = np.float32(1.0)
    upper = np.float32(device.w_max) * (one + np.float32(device.w_max_dtod) * draws.normal(Spread.UPPER))
    lower = np.float32(device.w_min) * (one + np.float32(device.w_min_dtod) * draws.normal(Spread.LOWER))
    crossed = lower > upper
    if device.enforce_consistency:
        up, down = np.abs(up), np.abs(down)
        lower, upper = np.where(crossed, upper, lower), np.where(crossed, lower, upper)
        lower, upper = -np.abs(lower), np.abs(upper)
    else:
        middle = np.float32(0.5) * (lower + upper)
        lower, upper = np.where(crossed, middle, lower), np.where(crossed, middle, upper)
    return {"min_bound": lower, "max_bound": upper, "dwmin_up": up, "dwmin_down": down}


def with_stuck(device: PulsedDevice, draws: Draws, drawn: Population) -> Population:
    """``drawn`` with the stuck devices and the perfect bias column put in."""
    lower, upper, up, down = (drawn[k] for k in ("min_bound", "max_bound", "dwmin_up", "dwmin_down"))
    if device.corrupt_devices_prob > 0.0:
        stuck = draws.uniform(Spread.STUCK) < np.float32(device.corrupt_devices_prob)
        limit = np.float32(device.corrupt_devices_range)
        low, high = np.maximum(lower, -limit), np.minimum(upper, limit)
        value = low + (high - low) * draws.uniform(Spread.STUCK_VALUE)
        lower, upper = np.where(stuck, value, lower), np.where(stuck, value, upper)
        up, down = (np.where(stuck, np.float32(0.0), size) for size in (up, down))
    if device.perfect_bias:
        lower[..., -1], upper[..., -1] = 100.0 * device.w_min, 100.0 * device.w_max
        up[..., -1] = down[..., -1] = device.dw_min
    return {**drawn, "min_bound": lower, "max_bound": upper, "dwmin_up": up, "dwmin_down": down}


def _has_reset_level(device: PulsedDevice) -> bool:
    """Whether a reset or a decay leads elsewhere than to 0."""
    shifted = getattr(device, "subtract_symmetry_point", False)
    return bool(device.reset != 0.0 or device.reset_dtod > 0.0 or shifted)


def changing_names(device: PulsedDevice) -> tuple[str, ...]:
    """The names of what ``dynamics`` has."""
    decays, diffuses = device.lifetime > 0.0, device.diffusion > 0.0
    found = {"decay_scales": decays, "diffusion_rates": diffuses, "reset_bias": _has_reset_level(device)}
    return tuple(name for name, has in found.items() if has)


def dynamics(device: PulsedDevice, draws: Draws, drawn: Population) -> Population:
    """What changes a weight outside of pulses, where the device has it: decay, diffusion, reset level."""
    one, arrays = np.float32(1.0), {}
    if device.lifetime > 0.0:
        spread = np.float32(device.lifetime_dtod) * draws.normal(Spread.LIFETIME)
        constant = np.float32(device.lifetime) * (one + spread)
        kept = one - one / np.maximum(constant, one)
        arrays["decay_scales"] = np.where(constant > 1, kept, np.float32(0.0))
    if device.diffusion > 0.0:
        spread = np.float32(device.diffusion_dtod) * draws.normal(Spread.DIFFUSION)
        arrays["diffusion_rates"] = np.abs(np.float32(device.diffusion) * (one + spread))
    if _has_reset_level(device):
        level = np.float32(device.reset) + np.float32(device.reset_dtod) * draws.normal(Spread.RESET)
        arrays["reset_bias"] = level + drawn.get("symmetry_point", np.float32(0.0))
    return arrays


@functools.cache
def parameters_type(kind: Any) -> Any:
    """The named tuple that a device's step takes for ``p``."""
    return namedtuple(f"Of{kind.__name__}", kind.parameters)


@functools.cache
def changes_type(names: tuple[str, ...]) -> Any:
    """The named tuple of a device's bounds and of what changes its weight outside of pulses."""
    return namedtuple("Changes", ("min_bound", "max_bound", *names))
