"""Names that a module of aihwkit imports from another, and scripts from there: module -> home -> names.

They are looked up when they are asked for, so that modules here import what they use and nothing else.
"""

from __future__ import annotations

PASSED_ON: dict[str, dict[str, str]] = {
    "experiments.experiments.base": {"experiments.experiments.training": "Signals"},
    "experiments.runners.local": {"experiments.experiments.training": "Signals"},
    "inference.calibration.calibration": {
        "simulator.configs.configs": "PrePostProcessingRPU",
        "simulator.tiles.base": "AnalogTileStateNames",
    },
    "inference.compensation.drift": {
        "inference": "BaseDriftCompensation",
    },
    "inference.converter.wpo": {
        "inference.converter.conductance": (
            "DualPairConductanceConverter NPairConductanceConverter SinglePairConductanceConverter"
        ),
        "nn.modules.linear": "AnalogLinear",
        "simulator.configs.configs": "InferenceRPUConfig",
    },
    "inference.noise.base": {
        "inference": "BaseConductanceConverter",
        "inference.converter.conductance": "SinglePairConductanceConverter",
    },
    "inference.noise.custom": {
        "inference": "BaseConductanceConverter BaseNoiseModel",
        "inference.converter.conductance": "SinglePairConductanceConverter",
    },
    "inference.noise.hermes": {
        "inference": "BaseConductanceConverter BaseNoiseModel",
        "inference.converter.conductance": "SinglePairConductanceConverter",
    },
    "inference.noise.pcm": {
        "inference": "BaseConductanceConverter BaseNoiseModel",
        "inference.converter.conductance": "SinglePairConductanceConverter",
    },
    "inference.noise.reram": {
        "exceptions": "ArgumentError",
        "inference": "BaseConductanceConverter BaseNoiseModel",
        "inference.converter.conductance": "SinglePairConductanceConverter",
    },
    "linalg.matrix": {
        "simulator.parameters.base": "RPUConfigBase",
    },
    "nn.conversion": {
        "simulator.tiles.module": "TileModule",
    },
    "nn.modules.base": {
        "simulator.parameters.base": "RPUConfigBase",
        "simulator.tiles": "InferenceTileWithPeriphery",
        "simulator.tiles.base": "AnalogTileStateNames",
    },
    "nn.modules.container": {
        "exceptions": "ModuleError",
    },
    "nn.modules.conv": {
        "exceptions": "ModuleError",
        "simulator.parameters.base": "RPUConfigBase",
    },
    "nn.modules.conv_mapped": {
        "exceptions": "ConfigError",
        "nn.modules.base": "AnalogLayerBase",
        "simulator.configs.configs": "MappableRPU",
        "simulator.parameters.base": "RPUConfigBase",
        "simulator.tiles.module": "TileModule",
    },
    "nn.modules.linear": {
        "simulator.parameters.base": "RPUConfigBase",
    },
    "nn.modules.linear_mapped": {
        "exceptions": "ConfigError",
        "simulator.configs.configs": "MappableRPU",
        "simulator.parameters.base": "RPUConfigBase",
        "simulator.tiles.array": "TileModuleArray",
    },
    "nn.modules.rnn.cells": {
        "simulator.parameters.base": "RPUConfigBase",
    },
    "nn.modules.rnn.rnn": {
        "simulator.parameters.base": "RPUConfigBase",
    },
    "simulator.configs.compounds": {
        "exceptions": "ConfigError",
        "simulator.configs": "UpdateParameters VectorUnitCellUpdatePolicy",
        "simulator.parameters.enums": "RPUDataType",
        "simulator.parameters.helpers": "parameters_to_bindings",
        "simulator.parameters.io": "IOParameters",
    },
    "simulator.configs.configs": {
        "inference": "GlobalDriftCompensation",
        "simulator.configs": "FloatingPointDevice TransferCompound WeightClipParameter WeightRemapParameter",
        "simulator.configs.compounds": "DigitalRankUpdateCell",
        "simulator.configs.devices": "PulsedDevice",
        "simulator.tiles": "AnalogTile FloatingPointTile InferenceTile TorchInferenceTile",
        "simulator.tiles.array": "TileModuleArray",
    },
    "simulator.configs.devices": {
        "simulator.configs": "DifferenceUnitCell DriftParameter SimpleDriftParameter",
        "simulator.parameters.enums": "RPUDataType",
        "simulator.parameters.helpers": "parameters_to_bindings",
    },
    "simulator.configs.helpers": {
        "simulator.configs.devices": "PulsedDevice",
    },
    "simulator.parameters.base": {
        "simulator.parameters.runtime": "RuntimeParameter",
    },
    "simulator.parameters.helpers": {
        "exceptions": "ConfigError",
        "simulator.parameters.enums": "RPUDataType",
    },
    "simulator.parameters.inference": {
        "simulator.configs": "WeightClipType WeightModifierType WeightRemapType",
    },
    "simulator.parameters.io": {
        "simulator.configs": "AnalogMVType BoundManagementType NoiseManagementType WeightNoiseType",
    },
    "simulator.parameters.mapping": {
        "exceptions": "ConfigError",
    },
    "simulator.parameters.pre_post": {
        "simulator.parameters.io": "IOParameters",
    },
    "simulator.parameters.training": {
        "simulator.configs": "PulseType",
    },
    "simulator.presets.compounds": {
        "simulator.configs": "OneSidedUnitCell UpdateParameters",
        "simulator.parameters.io": "IOParameters",
        "simulator.presets": "PCMPresetDevice PresetIOParameters PresetUpdateParameters",
    },
    "simulator.presets.configs": {
        "simulator.configs": (
            "BoundManagementType ChoppedTransferCompound DynamicTransferCompound "
            "MixedPrecisionCompound NoiseManagementType TransferCompound UpdateParameters "
            "VectorUnitCell VectorUnitCellUpdatePolicy"
        ),
        "simulator.configs.compounds": "DigitalRankUpdateCell",
        "simulator.configs.configs": "UnitCell",
        "simulator.configs.devices": "PulsedDevice",
        "simulator.parameters.io": "IOParameters",
        "simulator.presets": (
            "CapacitorPresetDevice EcRamMOPresetDevice EcRamPresetDevice "
            "GokmenVlasovPresetDevice IdealizedPresetDevice PCMPresetUnitCell "
            "PresetIOParameters PresetUpdateParameters ReRamESPresetDevice "
            "ReRamSBPresetDevice"
        ),
    },
    "simulator.presets.devices": {
        "simulator.configs": "ConstantStepDevice ExpStepDevice LinearStepDevice SoftBoundsReferenceDevice",
    },
    "simulator.presets.inference": {
        "inference": "BaseDriftCompensation BaseNoiseModel GlobalDriftCompensation",
        "inference.noise.pcm": "PCMLikeNoiseModel",
        "simulator.configs.configs": "InferenceRPUConfig",
    },
    "simulator.presets.utils": {
        "simulator.configs": "BoundManagementType NoiseManagementType PulseType WeightNoiseType",
        "simulator.parameters.io": "IOParameters",
    },
    "simulator.tiles.analog": {
        "simulator.tiles.base": "BaseTile",
        "simulator.tiles.module": "TileModule",
    },
    "simulator.tiles.array": {
        "exceptions": "TileModuleError",
        "simulator.tiles.base": "TileModuleBase",
    },
    "simulator.tiles.base": {
        "exceptions": "TileError",
        "optim.context": "AnalogContext",
        "simulator.parameters.enums": "RPUDataType",
        "simulator.parameters.mapping": "MappingParameter",
        "simulator.parameters.runtime": "RuntimeParameter",
    },
    "simulator.tiles.floating_point": {
        "simulator.tiles.module": "TileModule",
    },
    "simulator.tiles.inference": {
        "exceptions": "ConfigError",
        "inference": "BaseNoiseModel",
        "simulator.configs": "WeightClipType WeightModifierType WeightRemapType",
        "simulator.parameters.helpers": "parameters_to_bindings",
        "simulator.tiles.base": "BaseTile",
        "simulator.tiles.module": "TileModule",
    },
    "simulator.tiles.inference_torch": {
        "exceptions": "AnalogBiasConfigError ArgumentError TorchTileConfigError",
        "simulator.configs": "WeightClipType WeightRemapType",
        "simulator.tiles": "InferenceTileWithPeriphery",
        "simulator.tiles.base": "SimulatorTileWrapper",
        "simulator.tiles.module": "TileModule",
    },
    "simulator.tiles.module": {
        "optim.context": "AnalogContext",
        "simulator.configs.configs": "MappableRPU",
        "simulator.tiles.base": "AnalogTileStateNames BaseTile TileModuleBase",
    },
    "simulator.tiles.transfer": {
        "simulator.configs": "ChoppedTransferCompound DynamicTransferCompound",
        "simulator.configs.configs": "SingleRPUConfig UnitCellRPUConfig",
        "simulator.parameters.base": "RPUConfigBase",
        "simulator.parameters.enums": "RPUDataType",
        "simulator.tiles.base": "SimulatorTile SimulatorTileWrapper",
    },
    "utils.analog_info": {
        "nn.modules.base": "AnalogLayerBase",
        "nn.modules.linear": "AnalogLinear",
        "nn.modules.linear_mapped": "AnalogLinearMapped",
        "simulator.parameters.base": "RPUConfigBase",
        "simulator.tiles.module": "TileModule",
    },
    "utils.visualization": {
        "exceptions": "ConfigError",
        "inference": "BaseNoiseModel",
        "nn.modules.base": "AnalogLayerBase",
        "simulator.configs": (
            "BoundManagementType NoiseManagementType PulseType UpdateParameters WeightNoiseType"
        ),
        "simulator.parameters.io": "IOParameters",
        "simulator.tiles": "AnalogTile InferenceTile",
        "simulator.tiles.module": "TileModule",
        "simulator.configs.devices": "PulsedDevice",
    },
}


def home_of(module: str, name: str) -> str | None:
    """The module, without the package's prefix, that has ``name`` of ``module`` of aihwkit here."""
    homes = PASSED_ON.get(module, {})
    return next((home for home, names in homes.items() if name in names.split()), None)
