"""What digital work would take on an ordinary unit beside the tiles: an estimate, not in the chip's cost.

Energies are those of 8-bit arithmetic and of an 8 KB memory at 45 nm and 0.9 V (Horowitz, ISSCC 2014, figure
1.1.9): 0.2 pJ a multiplication, 0.03 pJ an addition, 10 pJ for 64 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..description.spec import Chip
from ..plan.digital import DigitalWork


@dataclass(frozen=True, slots=True)
class DigitalUnit:
    """A row of multipliers with a memory; one on each chip."""

    mac_pj: float = 0.23
    operation_pj: float = 0.03
    byte_pj: float = 1.25
    macs_per_ns: float = 256.0  # 256 lanes at 1 GHz, an estimate; as many other operations


@dataclass(frozen=True, slots=True)
class DigitalCost:
    """What one input's digital work comes to."""

    macs: float
    operations: float
    bytes: float
    weights: int
    energy_pj: float
    time_ns: float  # on one unit a chip, nothing at the same time
    unknown: int  # entries without counts


def digital_cost(
    works: Sequence[DigitalWork], chip: Chip, chips: int = 1, unit: DigitalUnit | None = None
) -> DigitalCost:
    """The cost of ``works`` on ``chips`` units; values are as wide as those between tiles."""
    unit = unit or DigitalUnit()
    macs = sum(work.macs or 0.0 for work in works)
    operations = sum(work.operations or 0.0 for work in works)
    moved = sum(work.values or 0.0 for work in works) * chip.output_bits / 8
    return DigitalCost(
        macs=macs,
        operations=operations,
        bytes=moved,
        weights=sum(work.weights for work in works),
        energy_pj=macs * unit.mac_pj + operations * unit.operation_pj + moved * unit.byte_pj,
        time_ns=(macs + operations) / (unit.macs_per_ns * max(chips, 1)),
        unknown=sum(work.macs is None for work in works),
    )
