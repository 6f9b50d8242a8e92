"""One cause of error alone: a configuration without everything that is another one's."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from crossgrid.kernels.analog_mvm import IOParameters, SlicedIOParameters
from crossgrid.kernels.analog_mvm.parameters import NoiseManagementType, WeightNoiseType
from crossgrid.kernels.config import config as as_config
from crossgrid.kernels.config import field
from crossgrid.kernels.errors import ConfigError
from crossgrid.kernels.inference import BaseConductanceConverter, BaseNoiseModel
from crossgrid.kernels.inference.draws import Draws
from crossgrid.kernels.inference.noise.base import Array

from .rpu import FloatingPointRPUConfig, InferenceRPUConfig, RPUConfig

#: what a layer can be wrong by, in the order of a read: "all" is these together, as they are
CAUSES = ("adc", "dac", "read", "programming", "drift", "faults")
EVERYTHING = "all"

#: causes that show only on devices that were programmed
OF_DEVICES = ("programming", "drift", "faults")

#: the values of a periphery's fields without the cause that they belong to
OFF: dict[str, dict[str, Any]] = {
    "adc": {
        "out_bound": 0.0, "out_res": 0.0, "out_sto_round": False, "out_asymmetry": 0.0,
        "out_nonlinearity": 0.0, "out_nonlinearity_std": 0.0, "slope_calibration": 0.0, "lines_per_adc": 1,
    },
    "dac": {"inp_bound": 0.0, "inp_res": 0.0, "inp_sto_round": False, "inp_asymmetry": 0.0},
    "read": {
        "inp_noise": 0.0, "out_noise": 0.0, "out_noise_std": 0.0, "w_noise": 0.0,
        "w_noise_type": WeightNoiseType.NONE, "ir_drop": 0.0, "v_offset_std": 0.0, "r_series": 0.0,
        "w_read_asymmetry_dtod": 0.0,
    },
}  # fmt: skip

#: an ADC of a chip that slices which rounds nothing that another cause left, in products of digits
_FINE_STEP, _NO_LIMIT = 2.0**-10, 2.0**30


@as_config
class OneCause(BaseNoiseModel):
    """A noise model of which programming, drift, or devices that are stuck are left alone."""

    model: BaseNoiseModel = field(factory=BaseNoiseModel)
    """The model whose noises these are."""
    programs: bool = False
    """Whether programming misses its target."""
    drifts: bool = False
    """Whether time changes conductances."""
    stuck: float = field(0.0, at_least=0.0, at_most=1.0)
    """Fraction of devices that are stuck: one half without conductance, one half at the largest target of a
    tile's rows. Afterwards they age as the others do."""

    @classmethod
    def of(cls, model: BaseNoiseModel, programs: bool, drifts: bool, stuck: float) -> OneCause:
        """``model``, and its converter, with these causes alone."""
        converter: BaseConductanceConverter = copy.deepcopy(model.g_converter)
        return cls(
            g_converter=converter, model=copy.deepcopy(model), programs=programs, drifts=drifts, stuck=stuck
        )

    def apply_programming_noise_to_conductance(self, g_target: Array, draws: Draws) -> Array:
        """The conductances right after programming."""
        g = self.model.apply_programming_noise_to_conductance(g_target, draws) if self.programs else g_target
        if self.stuck == 0.0:
            return g
        drawn = draws.uniform()
        largest = np.float32(getattr(self.g_converter, "g_max", g_target.max(initial=0.0)))
        half = np.float32(self.stuck / 2.0)
        without = np.where(drawn < half, np.float32(0.0), g)
        found: Array = np.where(drawn > np.float32(1.0) - half, largest, without).astype(np.float32)
        return found

    def generate_drift_coefficients(self, g_target: Array, draws: Draws) -> Array:
        """What a device keeps for its later drift."""
        if not self.drifts:
            return np.zeros_like(g_target)
        return self.model.generate_drift_coefficients(g_target, draws)

    def apply_drift_noise_to_conductance(
        self, g_prog: Array, drift_coefficients: Array, t_inference: float, draws: Draws
    ) -> Array:
        """The conductances ``t_inference`` seconds after programming."""
        if not self.drifts:
            return g_prog
        return self.model.apply_drift_noise_to_conductance(g_prog, drift_coefficients, t_inference, draws)


def exact(config: RPUConfig) -> RPUConfig:
    """``config`` with reads that are exact products."""
    made = copy.deepcopy(config)
    if not isinstance(made, FloatingPointRPUConfig):
        made.forward = IOParameters(is_perfect=True)
    return made


def alone(config: RPUConfig, causes: Sequence[str], stuck: float = 0.0) -> RPUConfig:
    """``config`` with these ``causes`` of error alone.

    On a chip that slices weights, "adc" comes with the coding of weights and inputs, without which its
    converters cannot be; "dac" is that coding alone.

    Raises:
        ConfigError: a cause of devices, and devices that are not programmed.
    """
    made = exact(config)
    if isinstance(made, FloatingPointRPUConfig) or isinstance(config, FloatingPointRPUConfig):
        raise ConfigError("FloatingPointRPUConfig is exact, without causes of error; take another one")
    of_read = [cause for cause in causes if cause in OFF]
    if of_read:
        made.forward = _read(config.forward, of_read)
    programs, drifts, faults = (cause in causes for cause in ("programming", "drift", "faults"))
    if programs or drifts or faults:
        if not isinstance(made, InferenceRPUConfig):
            raise ConfigError(
                f"{type(config).__name__} has no noise model for {', '.join(causes)}: take an "
                "InferenceRPUConfig, or leave these causes out"
            )
        made.noise_model = with_causes(made.noise_model, programs, drifts, stuck if faults else 0.0)
    return made


def with_causes(model: BaseNoiseModel, programs: bool, drifts: bool, stuck: float) -> BaseNoiseModel:
    """The noise model with these causes alone; itself where nothing is taken from it or added."""
    if programs and drifts and stuck == 0.0:
        return model
    return OneCause.of(model, programs, drifts, stuck)


def _read(io: IOParameters, causes: Sequence[str]) -> IOParameters:
    """A periphery with these causes alone."""
    changed: dict[str, Any] = {}
    for cause, off in OFF.items():
        if cause not in causes:
            changed |= off
    if "dac" not in causes and io.noise_management is not NoiseManagementType.NONE:
        changed["inp_bound"] = 1.0  # where inputs are scaled to
    if isinstance(io, SlicedIOParameters):
        if "adc" not in causes and "dac" not in causes:
            kept = {spec.name: getattr(io, spec.name) for spec in fields(IOParameters)}
            return IOParameters(**{**kept, **changed})
        changed |= {"inp_bound": io.inp_bound, "inp_res": io.inp_res}
        if "adc" not in causes:
            changed |= {"adc_step": _FINE_STEP, "adc_limit": _NO_LIMIT, "out_bound": io.out_bound}
    return replace(io, **changed)


def check_stuck(fraction: Any) -> None:
    """Raise ``ConfigError`` where ``fraction`` is none of devices."""
    number = isinstance(fraction, (int, float)) and not isinstance(fraction, bool)
    if not number or not math.isfinite(fraction) or not 0.0 <= fraction <= 1.0:
        raise ConfigError(
            f"faults = {fraction!r} must be a fraction of the devices, 0 to 1; 0.01 is one in a hundred"
        )
