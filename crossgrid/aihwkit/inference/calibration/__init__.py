"""Calibration from data."""

from ...missing import absent
from .calibration import InputRangeCalibrationType as InputRangeCalibrationType
from .calibration import calibrate_input_ranges as calibrate_input_ranges

__getattr__ = absent(__name__)
