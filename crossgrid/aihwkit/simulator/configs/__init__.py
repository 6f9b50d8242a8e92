"""RPU configurations, and the parts that they are made of."""

from ...missing import absent
from ..parameters import AnalogMVType as AnalogMVType
from ..parameters import BoundManagementType as BoundManagementType
from ..parameters import DriftParameter as DriftParameter
from ..parameters import InputRangeParameter as InputRangeParameter
from ..parameters import IOParameters as IOParameters
from ..parameters import IOParametersIRDropT as IOParametersIRDropT
from ..parameters import MappingParameter as MappingParameter
from ..parameters import NoiseManagementType as NoiseManagementType
from ..parameters import PrePostProcessingParameter as PrePostProcessingParameter
from ..parameters import PulseType as PulseType
from ..parameters import RPUDataType as RPUDataType
from ..parameters import SimpleDriftParameter as SimpleDriftParameter
from ..parameters import UpdateParameters as UpdateParameters
from ..parameters import VectorUnitCellUpdatePolicy as VectorUnitCellUpdatePolicy
from ..parameters import WeightClipParameter as WeightClipParameter
from ..parameters import WeightClipType as WeightClipType
from ..parameters import WeightModifierParameter as WeightModifierParameter
from ..parameters import WeightModifierType as WeightModifierType
from ..parameters import WeightNoiseType as WeightNoiseType
from ..parameters import WeightRemapParameter as WeightRemapParameter
from ..parameters import WeightRemapType as WeightRemapType
from ..parameters.enums import CountLRFeedbackPolicy as CountLRFeedbackPolicy
from .compounds import BufferedTransferCompound as BufferedTransferCompound
from .compounds import ChoppedTransferCompound as ChoppedTransferCompound
from .compounds import DifferenceUnitCell as DifferenceUnitCell
from .compounds import DynamicTransferCompound as DynamicTransferCompound
from .compounds import MixedPrecisionCompound as MixedPrecisionCompound
from .compounds import OneSidedUnitCell as OneSidedUnitCell
from .compounds import ReferenceUnitCell as ReferenceUnitCell
from .compounds import TransferCompound as TransferCompound
from .compounds import VectorUnitCell as VectorUnitCell
from .configs import DigitalRankUpdateRPUConfig as DigitalRankUpdateRPUConfig
from .configs import FloatingPointRPUConfig as FloatingPointRPUConfig
from .configs import InferenceRPUConfig as InferenceRPUConfig
from .configs import SingleRPUConfig as SingleRPUConfig
from .configs import TorchInferenceRPUConfig as TorchInferenceRPUConfig
from .configs import TorchInferenceRPUConfigIRDropT as TorchInferenceRPUConfigIRDropT
from .configs import UnitCellRPUConfig as UnitCellRPUConfig
from .devices import ConstantStepDevice as ConstantStepDevice
from .devices import ExpStepDevice as ExpStepDevice
from .devices import FloatingPointDevice as FloatingPointDevice
from .devices import IdealDevice as IdealDevice
from .devices import LinearStepDevice as LinearStepDevice
from .devices import PiecewiseStepDevice as PiecewiseStepDevice
from .devices import PowStepDevice as PowStepDevice
from .devices import PowStepReferenceDevice as PowStepReferenceDevice
from .devices import SoftBoundsDevice as SoftBoundsDevice
from .devices import SoftBoundsPmaxDevice as SoftBoundsPmaxDevice
from .devices import SoftBoundsReferenceDevice as SoftBoundsReferenceDevice
from .helpers import build_config as build_config

__getattr__ = absent(__name__)
