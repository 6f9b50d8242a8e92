"""What aihwkit has and this project has not: each name with what to use instead."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

PREFIX = "crossgrid.aihwkit"

CLOUD = "the cloud service is IBM's; train here with crossgrid.aihwkit.experiments.BasicTraining"
BINDINGS = "there is no C++ library behind; tiles are crossgrid.aihwkit.simulator.tiles.AnalogTile"
QUANTIZED = "torch.ao.quantization quantizes what is digital, IOParameters.inp_res and out_res what is not"
OWN_TILES = "a tile of your own is a device in one file (see kernels/devices/neurosim.py), for all backends"
TIMED_IR_DROP = "tiles of a TorchInferenceRPUConfigIRDropT are read in time; there is no class of their own"
OPTIMISED = "compare converters by their error, such as crossgrid.aihwkit.inference.NPairConductanceConverter"
FUSION = "export cg.convert_to_digital(model), or a tile's netlist (crossgrid.kernels.circuit.spice)"
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
    "WeightProgrammingOptimizer": OPTIMISED, "wpo": OPTIMISED,
    "FusionConductanceConverter": FUSION, "fusion": FUSION, "fusion_export": FUSION, "fusion_import": FUSION,
    "convert_legacy_checkpoint": OLD_FILES,
    "AnalogContextDataViewMode": "read weights with get_weights(), write them with set_weights()",
}  # fmt: skip


def refusal(module: str, name: str) -> Any:
    """Raise the error for a name that ``module`` has in aihwkit and not here.

    Raises:
        ImportError: always; it says what to use instead.
    """
    theirs = module.replace(PREFIX, "aihwkit", 1)
    instead = INSTEAD.get(name, "docs/aihwkit.md lists what is, `crossgrid port` what to write")
    raise ImportError(f"{theirs}.{name} is not in {PREFIX}: {instead}", name=f"{module}.{name}")


def absent(module: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of ``module``: submodules are imported, anything else is refused."""

    def __getattr__(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        full = f"{module}.{name}"
        if _is_package(module) and importlib.util.find_spec(full) is not None:
            return importlib.import_module(full)
        return refusal(module, name)

    return __getattr__


def _is_package(module: str) -> bool:
    found = importlib.util.find_spec(module)
    return found is not None and found.submodule_search_locations is not None
