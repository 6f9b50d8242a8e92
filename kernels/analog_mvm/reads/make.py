"""Which periphery a configuration asks for."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...backends import CPU, Backend
from ..parameters import IOParameters
from .nodal import NodalPeriphery
from .periphery import Periphery
from .sliced import SlicedIOParameters, SlicedPeriphery


def periphery(
    io: IOParameters,
    keys_T2: NDArray[np.uint32],
    out_size: int,
    in_size: int,
    direction: Literal["forward", "backward"] = "forward",
    backend: Backend = CPU,
) -> Periphery:
    """The periphery that ``io`` asks for: sliced, or in one conversion, by plain weights or through wires."""
    if isinstance(io, SlicedIOParameters) and not io.perfect:
        return SlicedPeriphery(io, keys_T2, out_size, in_size, direction, backend)
    if io.nodal:
        return NodalPeriphery(io, keys_T2, out_size, in_size, direction, backend)
    return Periphery(io, keys_T2, out_size, in_size, direction, backend)
