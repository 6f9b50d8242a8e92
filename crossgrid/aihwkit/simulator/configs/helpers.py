"""A configuration for a learning rule and a device."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

from crossgrid.kernels.config import Config

from ...exceptions import ArgumentError
from ...missing import absent
from ..parameters import (
    BoundManagementType,
    IOParameters,
    NoiseManagementType,
    UpdateParameters,
    VectorUnitCellUpdatePolicy,
)
from .compounds import (
    ChoppedTransferCompound,
    DynamicTransferCompound,
    MixedPrecisionCompound,
    TransferCompound,
    VectorUnitCell,
)
from .configs import DigitalRankUpdateRPUConfig, SingleRPUConfig, UnitCellRPUConfig

Make = Callable[..., Any]
UNMANAGED = {"noise_management": NoiseManagementType.NONE, "bound_management": BoundManagementType.NONE}
ONE_SLOT = {"desired_bl": 1, "update_bl_management": False, "update_management": False}


def _maker(given: Any) -> Make:
    """What makes copies of ``given``, a configuration, a class or a function, with other fields."""
    if not isinstance(given, Config):
        return given  # type: ignore[no-any-return]

    def changed(**fields: Any) -> Any:
        made = copy.deepcopy(given)
        for name, value in fields.items():
            setattr(made, name, value)
        return made

    return changed


def _tiki_taka(device: Make, io: Make, update: Make) -> Config:
    return TransferCompound(
        unit_cell_devices=[device(), device()], transfer_forward=io(**UNMANAGED), transfer_update=update(),
        units_in_mbatch=True,
    )  # fmt: skip


def _ttv2(device: Make, io: Make, update: Make) -> Config:
    return ChoppedTransferCompound(
        unit_cell_devices=[device(), device()], transfer_forward=io(**UNMANAGED),
        transfer_update=update(**ONE_SLOT), in_chop_prob=0.0, units_in_mbatch=False, auto_scale=False,
    )  # fmt: skip


def _chopped(device: Make, io: Make, update: Make) -> Config:
    return ChoppedTransferCompound(
        unit_cell_devices=[device(), device()], transfer_forward=io(**UNMANAGED),
        transfer_update=update(**ONE_SLOT), units_in_mbatch=False, fast_lr=0.1, auto_scale=True,
    )  # fmt: skip


def _agad(device: Make, io: Make, update: Make) -> Config:
    managed = update(desired_bl=1, update_bl_management=True, update_management=True)
    return DynamicTransferCompound(
        unit_cell_devices=[device(), device()], transfer_forward=io(), transfer_update=managed,
        units_in_mbatch=False, fast_lr=0.1, auto_scale=True,
    )  # fmt: skip


#: the names of a learning rule -> its cell, and the longest train of the gradient
CELLS: dict[tuple[str, ...], tuple[Callable[[Make, Make, Make], Config], int | None]] = {
    ("tiki-taka", "tt", "ttv1"): (_tiki_taka, None),
    ("ttv2",): (_ttv2, 5),
    ("chopped-ttv2", "ttv3", "c-ttv2"): (_chopped, 5),
    ("agad", "ttv4"): (_agad, 5),
}


def build_config(
    algorithm: str,
    device: Any,
    io_parameters: Any = IOParameters,
    up_parameters: Any = UpdateParameters,
    n_devices: int = 1,
    construction_seed: int = 0,
    **kwargs: Any,
) -> Any:
    """A configuration that trains ``device`` by a learning rule.

    Args:
        algorithm: "sgd", "tiki-taka", "ttv2", "chopped-ttv2", "agad" or "mixed-precision".
        device: a device, or what makes one.
        io_parameters, up_parameters: the periphery and the pulses, or what makes them.
        n_devices: devices at each crosspoint for "sgd", one of which is drawn for every update.
        construction_seed: above 0 the devices are the same wherever the configuration is used.
        kwargs: further fields of the configuration.

    Raises:
        ArgumentError: an unknown learning rule.
    """
    make, io, update = _maker(device), _maker(io_parameters), _maker(up_parameters)
    name = algorithm.lower()
    cells = {each: cell for names, cell in CELLS.items() for each in names}
    kind = functools.partial(UnitCellRPUConfig, forward=io(), backward=io(), **kwargs)
    if name == "sgd" and n_devices == 1:
        single = make(construction_seed=construction_seed)
        return SingleRPUConfig(device=single, forward=io(), backward=io(), update=update(), **kwargs)
    if name == "sgd":
        cell = VectorUnitCell(
            unit_cell_devices=[make() for _ in range(n_devices)], construction_seed=construction_seed,
            update_policy=VectorUnitCellUpdatePolicy.SINGLE_RANDOM,
        )  # fmt: skip
        return kind(device=cell, update=update())
    if name in ("mp", "mixed-precision"):
        rank = MixedPrecisionCompound(device=make(construction_seed=construction_seed))
        return DigitalRankUpdateRPUConfig(device=rank, forward=io(), backward=io(), update=update(), **kwargs)
    if name not in cells:
        known = ", ".join(["sgd", *cells, "mp", "mixed-precision"])
        raise ArgumentError(f"learning rule '{algorithm}' is not known; known are: {known}")
    build, longest = cells[name]
    compound: Any = build(make, io, update)
    compound.construction_seed = construction_seed
    return kind(device=compound, update=update() if longest is None else update(desired_bl=longest))


__getattr__ = absent(__name__)
