"""The parts that configurations are made of."""

from ...missing import absent
from .enums import AnalogMVType as AnalogMVType
from .enums import BoundManagementType as BoundManagementType
from .enums import NoiseManagementType as NoiseManagementType
from .enums import PulseType as PulseType
from .enums import RPUDataType as RPUDataType
from .enums import VectorUnitCellUpdatePolicy as VectorUnitCellUpdatePolicy
from .enums import WeightClipType as WeightClipType
from .enums import WeightModifierType as WeightModifierType
from .enums import WeightNoiseType as WeightNoiseType
from .enums import WeightRemapType as WeightRemapType
from .inference import DriftParameter as DriftParameter
from .inference import SimpleDriftParameter as SimpleDriftParameter
from .inference import WeightClipParameter as WeightClipParameter
from .inference import WeightModifierParameter as WeightModifierParameter
from .inference import WeightRemapParameter as WeightRemapParameter
from .io import IOParameters as IOParameters
from .io import IOParametersIRDropT as IOParametersIRDropT
from .mapping import MappingParameter as MappingParameter
from .pre_post import InputRangeParameter as InputRangeParameter
from .pre_post import PrePostProcessingParameter as PrePostProcessingParameter
from .training import UpdateParameters as UpdateParameters

__getattr__ = absent(__name__)
