"""Devices: one file each, with its parameters, how a population is drawn, and one step."""

from .cell import Cell, UpdateCounts, Vectors, build_cell, member_keys
from .constant_step import ConstantStepDevice
from .exact import FloatingPointDevice, IdealDevice
from .warm import warm

__all__ = [
    "Cell", "ConstantStepDevice", "FloatingPointDevice", "IdealDevice", "UpdateCounts", "Vectors",
    "build_cell", "member_keys", "warm",
]  # fmt: skip
