"""Devices: one file each, with its parameters, how a population is drawn, and one step."""

from .base import DriftParameter, PulsedDevice
from .constant_step import ConstantStepDevice
from .exact import FloatingPointDevice, IdealDevice
from .exp_step import ExpStepDevice
from .linear_step import LinearStepDevice, SoftBoundsDevice
from .neurosim import NeuroSimDevice
from .piecewise_step import PiecewiseStepDevice
from .pow_step import PowStepDevice, PowStepReferenceDevice
from .presets import (
    CapacitorPresetDevice,
    EcRamMOPresetDevice,
    EcRamPresetDevice,
    GokmenVlasovPresetDevice,
    IdealizedPresetDevice,
    PCMPresetDevice,
    ReRamArrayHfO2PresetDevice,
    ReRamArrayOMPresetDevice,
    ReRamESPresetDevice,
    ReRamSBPresetDevice,
)
from .soft_bounds_pmax import SoftBoundsPmaxDevice
from .soft_bounds_reference import SoftBoundsReferenceDevice

__all__ = [
    "CapacitorPresetDevice",
    "ConstantStepDevice",
    "DriftParameter",
    "EcRamMOPresetDevice",
    "EcRamPresetDevice",
    "ExpStepDevice",
    "FloatingPointDevice",
    "GokmenVlasovPresetDevice",
    "IdealDevice",
    "IdealizedPresetDevice",
    "LinearStepDevice",
    "NeuroSimDevice",
    "PCMPresetDevice",
    "PiecewiseStepDevice",
    "PowStepDevice",
    "PowStepReferenceDevice",
    "PulsedDevice",
    "ReRamArrayHfO2PresetDevice",
    "ReRamArrayOMPresetDevice",
    "ReRamESPresetDevice",
    "ReRamSBPresetDevice",
    "SoftBoundsDevice",
    "SoftBoundsPmaxDevice",
    "SoftBoundsReferenceDevice",
]
