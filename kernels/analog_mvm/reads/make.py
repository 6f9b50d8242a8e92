"""Which periphery a configuration asks for."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...backends import CPU, Backend
from ..parameters import IOParameters
from .nodal import NodalPeriphery
from .periphery import Periphery
from .pulses import TimedIOParameters
from .sliced import SlicedIOParameters, SlicedPeriphery
from .timed import TimedPeriphery


def periphery(
    io: IOParameters,
    keys_T2: NDArray[np.uint32],
    out_size: int,
    in_size: int,
    direction: Literal["forward", "backward"] = "forward",
    backend: Backend = CPU,
) -> Periphery:
    """The periphery that ``io`` asks for: sliced, in time, or in one conversion, plain or through wires."""
    if isinstance(io, SlicedIOParameters) and not io.perfect:
        return SlicedPeriphery(io, keys_T2, out_size, in_size, direction, backend)
    if isinstance(io, TimedIOParameters) and not io.perfect:
        return TimedPeriphery(io, keys_T2, out_size, in_size, direction, backend)
    if io.nodal:
        return NodalPeriphery(io, keys_T2, out_size, in_size, direction, backend)
    return Periphery(io, keys_T2, out_size, in_size, direction, backend)
