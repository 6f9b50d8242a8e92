"""The older name of ``inference``."""

from ..inference import BaseConductanceConverter as BaseConductanceConverter
from ..inference import BaseDriftCompensation as BaseDriftCompensation
from ..inference import BaseNoiseModel as BaseNoiseModel
from ..inference import CustomDriftPCMLikeNoiseModel as CustomDriftPCMLikeNoiseModel
from ..inference import CustomPairConductanceConverter as CustomPairConductanceConverter
from ..inference import DualPairConductanceConverter as DualPairConductanceConverter
from ..inference import GlobalDriftCompensation as GlobalDriftCompensation
from ..inference import NPairConductanceConverter as NPairConductanceConverter
from ..inference import PCMLikeNoiseModel as PCMLikeNoiseModel
from ..inference import ReRamCMONoiseModel as ReRamCMONoiseModel
from ..inference import ReRamWan2022NoiseModel as ReRamWan2022NoiseModel
from ..inference import SingleDeviceConductanceConverter as SingleDeviceConductanceConverter
from ..inference import SinglePairConductanceConverter as SinglePairConductanceConverter
from ..inference import StateIndependentNoiseModel as StateIndependentNoiseModel
from ..inference import drift_analog_weights as drift_analog_weights
from ..inference import program_analog_weights as program_analog_weights
from ..missing import absent

__getattr__ = absent(__name__)
