"""IOParameters as the kernels see them: step widths instead of resolutions, infinite instead of no bounds."""

from __future__ import annotations

import math
from collections import namedtuple
from typing import Any, NamedTuple, get_type_hints

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from . import formulas
from .parameters import (
    AnalogMVType,
    BoundManagementType,
    IOParameters,
    NoiseManagementType,
    WeightNoiseType,
)

ASSUMED_W_MAX = 0.6  # of ABS_MAX_NP_SUM
AVERAGE_DECAY = 0.001  # of AVERAGE_ABS_MAX

# noise management
SCALE_NONE, SCALE_ABS_MAX, SCALE_MAX, SCALE_CONSTANT, SCALE_AVERAGE, SCALE_NP_SUM = range(6)
# passes
ONE_PASS, ANALOG_SUM, DIGITAL_SUM = range(3)
# weight noise
NO_WEIGHT_NOISE, ADDITIVE_NOISE, PCM_READ_NOISE = range(3)
# counter column of a draw; a second pass adds SECOND_PASS
OUTPUT_NOISE, WEIGHT_NOISE, OUTPUT_ROUNDING, INPUT_NOISE, INPUT_ROUNDING = range(5)
SECOND_PASS = 8

_SCALES = {
    NoiseManagementType.NONE: SCALE_NONE,
    NoiseManagementType.ABS_MAX: SCALE_ABS_MAX,
    NoiseManagementType.MAX: SCALE_MAX,
    NoiseManagementType.CONSTANT: SCALE_CONSTANT,
    NoiseManagementType.AVERAGE_ABS_MAX: SCALE_AVERAGE,
    NoiseManagementType.ABS_MAX_NP_SUM: SCALE_NP_SUM,
}
_PASSES = {
    AnalogMVType.IDEAL: ONE_PASS,
    AnalogMVType.ONE_PASS: ONE_PASS,
    AnalogMVType.POS_NEG_SEPARATE: ANALOG_SUM,
    AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM: DIGITAL_SUM,
}
_WEIGHT_NOISES = {
    WeightNoiseType.NONE: NO_WEIGHT_NOISE,
    WeightNoiseType.ADDITIVE_CONSTANT: ADDITIVE_NOISE,
    WeightNoiseType.PCM_READ: PCM_READ_NOISE,
}


class Settings(NamedTuple):
    """One direction's periphery, declared here alone: records, named tuples and numbers for cards follow.

    What is called as a field of ``IOParameters`` is that field, as a number of this type; ``settings_of``
    works out the others.
    """

    transposed: bool  # the read is of W^T
    stream: int
    scaling: int
    largest_scale: np.float32  # nm_thres or infinite; the scale itself for SCALE_CONSTANT
    np_sum_finest: np.float32
    np_sum_factor: np.float32
    unscaled_if_zero: bool  # a vector with scale 0 is read as it is, for its noise
    inp_step: np.float32
    inp_bound: np.float32
    inp_random: bool
    inp_noise: np.float32
    inp_asymmetry: np.float32
    passes: int
    ir_drop: np.float32
    length_by_g_ratio: np.float32
    has_offset: bool
    v_offset_w_min: np.float32
    r_series: np.float32
    weight_noise_type: int
    w_noise: np.float32
    nonlinear: bool
    alters_output: bool  # whether at_output changes anything
    out_asymmetry: np.float32
    out_noise: np.float32
    has_out_spread: bool
    out_step: np.float32
    out_bound: np.float32
    out_random: bool
    bm_test_negative_bound: bool
    out_scale: np.float32

    def packed(self) -> NDArray[np.void]:
        """All in one record [1]: a compiled kernel takes it over much faster than thirty arguments."""
        return np.array([tuple(self)], RECORD)

    @property
    def numbers(self) -> Any:
        """The numbers among them, as ``Numbers``, for a card; the rest is known when a kernel is compiled."""
        return Numbers(*(float(getattr(self, name)) for name in NUMBERS))

    @property
    def per_tile_inputs(self) -> bool:
        """Whether tiles that read the same vectors see different inputs."""
        return self.inp_random or bool(self.inp_noise > 0) or self.scaling == SCALE_AVERAGE


_TYPES: dict[str, type] = get_type_hints(Settings)
RECORD = np.dtype([(name, {bool: np.bool_, int: np.int64}.get(kind, kind)) for name, kind in _TYPES.items()])
_OF_OUTPUT = [name for name in formulas.at_output.__code__.co_names if name in _TYPES]  # what it reads
NUMBERS = [name for name, kind in _TYPES.items() if kind is np.float32]
Numbers: Any = namedtuple("Numbers", NUMBERS)  # type: ignore[misc]  # of as many names as there are


def settings_of(io: IOParameters, transposed: bool, stream: int, length: int) -> Settings:
    """The settings of a direction that sums ``length`` products."""
    if io.perfect:
        io = exact_io(io.out_scale)
    if isinstance(io.ir_drop, str):
        raise ConfigError(
            f"{type(io).__name__}.ir_drop = {io.ir_drop!r} is a periphery of its own: make it with "
            "kernels.analog_mvm.periphery(io, ...)"
        )
    inp_step, out_step = step_width(io.inp_res, io.inp_bound), step_width(io.out_res, io.out_bound)
    out_bound = bound_of(io.out_bound)
    constant = io.noise_management is NoiseManagementType.CONSTANT
    has_weight_noise = io.w_noise > 0 and io.w_noise_type is not WeightNoiseType.NONE
    derived = {
        "transposed": transposed,
        "stream": stream,
        "scaling": _SCALES[io.noise_management],
        "largest_scale": io.nm_thres if io.nm_thres > 0 else (1.0 if constant else np.inf),
        "np_sum_finest": io.max_bm_res / inp_step if inp_step > 0 else np.inf,
        "np_sum_factor": ASSUMED_W_MAX / (out_bound if math.isfinite(out_bound) else 1.0),
        "unscaled_if_zero": io.inp_noise > 0,
        "inp_step": inp_step,
        "inp_bound": bound_of(io.inp_bound),
        "inp_random": io.inp_sto_round and inp_step > 0,
        "passes": _PASSES[io.mv_type],
        "length_by_g_ratio": length / io.ir_drop_g_ratio,
        "has_offset": io.v_offset_std > 0 or io.r_series > 0,
        "weight_noise_type": _WEIGHT_NOISES[io.w_noise_type] if has_weight_noise else NO_WEIGHT_NOISE,
        "nonlinear": is_nonlinear(io),
        "alters_output": any(getattr(io, name) != getattr(exact_io(1.0), name) for name in _OF_OUTPUT),
        "has_out_spread": io.out_noise > 0 and io.out_noise_std > 0,
        "out_step": out_step,
        "out_bound": out_bound,
        "out_random": io.out_sto_round and out_step > 0,
    }
    found = {name: derived[name] if name in derived else getattr(io, name) for name in _TYPES}
    return Settings(**{name: _TYPES[name](value) for name, value in found.items()})


def silent_at_zero(io: IOParameters) -> bool:
    """Whether a vector of zeros gives zeros and leaves nothing behind: its scale is 0, so it is not read."""
    managed = (NoiseManagementType.ABS_MAX, NoiseManagementType.MAX, NoiseManagementType.ABS_MAX_NP_SUM)
    return io.perfect or (io.noise_management in managed and io.inp_noise == 0)


def exact_io(out_scale: float) -> IOParameters:
    """A periphery that leaves the product as it is."""
    return IOParameters(
        inp_bound=0.0,
        inp_res=0.0,
        out_bound=0.0,
        out_res=0.0,
        out_noise=0.0,
        out_scale=out_scale,
        noise_management=NoiseManagementType.NONE,
        bound_management=BoundManagementType.NONE,
    )


def step_width(resolution: float, bound: float) -> float:
    """The width of a converter's step, 0 for a continuous one."""
    if resolution <= 0 or bound <= 0:
        return 0.0
    return (1.0 / resolution if resolution > 1 else resolution) * 2.0 * bound


def is_nonlinear(io: IOParameters) -> bool:
    return io.out_bound > 0 and (io.out_nonlinearity != 0 or io.slope_calibration != 0)


def bound_of(bound: float) -> float:
    return bound if bound > 0 else math.inf


def attempt_factors(io: IOParameters, transposed: bool) -> list[float]:
    """The factor of every attempt that bound management may make at one vector, the first one 1."""
    kind = io.bound_management
    if transposed or io.perfect or kind is BoundManagementType.NONE:
        return [1.0]
    step = step_width(io.inp_res, io.inp_bound)
    worst_case = kind is BoundManagementType.ITERATIVE_WORST_CASE
    factors = [1.0]
    while factors[-1] <= io.max_bm_factor and (step <= 0 or factors[-1] <= io.max_bm_res / step):
        factors.append(1.0 if worst_case and len(factors) == 1 else factors[-1] * 2.0)
    return factors


def uses_np_sum(io: IOParameters, attempt: int) -> bool:
    """Whether bound management has switched to the scale of ABS_MAX_NP_SUM."""
    managed = io.noise_management is not NoiseManagementType.NONE
    worst_case = io.bound_management is BoundManagementType.ITERATIVE_WORST_CASE
    return worst_case and managed and attempt > 0
