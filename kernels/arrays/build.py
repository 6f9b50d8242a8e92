"""From a device's configuration to its cell: a register of which cell holds which kind of configuration.

A new step device derives from ``PulsedDevice`` and needs no entry. A new compound registers its cell beside
its configuration: ``@cell_of.register`` over a function of (configuration, update parameters, keys_T2,
out_size, in_size, backend).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..backends import CPU, Backend
from ..devices.base import PulsedDevice
from ..devices.exact import FloatingPointDevice
from ..errors import ConfigError
from ..pulsed_update.parameters import UpdateParameters
from .cell import Cell, Keys
from .exact import ExactCell
from .single import SingleDeviceCell


@functools.singledispatch
def cell_of(
    device: Any, update: UpdateParameters, keys_T2: Keys, out_size: int, in_size: int, backend: Backend
) -> Cell:
    """The cell of ``device``, by its class; ``build_cell`` checks the arguments first."""
    raise ConfigError(f"device = {device!r} is no device configuration, such as ConstantStepDevice()")


@cell_of.register(PulsedDevice)
def _(
    device: PulsedDevice,
    update: UpdateParameters,
    keys_T2: Keys,
    out_size: int,
    in_size: int,
    backend: Backend,
) -> SingleDeviceCell:
    return SingleDeviceCell(device, update, keys_T2, out_size, in_size, backend)


@cell_of.register(FloatingPointDevice)
def _(
    device: FloatingPointDevice, update: UpdateParameters, keys_T2: Keys, out_size: int, in_size: int,
    backend: Backend,
) -> ExactCell:  # fmt: skip
    return ExactCell(device, update, keys_T2, out_size, in_size, backend)


def build_cell(
    device: Any, update: UpdateParameters, keys_T2: Keys, out_size: int, in_size: int, backend: Backend = CPU
) -> Cell:
    """The cell of ``device`` for tiles [tiles, out_size, in_size], one tile a row of ``keys_T2``."""
    if out_size < 1 or in_size < 1:
        raise ConfigError(f"a tile of {out_size} outputs and {in_size} inputs must have at least one of each")
    keys_T2 = np.ascontiguousarray(keys_T2, np.uint32).reshape(-1, 2)
    return cell_of(device, update, keys_T2, out_size, in_size, backend)
