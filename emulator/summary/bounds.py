"""Which weights a crosspoint can hold in the mean: the range of its device, or of the devices of its cell."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from crossgrid.kernels.cells import (
    MixedPrecisionCompound,
    OneSidedUnitCell,
    ReferenceUnitCell,
    TransferCompound,
    VectorUnitCell,
)
from crossgrid.kernels.devices import FloatingPointDevice, PulsedDevice
from crossgrid.kernels.errors import ConfigError


@dataclass(frozen=True, slots=True)
class WeightRange:
    """The mean bounds of what is written to a crosspoint, and how many devices it is made of."""

    low: float
    high: float
    devices: int = 1

    @property
    def magnitude(self) -> float:
        """The largest magnitude that weights of both signs can have."""
        return min(-self.low, self.high) or max(-self.low, self.high)

    def times(self, factor: float, devices: int) -> WeightRange:
        """The range of ``factor`` times the weight, in a cell of ``devices``."""
        low, high = sorted((factor * self.low, factor * self.high))
        return WeightRange(low, high, devices)


@functools.singledispatch
def weight_range(device: Any) -> WeightRange | None:
    """The range of ``device``, a device or cell; None: digital weights, which have no bounds."""
    raise ConfigError(f"device = {device!r} is no device configuration, such as ConstantStepDevice()")


@weight_range.register(FloatingPointDevice)
def _(device: FloatingPointDevice) -> None:
    return None


@weight_range.register(PulsedDevice)
def _(device: PulsedDevice) -> WeightRange:
    return WeightRange(device.w_min, device.w_max)


def _bounded(member: Any) -> WeightRange:
    """The range of a cell's member: a pulsed device or a cell of such, and so never without one."""
    found = weight_range(member)
    assert found is not None
    return found


@weight_range.register(OneSidedUnitCell)
def _(cell: OneSidedUnitCell) -> WeightRange:
    """Either side holds the magnitude of weights of its sign."""
    side = _bounded(cell.unit_cell_devices[0]).high
    return WeightRange(-side, side, 2)


@weight_range.register(VectorUnitCell)
def _(cell: VectorUnitCell) -> WeightRange:
    """Every member is written the weight; what is seen is their weighted sum."""
    members = [_bounded(member) for member in cell.members()]
    gamma = cell.gamma_vec or [1.0 / len(members)] * len(members)
    ends = [(factor * each.low, factor * each.high) for factor, each in zip(gamma, members, strict=True)]
    return WeightRange(sum(map(min, ends)), sum(map(max, ends)), sum(each.devices for each in members))


@weight_range.register(ReferenceUnitCell)
def _(cell: ReferenceUnitCell) -> WeightRange:
    """The reference stays where it is, at 0: the other one is written."""
    members, updated = [_bounded(member) for member in cell.members()], cell.first_update_idx
    return members[updated].times(cell.gamma_vec[updated], sum(each.devices for each in members))


@weight_range.register(TransferCompound)
def _(cell: TransferCompound) -> WeightRange:
    """The last array is written."""
    members = [_bounded(member) for member in cell.unit_cell_devices]
    return members[-1].times(cell.weights_of_members()[-1], sum(each.devices for each in members))


@weight_range.register(MixedPrecisionCompound)
def _(cell: MixedPrecisionCompound) -> WeightRange | None:
    return weight_range(cell.device)
