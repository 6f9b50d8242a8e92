"""crossgrid: a distributed emulator of analog crossbar chips.

A torch model goes in, its layers are cut into the physical tiles of a described chip, and every tile
computes and learns with its own imperfect devices. Names are loaded when first used: a process that only
hosts tiles never imports torch.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

#: public name -> module that defines it
_HOME = {
    name: module
    for module, names in {
        "kernels.errors": ("ConfigError", "CrossgridError", "InputError", "UnknownNameError"),
        "kernels.analog_mvm.parameters": (
            "AnalogMVMType", "BoundManagementType", "IOParameters", "NoiseManagementType",
            "PresetIOParameters", "StandardIOParameters", "WeightNoiseType",
        ),
        "kernels.pulsed_update.parameters": ("PulseType", "UpdateParameters"),
        "kernels.devices": (
            "CapacitorPresetDevice", "ConstantStepDevice", "DriftParameter", "EcRamMOPresetDevice",
            "EcRamPresetDevice", "ExpStepDevice", "FloatingPointDevice", "GokmenVlasovPresetDevice",
            "IdealDevice", "IdealizedPresetDevice", "LinearStepDevice", "NeuroSimDevice", "PCMPresetDevice",
            "PiecewiseStepDevice", "PowStepDevice", "PowStepReferenceDevice", "ReRamArrayHfO2PresetDevice",
            "ReRamArrayOMPresetDevice", "ReRamESPresetDevice", "ReRamSBPresetDevice", "SoftBoundsDevice",
            "SoftBoundsPmaxDevice", "SoftBoundsReferenceDevice",
        ),
        "kernels.cells": (
            "BufferedTransferCompound", "ChoppedTransferCompound", "DynamicTransferCompound",
            "MixedPrecisionCompound", "OneSidedUnitCell", "ReferenceUnitCell", "TransferCompound",
            "VectorUnitCell", "VectorUnitCellUpdatePolicy",
        ),
        "emulator.config.cell_presets": ("PCMPresetUnitCell",),
        "kernels.inference": (
            "BaseConductanceConverter", "BaseDriftCompensation", "BaseNoiseModel",
            "CustomDriftPCMLikeNoiseModel", "GlobalDriftCompensation",
            "GlobalDriftCompensationWithExactReference", "HermesNoiseModel", "NPairConductanceConverter",
            "NotProgrammedError", "PCMLikeNoiseModel", "PerColumnDriftCompensation", "ReRamCMONoiseModel",
            "ReRamWan2022NoiseModel", "SingleDeviceConductanceConverter", "SinglePairConductanceConverter",
            "StateIndependentNoiseModel", "WeightClipParameter", "WeightClipType",
            "WeightModifierParameter", "WeightModifierType", "WeightRemapParameter", "WeightRemapType",
        ),
        "chip": ("Chip", "LayerShape", "MappingPlan", "load_chip", "map_layers"),
        "emulator.config.rpu": (
            "FloatingPointRPUConfig", "InferenceRPUConfig", "InputRangeParameter", "MappingParameter",
            "PrePostProcessingParameter", "SingleRPUConfig", "UnitCellRPUConfig",
        ),
        "emulator.config.presets": (
            "AGADCapacitorPreset", "AGADEcRamMOPreset", "AGADEcRamPreset", "AGADIdealizedPreset",
            "AGADReRamESPreset", "AGADReRamSBPreset", "Capacitor2Preset", "Capacitor4Preset",
            "CapacitorPreset", "ChoppedTTv2CapacitorPreset", "ChoppedTTv2EcRamMOPreset",
            "ChoppedTTv2EcRamPreset", "ChoppedTTv2IdealizedPreset", "ChoppedTTv2ReRamESPreset",
            "ChoppedTTv2ReRamSBPreset", "EcRam2Preset", "EcRam4Preset", "EcRamMO2Preset", "EcRamMO4Preset",
            "EcRamMOPreset", "EcRamPreset", "GokmenVlasovPreset", "Idealized2Preset", "Idealized4Preset",
            "IdealizedPreset", "MixedPrecisionCapacitorPreset", "MixedPrecisionEcRamMOPreset",
            "MixedPrecisionEcRamPreset", "MixedPrecisionGokmenVlasovPreset",
            "MixedPrecisionIdealizedPreset", "MixedPrecisionPCMPreset", "MixedPrecisionReRamESPreset",
            "MixedPrecisionReRamSBPreset", "PCMPreset", "ReRamArrayHfO2Preset", "ReRamArrayOMPreset",
            "ReRamES2Preset", "ReRamES4Preset", "ReRamESPreset", "ReRamSB2Preset", "ReRamSB4Preset",
            "ReRamSBPreset", "TTv2CapacitorPreset", "TTv2EcRamMOPreset", "TTv2EcRamPreset",
            "TTv2IdealizedPreset", "TTv2ReRamESPreset", "TTv2ReRamSBPreset", "TikiTakaCapacitorPreset",
            "TikiTakaEcRamMOPreset", "TikiTakaEcRamPreset", "TikiTakaIdealizedPreset",
            "TikiTakaReRamESPreset", "TikiTakaReRamSBPreset",
        ),
        "emulator.errors": ("BackendError", "PortError", "TileError"),
        "emulator.nn.analog_tile": ("AnalogTile",),
        "emulator.nn.linear": ("AnalogLinear",),
        "emulator.nn.conv": ("AnalogConv1d", "AnalogConv2d", "AnalogConv3d"),
        "emulator.model.sequential": ("AnalogSequential",),
        "emulator.nn.recurrent": ("AnalogGRU", "AnalogLSTM", "AnalogRNN"),
        "emulator.model.analog_model": (
            "AnalogModel", "analog_weights", "drift_analog_weights", "program_analog_weights",
            "weights_sha256",
        ),
        "emulator.analog_matrix.autograd": ("AnalogContext",),
        "emulator.model.convert": ("convert_to_analog", "convert_to_digital"),
        "emulator.model.optim": ("AnalogSGD",),
        "emulator.run.emulate": ("emulate", "restore"),
        "emulator.run.emulation": ("Emulation",),
    }.items()
    for name in names
}  # fmt: skip

__all__ = ["__version__", *_HOME]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"crossgrid has no public name '{name}'; see dir(crossgrid)")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
