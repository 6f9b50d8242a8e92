"""Noise models, converters and compensation of inference."""

from ..missing import absent
from .compensation.base import BaseDriftCompensation as BaseDriftCompensation
from .compensation.drift import GlobalDriftCompensation as GlobalDriftCompensation
from .converter.base import BaseConductanceConverter as BaseConductanceConverter
from .converter.conductance import CustomPairConductanceConverter as CustomPairConductanceConverter
from .converter.conductance import DualPairConductanceConverter as DualPairConductanceConverter
from .converter.conductance import NPairConductanceConverter as NPairConductanceConverter
from .converter.conductance import SingleDeviceConductanceConverter as SingleDeviceConductanceConverter
from .converter.conductance import SinglePairConductanceConverter as SinglePairConductanceConverter
from .noise.base import BaseNoiseModel as BaseNoiseModel
from .noise.custom import StateIndependentNoiseModel as StateIndependentNoiseModel
from .noise.pcm import CustomDriftPCMLikeNoiseModel as CustomDriftPCMLikeNoiseModel
from .noise.pcm import PCMLikeNoiseModel as PCMLikeNoiseModel
from .noise.reram import ReRamCMONoiseModel as ReRamCMONoiseModel
from .noise.reram import ReRamWan2022NoiseModel as ReRamWan2022NoiseModel
from .utils import drift_analog_weights as drift_analog_weights
from .utils import program_analog_weights as program_analog_weights

__getattr__ = absent(__name__)
