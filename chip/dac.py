"""Digital-to-analog conversion of inputs: quantised to the input's bits, then cut into passes.

A signed input in [-bound, bound] becomes an integer of ``input_bits`` bits. A chip that streams sends
``bits`` of it a pass, least significant first; signs go as two's complement, whose top bit counts
negatively (Shafiee et al., ISCA 2016, section V). Digits times their weights give the integer back.
"""

from __future__ import annotations

import numpy as np

from .spec import Chip, Dac


def input_levels(dac: Dac) -> int:
    """Largest magnitude of the integer that an input becomes."""
    return int(2 ** ((dac.input_bits or dac.bits) - 1) - 1)


def quantize_inputs(x_BI: np.ndarray, dac: Dac) -> np.ndarray:
    """Integers [B, I] for inputs in [-bound, bound]; what is beyond is clipped. Rounds half to even."""
    levels = input_levels(dac)
    return np.clip(np.rint(x_BI * (levels / dac.bound)), -levels, levels).astype(np.int64)


def stream(codes_BI: np.ndarray, dac: Dac) -> tuple[np.ndarray, np.ndarray]:
    """Passes [P, B, I] of ``codes_BI`` and the weight of each, least significant first.

    Without streaming there is one pass, the signed integer itself. In the last pass the digit is that
    of two's complement: the weight of its top bit is negative, so the digit is signed.
    """
    total = dac.input_bits or dac.bits
    if total <= dac.bits:
        return codes_BI[None], np.ones(1)
    passes = -(-total // dac.bits)
    base = 2**dac.bits
    digits = np.empty((passes, *codes_BI.shape), np.int64)
    rest = codes_BI.astype(np.int64)
    for k in range(passes - 1):
        digits[k] = rest % base
        rest = rest // base  # rounds down: what is left keeps the sign
    digits[-1] = rest
    return digits, float(base) ** np.arange(passes)


def conversions(chip: Chip, in_size: int) -> int:
    """Input lines driven for one vector of ``in_size`` inputs."""
    return in_size * chip.passes
