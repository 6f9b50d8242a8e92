"""Cells of several devices, and the learning rules that go with them."""

from .mixed_precision import MixedPrecisionCompound
from .one_sided import OneSidedUnitCell
from .transfer import (
    BufferedTransferCompound,
    ChoppedTransferCompound,
    DynamicTransferCompound,
    TransferCompound,
)
from .unit_cell import UnitCell
from .vector_cell import ReferenceUnitCell, VectorUnitCell, VectorUnitCellUpdatePolicy

__all__ = [
    "BufferedTransferCompound",
    "ChoppedTransferCompound",
    "DynamicTransferCompound",
    "MixedPrecisionCompound",
    "OneSidedUnitCell",
    "ReferenceUnitCell",
    "TransferCompound",
    "UnitCell",
    "VectorUnitCell",
    "VectorUnitCellUpdatePolicy",
]
