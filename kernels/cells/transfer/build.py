"""The cells of Tiki-Taka and its kin: the same chain of arrays, each with a rule of its own."""

from __future__ import annotations

from collections.abc import Callable

from ...arrays.build import cell_of
from ...arrays.cell import Keys
from ...backends import Backend
from ...pulsed_update.parameters import UpdateParameters
from .cell import TransferCell
from .choppers import Chopped, Dynamic
from .config import (
    BufferedTransferCompound,
    ChoppedTransferCompound,
    DynamicTransferCompound,
    TransferCompound,
)
from .rules import Buffered, Direct, Rule

RULES: dict[type[TransferCompound], Callable[[TransferCell], Rule]] = {
    TransferCompound: Direct,
    BufferedTransferCompound: Buffered,
    ChoppedTransferCompound: Chopped,
    DynamicTransferCompound: Dynamic,
}


@cell_of.register(TransferCompound)
def _(
    cell: TransferCompound, update: UpdateParameters, keys_T2: Keys, out_size: int, in_size: int,
    backend: Backend,
) -> TransferCell:  # fmt: skip
    cell.validate()
    if isinstance(cell, ChoppedTransferCompound):
        cell.check_update(update)
    rule = next(RULES[kind] for kind in type(cell).__mro__ if kind in RULES)
    return TransferCell(cell, rule, update, keys_T2, out_size, in_size, backend)
