"""What the kernels of transfers take together."""

from __future__ import annotations

from typing import Any, NamedTuple


class Choppers(NamedTuple):
    """Signs of each tile: of the lines that are transferred, and of the positions along them."""

    line_signs_TL: Any
    other_signs_TM: Any


class Flips(NamedTuple):
    """An update's reads, number n after after_N[n] of its vectors, and which choppers flip after them."""

    lines_N: Any
    after_N: Any
    flips_TN: Any  # whether the line's own does
    other_flips_TSM: Any  # which of the others do, after each sweep that ends


class Signed(NamedTuple):
    """The vectors with the choppers' signs, and the signs of every read."""

    x_TBI: Any
    d_TBO: Any
    sign_TNM: Any
