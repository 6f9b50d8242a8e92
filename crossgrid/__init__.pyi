"""The public names and where each is defined: the one list, for the loader and for type checkers."""

from .chip import Chip as Chip
from .chip import LayerShape as LayerShape
from .chip import MappingPlan as MappingPlan
from .chip import load_chip as load_chip
from .chip import map_layers as map_layers
from .chip.plan.file import load_plan as load_plan
from .chip.plan.file import save_plan as save_plan
from .chip.reports.report import draw_floor_plan as draw_floor_plan
from .chip.schedule.schedule import Schedule as Schedule
from .chip.schedule.schedule import schedule as schedule
from .emulator.analog_matrix.weights import AnalogContext as AnalogContext
from .emulator.config.cell_presets import PCMPresetUnitCell as PCMPresetUnitCell
from .emulator.config.presets.agad import AGADCapacitorPreset as AGADCapacitorPreset
from .emulator.config.presets.agad import AGADEcRamMOPreset as AGADEcRamMOPreset
from .emulator.config.presets.agad import AGADEcRamPreset as AGADEcRamPreset
from .emulator.config.presets.agad import AGADIdealizedPreset as AGADIdealizedPreset
from .emulator.config.presets.agad import AGADReRamESPreset as AGADReRamESPreset
from .emulator.config.presets.agad import AGADReRamSBPreset as AGADReRamSBPreset
from .emulator.config.presets.chopped_ttv2 import ChoppedTTv2CapacitorPreset as ChoppedTTv2CapacitorPreset
from .emulator.config.presets.chopped_ttv2 import ChoppedTTv2EcRamMOPreset as ChoppedTTv2EcRamMOPreset
from .emulator.config.presets.chopped_ttv2 import ChoppedTTv2EcRamPreset as ChoppedTTv2EcRamPreset
from .emulator.config.presets.chopped_ttv2 import ChoppedTTv2IdealizedPreset as ChoppedTTv2IdealizedPreset
from .emulator.config.presets.chopped_ttv2 import ChoppedTTv2ReRamESPreset as ChoppedTTv2ReRamESPreset
from .emulator.config.presets.chopped_ttv2 import ChoppedTTv2ReRamSBPreset as ChoppedTTv2ReRamSBPreset
from .emulator.config.presets.mixed_precision import (
    MixedPrecisionCapacitorPreset as MixedPrecisionCapacitorPreset,
)
from .emulator.config.presets.mixed_precision import (
    MixedPrecisionEcRamMOPreset as MixedPrecisionEcRamMOPreset,
)
from .emulator.config.presets.mixed_precision import MixedPrecisionEcRamPreset as MixedPrecisionEcRamPreset
from .emulator.config.presets.mixed_precision import (
    MixedPrecisionGokmenVlasovPreset as MixedPrecisionGokmenVlasovPreset,
)
from .emulator.config.presets.mixed_precision import (
    MixedPrecisionIdealizedPreset as MixedPrecisionIdealizedPreset,
)
from .emulator.config.presets.mixed_precision import MixedPrecisionPCMPreset as MixedPrecisionPCMPreset
from .emulator.config.presets.mixed_precision import (
    MixedPrecisionReRamESPreset as MixedPrecisionReRamESPreset,
)
from .emulator.config.presets.mixed_precision import (
    MixedPrecisionReRamSBPreset as MixedPrecisionReRamSBPreset,
)
from .emulator.config.presets.several import Capacitor2Preset as Capacitor2Preset
from .emulator.config.presets.several import Capacitor4Preset as Capacitor4Preset
from .emulator.config.presets.several import EcRam2Preset as EcRam2Preset
from .emulator.config.presets.several import EcRam4Preset as EcRam4Preset
from .emulator.config.presets.several import EcRamMO2Preset as EcRamMO2Preset
from .emulator.config.presets.several import EcRamMO4Preset as EcRamMO4Preset
from .emulator.config.presets.several import Idealized2Preset as Idealized2Preset
from .emulator.config.presets.several import Idealized4Preset as Idealized4Preset
from .emulator.config.presets.several import ReRamES2Preset as ReRamES2Preset
from .emulator.config.presets.several import ReRamES4Preset as ReRamES4Preset
from .emulator.config.presets.several import ReRamSB2Preset as ReRamSB2Preset
from .emulator.config.presets.several import ReRamSB4Preset as ReRamSB4Preset
from .emulator.config.presets.single import CapacitorPreset as CapacitorPreset
from .emulator.config.presets.single import EcRamMOPreset as EcRamMOPreset
from .emulator.config.presets.single import EcRamPreset as EcRamPreset
from .emulator.config.presets.single import GokmenVlasovPreset as GokmenVlasovPreset
from .emulator.config.presets.single import IdealizedPreset as IdealizedPreset
from .emulator.config.presets.single import PCMPreset as PCMPreset
from .emulator.config.presets.single import ReRamArrayHfO2Preset as ReRamArrayHfO2Preset
from .emulator.config.presets.single import ReRamArrayOMPreset as ReRamArrayOMPreset
from .emulator.config.presets.single import ReRamESPreset as ReRamESPreset
from .emulator.config.presets.single import ReRamSBPreset as ReRamSBPreset
from .emulator.config.presets.tiki_taka import TikiTakaCapacitorPreset as TikiTakaCapacitorPreset
from .emulator.config.presets.tiki_taka import TikiTakaEcRamMOPreset as TikiTakaEcRamMOPreset
from .emulator.config.presets.tiki_taka import TikiTakaEcRamPreset as TikiTakaEcRamPreset
from .emulator.config.presets.tiki_taka import TikiTakaIdealizedPreset as TikiTakaIdealizedPreset
from .emulator.config.presets.tiki_taka import TikiTakaReRamESPreset as TikiTakaReRamESPreset
from .emulator.config.presets.tiki_taka import TikiTakaReRamSBPreset as TikiTakaReRamSBPreset
from .emulator.config.presets.ttv2 import TTv2CapacitorPreset as TTv2CapacitorPreset
from .emulator.config.presets.ttv2 import TTv2EcRamMOPreset as TTv2EcRamMOPreset
from .emulator.config.presets.ttv2 import TTv2EcRamPreset as TTv2EcRamPreset
from .emulator.config.presets.ttv2 import TTv2IdealizedPreset as TTv2IdealizedPreset
from .emulator.config.presets.ttv2 import TTv2ReRamESPreset as TTv2ReRamESPreset
from .emulator.config.presets.ttv2 import TTv2ReRamSBPreset as TTv2ReRamSBPreset
from .emulator.config.recovery import Recovery as Recovery
from .emulator.config.rpu import FloatingPointRPUConfig as FloatingPointRPUConfig
from .emulator.config.rpu import InferenceRPUConfig as InferenceRPUConfig
from .emulator.config.rpu import InputRangeParameter as InputRangeParameter
from .emulator.config.rpu import MappingParameter as MappingParameter
from .emulator.config.rpu import PrePostProcessingParameter as PrePostProcessingParameter
from .emulator.config.rpu import SingleRPUConfig as SingleRPUConfig
from .emulator.config.rpu import UnitCellRPUConfig as UnitCellRPUConfig
from .emulator.errors import BackendError as BackendError
from .emulator.errors import PortError as PortError
from .emulator.errors import ProtocolError as ProtocolError
from .emulator.errors import StorageError as StorageError
from .emulator.errors import TileError as TileError
from .emulator.model.analog_model import AnalogModel as AnalogModel
from .emulator.model.analog_model import analog_weights as analog_weights
from .emulator.model.analog_model import drift_analog_weights as drift_analog_weights
from .emulator.model.analog_model import program_analog_weights as program_analog_weights
from .emulator.model.analog_model import weights_sha256 as weights_sha256
from .emulator.model.convert import convert_to_analog as convert_to_analog
from .emulator.model.convert import convert_to_digital as convert_to_digital
from .emulator.model.deferred import deferred as deferred
from .emulator.model.optim import AnalogSGD as AnalogSGD
from .emulator.model.sequential import AnalogSequential as AnalogSequential
from .emulator.nn.analog_tile import AnalogTile as AnalogTile
from .emulator.nn.attention import AnalogMultiheadAttention as AnalogMultiheadAttention
from .emulator.nn.bilinear import AnalogBilinear as AnalogBilinear
from .emulator.nn.convolution.conv import AnalogConv1d as AnalogConv1d
from .emulator.nn.convolution.conv import AnalogConv2d as AnalogConv2d
from .emulator.nn.convolution.conv import AnalogConv3d as AnalogConv3d
from .emulator.nn.convolution.transposed import AnalogConvTranspose1d as AnalogConvTranspose1d
from .emulator.nn.convolution.transposed import AnalogConvTranspose2d as AnalogConvTranspose2d
from .emulator.nn.convolution.transposed import AnalogConvTranspose3d as AnalogConvTranspose3d
from .emulator.nn.experts.experts import AnalogExperts as AnalogExperts
from .emulator.nn.linear import AnalogLinear as AnalogLinear
from .emulator.nn.recurrent.cells import AnalogGRUCell as AnalogGRUCell
from .emulator.nn.recurrent.cells import AnalogLSTMCell as AnalogLSTMCell
from .emulator.nn.recurrent.cells import AnalogRNNCell as AnalogRNNCell
from .emulator.nn.recurrent.network import AnalogGRU as AnalogGRU
from .emulator.nn.recurrent.network import AnalogLSTM as AnalogLSTM
from .emulator.nn.recurrent.network import AnalogRNN as AnalogRNN
from .emulator.run.emulate import emulate as emulate
from .emulator.run.emulate import restore as restore
from .emulator.run.emulation import Emulation as Emulation
from .emulator.run.progress import progress_bar as progress_bar
from .emulator.sensitivity.choice import KindChoice as KindChoice
from .emulator.sensitivity.choice import choose_kinds as choose_kinds
from .emulator.sensitivity.sensitivity import Sensitivity as Sensitivity
from .emulator.sensitivity.sensitivity import sensitivity as sensitivity
from .emulator.summary.summary import AnalogSummary as AnalogSummary
from .emulator.summary.summary import analog_summary as analog_summary
from .emulator.sweep.result import Sweep as Sweep
from .emulator.sweep.study import Study as Study
from .emulator.sweep.sweep import sweep as sweep
from .kernels.analog_mvm.parameters import AnalogMVMType as AnalogMVMType
from .kernels.analog_mvm.parameters import BoundManagementType as BoundManagementType
from .kernels.analog_mvm.parameters import IOParameters as IOParameters
from .kernels.analog_mvm.parameters import NoiseManagementType as NoiseManagementType
from .kernels.analog_mvm.parameters import PresetIOParameters as PresetIOParameters
from .kernels.analog_mvm.parameters import StandardIOParameters as StandardIOParameters
from .kernels.analog_mvm.parameters import WeightNoiseType as WeightNoiseType
from .kernels.cells import BufferedTransferCompound as BufferedTransferCompound
from .kernels.cells import ChoppedTransferCompound as ChoppedTransferCompound
from .kernels.cells import DynamicTransferCompound as DynamicTransferCompound
from .kernels.cells import MixedPrecisionCompound as MixedPrecisionCompound
from .kernels.cells import OneSidedUnitCell as OneSidedUnitCell
from .kernels.cells import ReferenceUnitCell as ReferenceUnitCell
from .kernels.cells import TransferCompound as TransferCompound
from .kernels.cells import VectorUnitCell as VectorUnitCell
from .kernels.cells import VectorUnitCellUpdatePolicy as VectorUnitCellUpdatePolicy
from .kernels.devices import CapacitorPresetDevice as CapacitorPresetDevice
from .kernels.devices import ConstantStepDevice as ConstantStepDevice
from .kernels.devices import DriftParameter as DriftParameter
from .kernels.devices import EcRamMOPresetDevice as EcRamMOPresetDevice
from .kernels.devices import EcRamPresetDevice as EcRamPresetDevice
from .kernels.devices import ExpStepDevice as ExpStepDevice
from .kernels.devices import FloatingPointDevice as FloatingPointDevice
from .kernels.devices import GokmenVlasovPresetDevice as GokmenVlasovPresetDevice
from .kernels.devices import IdealDevice as IdealDevice
from .kernels.devices import IdealizedPresetDevice as IdealizedPresetDevice
from .kernels.devices import LinearStepDevice as LinearStepDevice
from .kernels.devices import NeuroSimDevice as NeuroSimDevice
from .kernels.devices import PCMPresetDevice as PCMPresetDevice
from .kernels.devices import PiecewiseStepDevice as PiecewiseStepDevice
from .kernels.devices import PowStepDevice as PowStepDevice
from .kernels.devices import PowStepReferenceDevice as PowStepReferenceDevice
from .kernels.devices import ReRamArrayHfO2PresetDevice as ReRamArrayHfO2PresetDevice
from .kernels.devices import ReRamArrayOMPresetDevice as ReRamArrayOMPresetDevice
from .kernels.devices import ReRamESPresetDevice as ReRamESPresetDevice
from .kernels.devices import ReRamSBPresetDevice as ReRamSBPresetDevice
from .kernels.devices import SoftBoundsDevice as SoftBoundsDevice
from .kernels.devices import SoftBoundsPmaxDevice as SoftBoundsPmaxDevice
from .kernels.devices import SoftBoundsReferenceDevice as SoftBoundsReferenceDevice
from .kernels.errors import ConfigError as ConfigError
from .kernels.errors import CrossgridError as CrossgridError
from .kernels.errors import InputError as InputError
from .kernels.errors import UnknownNameError as UnknownNameError
from .kernels.inference import BaseConductanceConverter as BaseConductanceConverter
from .kernels.inference import BaseDriftCompensation as BaseDriftCompensation
from .kernels.inference import BaseNoiseModel as BaseNoiseModel
from .kernels.inference import CustomDriftPCMLikeNoiseModel as CustomDriftPCMLikeNoiseModel
from .kernels.inference import CustomPairConductanceConverter as CustomPairConductanceConverter
from .kernels.inference import GlobalDriftCompensation as GlobalDriftCompensation
from .kernels.inference import (
    GlobalDriftCompensationWithExactReference as GlobalDriftCompensationWithExactReference,
)
from .kernels.inference import HermesNoiseModel as HermesNoiseModel
from .kernels.inference import NotProgrammedError as NotProgrammedError
from .kernels.inference import NPairConductanceConverter as NPairConductanceConverter
from .kernels.inference import PCMLikeNoiseModel as PCMLikeNoiseModel
from .kernels.inference import PerColumnDriftCompensation as PerColumnDriftCompensation
from .kernels.inference import ReRamCMONoiseModel as ReRamCMONoiseModel
from .kernels.inference import ReRamWan2022NoiseModel as ReRamWan2022NoiseModel
from .kernels.inference import SingleDeviceConductanceConverter as SingleDeviceConductanceConverter
from .kernels.inference import SinglePairConductanceConverter as SinglePairConductanceConverter
from .kernels.inference import StateIndependentNoiseModel as StateIndependentNoiseModel
from .kernels.inference import WeightClipParameter as WeightClipParameter
from .kernels.inference import WeightClipType as WeightClipType
from .kernels.inference import WeightModifierParameter as WeightModifierParameter
from .kernels.inference import WeightModifierType as WeightModifierType
from .kernels.inference import WeightRemapParameter as WeightRemapParameter
from .kernels.inference import WeightRemapType as WeightRemapType
from .kernels.pulsed_update.parameters import PulseType as PulseType
from .kernels.pulsed_update.parameters import UpdateParameters as UpdateParameters

__version__: str
