"""What digital cores compute: products and updates exactly, with nothing to program and nothing to drift."""

from __future__ import annotations

import copy

from crossgrid.kernels.analog_mvm.parameters import IOParameters
from crossgrid.kernels.config import config, field

from .rpu import FloatingPointRPUConfig, InferenceRPUConfig, RPUConfig, perfect_io


@config
class DigitalInferenceRPUConfig(InferenceRPUConfig):
    """A layer of an ``InferenceRPUConfig`` on digital cores: programming and time leave it as it is."""

    forward: IOParameters = field(factory=perfect_io)


def on_cores(config: RPUConfig) -> RPUConfig:
    """The configuration of a layer on digital cores that has ``config`` on tiles."""
    mapping = copy.deepcopy(config.mapping)
    if isinstance(config, InferenceRPUConfig):
        return DigitalInferenceRPUConfig(mapping=mapping, drift_compensation=None)
    return FloatingPointRPUConfig(mapping=mapping)
