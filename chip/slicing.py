"""Weights over several cells: each cell holds a digit, columns are added with the digits' weights.

``column-pair`` and ``in-cell`` hold a magnitude, positive and negative parts apart; ``offset`` holds the
weight plus a bias that is taken off digitally, from the sum of the inputs (Shafiee et al., ISCA 2016,
section V). An analog cell (no ``bits_per_cell``) holds the whole weight.
"""

from __future__ import annotations

import numpy as np

from .adc import converted
from .dac import input_levels, quantize_inputs, stream
from .spec import Chip


def weight_levels(chip: Chip) -> int:
    """Largest magnitude of the integer that a weight becomes."""
    return int(2 ** (chip.crossbar.weight_bits - 1) - 1)


def quantize_weights(w_OI: np.ndarray, chip: Chip) -> np.ndarray:
    """Integers [O, I] for weights in [-1, 1]; what is beyond is clipped. Analog cells hold any value."""
    levels = weight_levels(chip)
    scaled = np.clip(w_OI * levels, -levels, levels)
    return scaled if chip.crossbar.bits_per_cell is None else np.rint(scaled).astype(np.int64)


def slices(codes_OI: np.ndarray, chip: Chip) -> tuple[np.ndarray, np.ndarray]:
    """Digits [S, O, I] of the weights' integers, signed as the cells' pairs are, and their weights."""
    bits = chip.crossbar.bits_per_cell
    if bits is None:
        return codes_OI[None], np.ones(1)
    base = 2**bits
    if chip.crossbar.sign == "offset":
        magnitude, sign = codes_OI + offset(chip), np.ones_like(codes_OI)
    else:
        magnitude, sign = np.abs(codes_OI), np.sign(codes_OI)
    digits = np.empty((chip.slices, *codes_OI.shape), np.int64)
    for k in range(chip.slices):
        digits[k] = (magnitude % base) * sign
        magnitude = magnitude // base
    return digits, float(base) ** np.arange(chip.slices)


def offset(chip: Chip) -> int:
    """What is added to weights so that none is negative."""
    return int(2 ** (chip.crossbar.weight_bits - 1)) if chip.crossbar.sign == "offset" else 0


def sliced_mvm(w_OI: np.ndarray, x_BI: np.ndarray, chip: Chip) -> np.ndarray:
    """The product [B, O] of one tile as the chip computes it: every slice and pass converted on its own.

    Weights are in [-1, 1], inputs in [-dac.bound, dac.bound]; devices are perfect. Integers add up
    exactly, so without losses in the converters this is the product of the quantised numbers.
    """
    assert chip.dac is not None, "an ideal chip has no converters to go through"
    weight_digits, weight_scale = slices(quantize_weights(w_OI, chip), chip)
    codes_BI = quantize_inputs(x_BI, chip.dac)
    input_digits, input_scale = stream(codes_BI, chip.dac)
    total = np.zeros((x_BI.shape[0], w_OI.shape[0]))
    for p, digits_BI in enumerate(input_digits):
        for s, digits_OI in enumerate(weight_digits):
            partial = (digits_BI @ digits_OI.T).astype(np.float64)
            total += input_scale[p] * weight_scale[s] * converted(partial, chip)
    if offset(chip):
        total -= offset(chip) * codes_BI.sum(axis=1, keepdims=True)
    return total * (chip.dac.bound / input_levels(chip.dac) / weight_levels(chip))
