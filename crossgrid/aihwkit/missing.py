"""What aihwkit has and this project has not: each name with what to use instead."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

from .passed_on import home_of

PREFIX = "crossgrid.aihwkit"

CLOUD = "the cloud service is IBM's; train here with crossgrid.aihwkit.experiments.BasicTraining"
BINDINGS = "there is no C++ library behind; tiles are crossgrid.aihwkit.simulator.tiles.AnalogTile"
QUANTIZED = "torch.ao.quantization quantizes what is digital, IOParameters.inp_res and out_res what is not"
OWN_TILES = "a tile of your own is a device in one file (see kernels/devices/neurosim.py), for all backends"
TIMED_IR_DROP = "tiles of a TorchInferenceRPUConfigIRDropT are read in time; there is no class of their own"
FUSION = "export cg.convert_to_digital(model), or a tile's netlist (crossgrid.kernels.circuit.spice)"
RANGES = "calibrate_input_ranges sets the ranges; its steps are not apart here"
SEARCH = (
    "WeightProgrammingOptimizer is the search; its steps are those of crossgrid.kernels.inference.optimised"
)
AUTOGRAD = "a tile is a torch module that autograd differentiates: call it"
PERIPHERY = (
    "every tile has its digital periphery: crossgrid.aihwkit.simulator.tiles.AnalogTile, InferenceTile"
)
SUMMARY = (
    "analog_summary(model) gives a crossgrid.AnalogSummary, whose rows are data and whose str is the table"
)
EVALUATE = (
    "model.eval(), model.program_analog_weights(), model.drift_analog_weights(t), and evaluate as in torch"
)
FIGURES = "LocalRunner.run gives the figures of every epoch, and prints them with stdout=True"
WEB = "the composer is a service of IBM; use InferenceRPUConfig and the presets"
OLD_FILES = "load the checkpoint with the aihwkit that wrote it and save it again"

#: names (the last part of a path, a class or a module) -> what to use instead
INSTEAD: dict[str, str] = {
    "CloudRunner": CLOUD, "InferenceCloudRunner": CLOUD, "cloud": CLOUD,
    "rpu_base_tiles": BINDINGS, "tiles": BINDINGS, "devices": BINDINGS, "extension": BINDINGS,
    "QuantizedTorchInferenceRPUConfig": QUANTIZED, "QuantizedTorchInferenceTile": QUANTIZED,
    "QuantizedTileModuleArray": QUANTIZED, "quantization": QUANTIZED, "quantized_inference_torch": QUANTIZED,
    "PrePostProcessingParameterQuant": QUANTIZED, "PeripheryQuantizationParameter": QUANTIZED,
    "digital_low_precision": QUANTIZED, "calibrate_quantization_ranges": QUANTIZED,
    "CustomTile": OWN_TILES, "CustomRPUConfig": OWN_TILES, "CustomSimulatorTile": OWN_TILES,
    "custom": OWN_TILES,
    "TorchTransferTile": "use TransferCompound, ChoppedTransferCompound or DynamicTransferCompound",
    "TransferSimulatorTile": "use TransferCompound, ChoppedTransferCompound or DynamicTransferCompound",
    "TorchSimulatorTile": "TorchInferenceTile computes on tiles; what is behind is crossgrid.AnalogTile",
    "TorchSimulatorTileIRDropT": TIMED_IR_DROP,
    "FusionConductanceConverter": FUSION, "fusion": FUSION, "fusion_export": FUSION, "fusion_import": FUSION,
    "convert_legacy_checkpoint": OLD_FILES, "legacy": OLD_FILES, "export": FUSION,
    "estimate_ranges": RANGES, "fix_act_ranges": RANGES, "fix_ranges": RANGES, "fix_weight_ranges": RANGES,
    "denormalize": SEARCH, "loss_fxn": SEARCH, "loss_rpu_config": SEARCH, "partition_parameters": SEARCH,
    "reformat_x_g": SEARCH, "span_of_remaining_pairs": SEARCH,
    "tile_parameters_to_bindings": BINDINGS, "get_bindings_class": BINDINGS, "ALL_SKIP_FIELD": BINDINGS,
    "ALWAYS_INCLUDE": BINDINGS, "FIELD_MAP": BINDINGS, "rpucuda": BINDINGS, "utils": BINDINGS,
    "RPUCudaSimulatorTileWrapper": BINDINGS,
    "ActivationQuantConfig": QUANTIZED, "QMethods": QUANTIZED, "QuantizationManager": QUANTIZED,
    "QuantizedActivation": QUANTIZED, "RangeEstimators": QUANTIZED,
    "convert_act_config_to_kwargs_dict": QUANTIZED, "low_precision_conversion": QUANTIZED,
    "low_precision_modules": QUANTIZED,
    "IOManagedRPUConfig": "a base class; use SingleRPUConfig, UnitCellRPUConfig or InferenceRPUConfig",
    "AnalogFunction": AUTOGRAD, "InputRangeForward": AUTOGRAD, "functions": AUTOGRAD,
    "AnalogTileWithoutPeriphery": PERIPHERY, "TileWithPeriphery": PERIPHERY, "periphery": PERIPHERY,
    "analog_mvm": "a tile's read is crossgrid.kernels.analog_mvm", "analog_mvm_irdrop_t": TIMED_IR_DROP,
    "torch_tile": "TorchInferenceTile computes on tiles; what is behind is crossgrid.AnalogTile",
    "torch_tile_irdrop_t": TIMED_IR_DROP,
    "AnalogInfo": SUMMARY, "LayerInfo": SUMMARY, "TileInfo": SUMMARY, "COLUMN_DEFINITIONS": SUMMARY,
    "COLUMN_NAMES": SUMMARY, "COLUMN_WIDTH": SUMMARY, "FLOAT_FORMAT": SUMMARY, "FORMATTING_WIDTH": SUMMARY,
    "VERSION_FILE": "the release is crossgrid.aihwkit.__version__",
    "BasicInferencing": EVALUATE, "InferenceLocalRunner": EVALUATE, "InferenceLocalMetric": EVALUATE,
    "LocalMetric": FIGURES, "metrics": FIGURES, "i_metrics": EVALUATE, "i_local": EVALUATE,
    "inferencing": EVALUATE, "i_cloud": CLOUD,
    "Experiment": "derive from BasicTraining", "Runner": "LocalRunner is all there is",
    "web": WEB, "visualization_web": WEB,
    "AnalogContextDataViewMode": "read weights with get_weights(), write them with set_weights()",
}  # fmt: skip


def refusal(module: str, name: str) -> Any:
    """Raise the error for a name that ``module`` has in aihwkit and not here.

    Raises:
        ImportError: always; it says what to use instead.
    """
    raise _error(module, name)


def refuse_module(module: str) -> None:
    """Raise the error for a ``module`` of aihwkit that has no part here.

    Raises:
        ImportError: always; it says what to use instead.
    """
    raise _error(*module.rsplit(".", 1))


def _error(module: str, name: str) -> ImportError:
    theirs = module.replace(PREFIX, "aihwkit", 1)
    instead = INSTEAD.get(name, "docs/aihwkit.md lists what is, `crossgrid port` what to write")
    return ImportError(f"{theirs}.{name} is not in {PREFIX}: {instead}", name=f"{module}.{name}")


def absent(module: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of ``module``: submodules and names passed on are imported, others are refused."""

    def __getattr__(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        full = f"{module}.{name}"
        home = home_of(module.removeprefix(f"{PREFIX}."), name)
        if home is not None:
            return getattr(importlib.import_module(f"{PREFIX}.{home}"), name)
        if _is_package(module) and importlib.util.find_spec(full) is not None:
            return importlib.import_module(full)
        return refusal(module, name)

    return __getattr__


def _is_package(module: str) -> bool:
    found = importlib.util.find_spec(module)
    return found is not None and found.submodule_search_locations is not None
