"""Tiki-Taka and its kin: configurations, the chain of arrays, what is written where, choppers."""

from . import build as build  # registers the cells of the configurations
from .config import (
    BufferedTransferCompound,
    ChoppedTransferCompound,
    DynamicTransferCompound,
    TransferCompound,
)

__all__ = [
    "BufferedTransferCompound",
    "ChoppedTransferCompound",
    "DynamicTransferCompound",
    "TransferCompound",
]
