"""Digital factors that undo the mean drift."""

from crossgrid.kernels.inference import GlobalDriftCompensation as GlobalDriftCompensation
from crossgrid.kernels.inference import (
    GlobalDriftCompensationWithExactReference as GlobalDriftCompensationWithExactReference,
)
from crossgrid.kernels.inference import PerColumnDriftCompensation as PerColumnDriftCompensation

from ...missing import absent

__getattr__ = absent(__name__)
