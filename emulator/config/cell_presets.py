"""Cells with published values: a pair of PCM devices, and learning rules for any device.

The rates of the transfer rules are those of Rasch, Carta, Fagbohungbe, Gokmen, "Fast and robust analog
in-memory deep neural network training", Nature Communications 15 (2024).
"""

from __future__ import annotations

import copy

from crossgrid.kernels.analog_mvm.parameters import (
    BoundManagementType,
    IOParameters,
    NoiseManagementType,
    PresetIOParameters,
)
from crossgrid.kernels.cells.mixed_precision import MixedPrecisionCompound
from crossgrid.kernels.cells.one_sided import OneSidedUnitCell
from crossgrid.kernels.cells.transfer.config import (
    ChoppedTransferCompound,
    DynamicTransferCompound,
    TransferCompound,
    single_pulses,
)
from crossgrid.kernels.cells.unit_cell import UnitCell
from crossgrid.kernels.cells.vector_cell import VectorUnitCell, VectorUnitCellUpdatePolicy
from crossgrid.kernels.config import config, field
from crossgrid.kernels.devices import PCMPresetDevice, PulsedDevice
from crossgrid.kernels.pulsed_update.parameters import UpdateParameters


def pcm_pair() -> list[PulsedDevice | UnitCell]:
    """The two sides of a PCM cell."""
    return [PCMPresetDevice(), PCMPresetDevice()]


@config
class PCMPresetUnitCell(OneSidedUnitCell):
    """Two PCMPresetDevice of opposite sign that are checked for a refresh after every mini-batch.

    Source: Nandakumar et al., "Mixed-precision deep learning based on computational memory", Frontiers in
    Neuroscience 14, 406 (2020).
    """

    unit_cell_devices: list[PulsedDevice | UnitCell] = field(factory=pcm_pair)
    refresh_every: int = field(1, at_least=0)
    refresh_forward: IOParameters = field(factory=PresetIOParameters)


def several(device: PulsedDevice, count: int) -> VectorUnitCell:
    """``count`` devices at each crosspoint, one of them drawn for every update."""
    return VectorUnitCell(
        unit_cell_devices=[copy.copy(device) for _ in range(count)],
        update_policy=VectorUnitCellUpdatePolicy.SINGLE_RANDOM,
    )


def tiki_taka(device: PulsedDevice) -> TransferCompound:
    """Tiki-Taka v1: one column a mini-batch."""
    return TransferCompound(unit_cell_devices=twice(device), transfer_forward=transfer_read())


def tiki_taka_v2(
    device: PulsedDevice, auto_granularity: float = 1000.0, fast_lr: float = 0.1
) -> ChoppedTransferCompound:
    """TTv2: c-TTv2 with choppers that stand still."""
    return chopped_tiki_taka_v2(device, 0.0, auto_granularity, fast_lr)


def chopped_tiki_taka_v2(
    device: PulsedDevice, in_chop_prob: float = 0.01, auto_granularity: float = 1000.0, fast_lr: float = 0.1
) -> ChoppedTransferCompound:
    """c-TTv2."""
    return ChoppedTransferCompound(
        unit_cell_devices=twice(device), transfer_forward=transfer_read(), transfer_update=single_pulses(),
        units_in_mbatch=False, in_chop_prob=in_chop_prob, fast_lr=fast_lr, auto_scale=True,
        auto_granularity=auto_granularity,
    )  # fmt: skip


def agad(
    device: PulsedDevice, in_chop_prob: float, auto_granularity: float = 1000.0, fast_lr: float = 0.1,
    tail_weightening: float = 5.0,
) -> DynamicTransferCompound:  # fmt: skip
    """AGAD."""
    return DynamicTransferCompound(
        unit_cell_devices=twice(device), transfer_forward=transfer_read(), transfer_update=single_pulses(),
        in_chop_prob=in_chop_prob, fast_lr=fast_lr, auto_scale=True, auto_granularity=auto_granularity,
        tail_weightening=tail_weightening,
    )  # fmt: skip


def long_trains() -> UpdateParameters:
    """Trains of up to 100 pulses: devices whose steps are small take part of a larger update."""
    return UpdateParameters(desired_bl=100)


def mixed_precision(device: PulsedDevice | OneSidedUnitCell) -> MixedPrecisionCompound:
    """Digital sums in front of ``device``."""
    return MixedPrecisionCompound(device=device)


def twice(device: PulsedDevice) -> list[PulsedDevice | UnitCell]:
    """A fast and a slow device of one configuration."""
    return [copy.copy(device), copy.copy(device)]


def transfer_read() -> IOParameters:
    """The periphery of the presets, without management: lines are read one by one."""
    return PresetIOParameters(
        noise_management=NoiseManagementType.NONE, bound_management=BoundManagementType.NONE
    )
