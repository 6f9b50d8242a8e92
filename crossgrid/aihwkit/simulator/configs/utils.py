"""An older place of parameters and enums."""

from ...missing import absent
from ..parameters import AnalogMVType as AnalogMVType
from ..parameters import BoundManagementType as BoundManagementType
from ..parameters import DriftParameter as DriftParameter
from ..parameters import InputRangeParameter as InputRangeParameter
from ..parameters import IOParameters as IOParameters
from ..parameters import MappingParameter as MappingParameter
from ..parameters import NoiseManagementType as NoiseManagementType
from ..parameters import PrePostProcessingParameter as PrePostProcessingParameter
from ..parameters import PulseType as PulseType
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

__getattr__ = absent(__name__)
