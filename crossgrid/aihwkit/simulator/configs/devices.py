"""The devices at a crosspoint, by aihwkit's names."""

from crossgrid.kernels.devices import ConstantStepDevice as ConstantStepDevice
from crossgrid.kernels.devices import ExpStepDevice as ExpStepDevice
from crossgrid.kernels.devices import FloatingPointDevice as FloatingPointDevice
from crossgrid.kernels.devices import IdealDevice as IdealDevice
from crossgrid.kernels.devices import LinearStepDevice as LinearStepDevice
from crossgrid.kernels.devices import PiecewiseStepDevice as PiecewiseStepDevice
from crossgrid.kernels.devices import PowStepDevice as PowStepDevice
from crossgrid.kernels.devices import PowStepReferenceDevice as PowStepReferenceDevice
from crossgrid.kernels.devices import PulsedDevice as PulsedDevice
from crossgrid.kernels.devices import SoftBoundsDevice as SoftBoundsDevice
from crossgrid.kernels.devices import SoftBoundsPmaxDevice as SoftBoundsPmaxDevice
from crossgrid.kernels.devices import SoftBoundsReferenceDevice as SoftBoundsReferenceDevice

from ...missing import absent
from .compounds import BufferedTransferCompound as BufferedTransferCompound
from .compounds import ChoppedTransferCompound as ChoppedTransferCompound
from .compounds import DynamicTransferCompound as DynamicTransferCompound
from .compounds import MixedPrecisionCompound as MixedPrecisionCompound
from .compounds import OneSidedUnitCell as OneSidedUnitCell
from .compounds import ReferenceUnitCell as ReferenceUnitCell
from .compounds import TransferCompound as TransferCompound
from .compounds import VectorUnitCell as VectorUnitCell

__getattr__ = absent(__name__)
