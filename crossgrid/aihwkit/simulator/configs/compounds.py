"""Cells of several devices, by aihwkit's names."""

from crossgrid.kernels.cells import BufferedTransferCompound as BufferedTransferCompound
from crossgrid.kernels.cells import ChoppedTransferCompound as ChoppedTransferCompound
from crossgrid.kernels.cells import DynamicTransferCompound as DynamicTransferCompound
from crossgrid.kernels.cells import MixedPrecisionCompound as MixedPrecisionCompound
from crossgrid.kernels.cells import OneSidedUnitCell as OneSidedUnitCell
from crossgrid.kernels.cells import ReferenceUnitCell as ReferenceUnitCell
from crossgrid.kernels.cells import TransferCompound as TransferCompound
from crossgrid.kernels.cells import VectorUnitCell as VectorUnitCell
from crossgrid.kernels.cells.unit_cell import UnitCell as UnitCell

from ...missing import absent

DigitalRankUpdateCell = MixedPrecisionCompound
DifferenceUnitCell = OneSidedUnitCell

__getattr__ = absent(__name__)
