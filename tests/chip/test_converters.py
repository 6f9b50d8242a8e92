"""What converters, slices and passes do to numbers, against exact integer arithmetic."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from crossgrid.chip import Chip, load_chip
from crossgrid.chip.adc import conversions, converted, equivalent_output, lossless_bits, step
from crossgrid.chip.dac import conversions as lines_driven
from crossgrid.chip.dac import input_levels, quantize_inputs, stream
from crossgrid.chip.events import mvm_events
from crossgrid.chip.slicing import offset, quantize_weights, sliced_mvm, slices, weight_levels
from crossgrid.chip.spec import Adc, Crossbar, Dac
from hypothesis import given, settings
from hypothesis import strategies as st


def sliced_chip(
    cell: int, weight: int, stream_bits: int, input_bits: int, sign: str, adc_bits: int = 40
) -> Chip:
    magnitude = weight - (sign != "offset")
    count = -(-magnitude // cell)
    per_weight = count * (2 if sign == "column-pair" else 1)
    crossbar = Crossbar(
        rows=16,
        columns=5 * per_weight,
        cells_per_weight=per_weight,
        bits_per_cell=cell,
        weight_bits=weight,
        sign=sign,
    )
    dac = Dac(bits=stream_bits, input_bits=input_bits)
    return dataclasses.replace(load_chip("isaac"), crossbar=crossbar, dac=dac, adc=Adc(bits=adc_bits))


CHIPS = st.builds(
    sliced_chip,
    cell=st.integers(1, 8),
    weight=st.integers(2, 12),
    stream_bits=st.integers(1, 5),
    input_bits=st.integers(2, 12),
    sign=st.sampled_from(["in-cell", "column-pair", "offset"]),
)


@settings(max_examples=40, deadline=None)
@given(CHIPS, st.integers(0, 2**32 - 1))
def test_digits_give_the_numbers_back(chip: Chip, seed: int) -> None:
    draw = np.random.default_rng(seed)
    assert chip.dac is not None
    codes = quantize_inputs(draw.uniform(-1.2, 1.2, (3, 16)), chip.dac)
    digits, scale = stream(codes, chip.dac)
    assert (np.tensordot(scale, digits, 1) == codes).all()
    assert (digits[:-1] >= 0).all()
    assert (digits[:-1] < 2**chip.dac.bits).all()
    weights = quantize_weights(draw.uniform(-1.2, 1.2, (5, 16)), chip)
    parts, scale = slices(weights, chip)
    assert (np.tensordot(scale, parts, 1) == weights + offset(chip)).all()
    assert (np.abs(parts) < 2 ** (chip.crossbar.bits_per_cell or 0)).all()


@settings(max_examples=40, deadline=None)
@given(CHIPS, st.integers(0, 2**32 - 1))
def test_with_enough_bits_slices_and_passes_compute_the_exact_product(chip: Chip, seed: int) -> None:
    draw = np.random.default_rng(seed)
    w_OI, x_BI = draw.uniform(-1, 1, (5, 16)), draw.uniform(-1, 1, (3, 16))
    assert chip.dac is not None
    exact = quantize_inputs(x_BI, chip.dac) @ quantize_weights(w_OI, chip).T
    unit = input_levels(chip.dac) * weight_levels(chip)
    assert np.allclose(sliced_mvm(w_OI, x_BI, chip), exact / unit, rtol=1e-12, atol=1e-12)


def test_isaac_loses_nothing() -> None:
    """128 rows of 1-bit inputs on 2-bit cells need 9 bits; the encoding spares one: 8 bits are exact."""
    chip = load_chip("isaac")
    assert lossless_bits(chip) == 9
    assert step(chip) == 1.0
    assert equivalent_output(chip)[1] == -1.0


@pytest.mark.parametrize("bits", [4, 5, 6])
def test_equivalent_quantiser_errs_as_much_as_the_sliced_conversions(bits: int) -> None:
    """Standard deviations of errors; 25,600 outputs: the sample's relative error is 1 / sqrt(2 * 25600)."""
    chip = load_chip("neurosim-128")
    assert chip.adc is not None
    chip = dataclasses.replace(chip, adc=dataclasses.replace(chip.adc, bits=bits))
    finer = dataclasses.replace(chip, adc=dataclasses.replace(chip.adc, bits=40))
    draw = np.random.default_rng(1)
    w_OI, x_BI = draw.uniform(-1, 1, (128, 128)), draw.uniform(-1, 1, (200, 128))
    error = sliced_mvm(w_OI, x_BI, chip) - sliced_mvm(w_OI, x_BI, finer)
    bound, resolution = equivalent_output(chip)
    expected = 2 * bound * resolution / np.sqrt(12)
    # a step is not small against the spread of the sums, so their errors are uniform only roughly: 15 %
    assert error.std() == pytest.approx(expected, rel=0.15)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.floats(0.5, 20), st.integers(0, 2**32 - 1))
def test_converter_of_a_given_range_rounds_to_its_codes_and_clips(bits: int, bound: float, seed: int) -> None:
    chip = dataclasses.replace(load_chip("demo-128"), adc=Adc(bits=bits, bound=bound))
    assert chip.dac is not None
    unit = input_levels(chip.dac) * weight_levels(chip)
    sums = np.random.default_rng(seed).normal(0, bound, 100) * unit
    result = converted(sums, chip) / unit
    assert (np.abs(result) <= bound * (1 + 1e-12)).all()
    inside = np.abs(sums) <= bound * unit
    assert (np.abs(result - sums / unit)[inside] <= bound / (2**bits - 2) * (1 + 1e-9)).all()
    assert len(np.unique(np.round(result / bound * (2**bits - 2)))) <= 2**bits - 1


@settings(max_examples=30, deadline=None)
@given(CHIPS)
def test_counts_are_those_that_are_paid(chip: Chip) -> None:
    events = mvm_events(chip, chip.tile_out, chip.tile_in)
    assert events.adc_conversion == conversions(chip, chip.tile_out)
    assert events.dac_conversion == lines_driven(chip, chip.tile_in)
