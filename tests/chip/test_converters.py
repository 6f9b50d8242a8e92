"""What a chip's converters, slices and passes do to numbers: an independent formula, and what is paid."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgrid.chip import Chip, converted_by, load_chip
from crossgrid.chip.cost.events import mvm_events
from crossgrid.chip.description.adc import conversions, full_scale, lossless_bits, shortfall, step
from crossgrid.chip.description.dac import conversions as lines_driven
from crossgrid.chip.description.spec import Adc, Crossbar, Dac
from crossgrid.chip.reports.chip_report import chip_dict
from crossgrid.kernels.analog_mvm import IOParameters, Periphery, SlicedIOParameters, periphery
from crossgrid.kernels.analog_mvm.parameters import BoundManagementType, NoiseManagementType
from crossgrid.kernels.backends import backend_of
from crossgrid.kernels.rng import tile_key

QUIET = IOParameters(
    out_noise=0.0, noise_management=NoiseManagementType.NONE, bound_management=BoundManagementType.NONE
)


def sliced_chip(
    cell: int,
    weight: int,
    stream_bits: int,
    input_bits: int,
    sign: str,
    adc_bits: int,
    phases: int,
    rows_at_once: int | None = None,
) -> Chip:
    magnitude = weight - (sign != "offset")
    count = -(-magnitude // cell)
    per_weight = count * (2 if sign == "column-pair" else 1)
    crossbar = Crossbar(
        rows=16, columns=5 * per_weight, cells_per_weight=per_weight, bits_per_cell=cell,
        weight_bits=weight, sign=sign, phases=phases, rows_at_once=rows_at_once,
    )  # fmt: skip
    dac = Dac(bits=stream_bits, input_bits=input_bits)
    return dataclasses.replace(load_chip("isaac"), crossbar=crossbar, dac=dac, adc=Adc(bits=adc_bits))


CHIPS = st.builds(
    sliced_chip,
    cell=st.integers(1, 8),
    weight=st.integers(2, 12),
    stream_bits=st.integers(1, 5),
    input_bits=st.integers(2, 10),
    sign=st.sampled_from(["in-cell", "column-pair", "offset"]),
    adc_bits=st.integers(3, 12),
    phases=st.sampled_from([1, 2, 4]),
    rows_at_once=st.sampled_from([None, 1, 5, 8, 16]),
)


def digits_of(number: int, bits: int, count: int) -> list[int]:
    """Digits of a whole number that is not negative, lowest first; in the last one whatever is left."""
    found = []
    for _ in range(count - 1):
        found.append(number % 2**bits)
        number //= 2**bits
    return [*found, number]


def formula(w_OI: np.ndarray, x_BI: np.ndarray, chip: Chip) -> tuple[np.ndarray, int]:
    """The product [B, O] in plain arithmetic, number by number, and how many conversions it took.

    Shafiee et al., ISCA 2016, section V: a weight is an integer whose digits lie on neighbouring columns, an
    input one whose digits come one after the other; each column is converted in each pass; results are
    shifted and added; rows that are not read together are converted apart; the offset's share, known from
    the inputs, is taken off.
    """
    bar, dac, adc = chip.crossbar, chip.dac, chip.adc
    assert dac is not None
    assert adc is not None
    assert bar.bits_per_cell is not None
    w_most, x_most = 2 ** (bar.weight_bits - 1) - 1, 2 ** ((dac.input_bits or dac.bits) - 1) - 1
    passes = -(-(dac.input_bits or dac.bits) // dac.bits)
    offset = 2 ** (bar.weight_bits - 1) if bar.sign == "offset" else 0
    delta, most = np.float32(step(chip)), np.float32(full_scale(chip))  # float32 decides between codes
    y_BO, taken = np.zeros((len(x_BI), len(w_OI))), 0
    for b, x_I in enumerate(x_BI):
        codes = [round(max(-x_most, min(x_most, float(x) * x_most))) for x in x_I]
        for o, w_I in enumerate(w_OI):
            weights = [round(max(-w_most, min(w_most, float(w) * w_most))) + offset for w in w_I]
            total = 0.0
            for weight_sign in (1, -1) if bar.phases == 4 else (0,):
                for input_sign in (1, -1) if bar.phases > 1 else (0,):
                    lines = [digits_of(max(u * input_sign, 0), dac.bits, passes) if input_sign
                             else digits_of(u, dac.bits, passes) for u in codes]  # fmt: skip
                    seen = [max(w * weight_sign, 0) if weight_sign else w for w in weights]
                    cells = [
                        [d if w >= 0 else -d for d in digits_of(abs(w), bar.bits_per_cell, chip.slices)]
                        for w in seen
                    ]
                    together = bar.rows_at_once or len(cells)
                    for p, s in itertools.product(range(passes), range(chip.slices)):
                        products = [cell[s] * line[p] for cell, line in zip(cells, lines, strict=True)]
                        for first in range(0, len(products), together):
                            column = sum(products[first : first + together])
                            code = np.clip(np.rint(np.float32(column) / delta) * delta, -most, most)
                            shift = 2 ** (p * dac.bits + s * bar.bits_per_cell)
                            total += (weight_sign or 1) * (input_sign or 1) * shift * float(code)
                            taken += 1
            y_BO[b, o] = (total - offset * sum(codes)) / (w_most * x_most)
    return y_BO, taken


def read(io: IOParameters, w_OI: np.ndarray, x_BI: np.ndarray, backend: str = "cpu"):
    reader = periphery(io, tile_key(3, 0)[None], *w_OI.shape, "forward", backend_of(backend))
    w_TOI, x_XBI = w_OI[None].astype(np.float32), x_BI[None].astype(np.float32)
    y_TBO, counts = reader.read(w_TOI, x_XBI, np.zeros(1, int), 0)
    return y_TBO[0], counts


@pytest.mark.parametrize("backend", ["naive", "cpu"])
@settings(max_examples=30, deadline=None)
@given(chip=CHIPS, seed=st.integers(0, 2**32 - 1))
def test_a_sliced_read_is_the_formula_and_takes_the_conversions_that_are_paid(
    backend: str, chip: Chip, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    w_OI = draw.uniform(-1.1, 1.1, (5, 16)).astype(np.float32)
    x_BI = draw.uniform(-1.1, 1.1, (3, 16)).astype(np.float32)
    io = converted_by(chip, QUIET)
    assert isinstance(io, SlicedIOParameters)
    y_BO, counts = read(io, w_OI, x_BI, backend)
    expected, taken = formula(w_OI, x_BI, chip)
    # sums of digits are whole numbers and codes the same; the result is float32
    np.testing.assert_allclose(y_BO, expected, rtol=1e-6, atol=1e-6)
    assert counts.conversions.tolist() == [taken]
    assert taken == mvm_events(chip, 5, 16, 3).adc_conversion == 3 * conversions(chip, 5)


@pytest.mark.parametrize("name", ["isaac", "neurosim-128", "neurosim-one-cell"])
def test_presets_slice_by_the_formula(name: str) -> None:
    chip = load_chip(name)
    draw = np.random.default_rng(2)
    w_OI = draw.uniform(-1, 1, (3, 128)).astype(np.float32)
    x_BI = draw.uniform(-1, 1, (2, 128)).astype(np.float32)
    y_BO, counts = read(converted_by(chip, QUIET), w_OI, x_BI)
    expected, taken = formula(w_OI, x_BI, chip)
    np.testing.assert_allclose(y_BO, expected, rtol=1e-6, atol=1e-6)
    assert counts.conversions.tolist() == [taken] == [2 * conversions(chip, 3)]


def test_isaac_loses_nothing() -> None:
    """128 rows of 1-bit inputs on 2-bit cells need 9 bits; the encoding spares one: 8 bits are exact.

    So the product is that of the 16-bit integers of weights and inputs.
    """
    chip = load_chip("isaac")
    assert lossless_bits(chip) == 9
    assert step(chip) == 1.0
    draw = np.random.default_rng(1)
    w_OI = draw.uniform(-1, 1, (16, 128)).astype(np.float32)
    x_BI = draw.uniform(-1, 1, (20, 128)).astype(np.float32)
    integers = np.rint(x_BI.astype(float) * 32767) @ np.rint(w_OI.astype(float) * 32767).T
    y_BO, _ = read(converted_by(chip, QUIET), w_OI, x_BI)
    np.testing.assert_array_equal(y_BO, (integers * (1 / (32767 * 32767))).astype(np.float32))


def with_adc_bits(name: str, bits: int) -> Chip:
    chip = load_chip(name)
    assert chip.adc is not None
    return dataclasses.replace(chip, adc=dataclasses.replace(chip.adc, bits=bits))


@pytest.mark.parametrize("name", ["demo-128", "hermes-64", "isaac", "neurosim-128", "speech-34", "ideal"])
def test_no_preset_that_one_emulates_on_falls_short(name: str) -> None:
    assert shortfall(load_chip(name)) == ""


@pytest.mark.parametrize(
    ("chip", "words"),
    [
        # 128 rows of 8-bit cells: sums of 0 to 128 * 255 = 32,640
        (load_chip("neurosim-one-cell"), "adc.bits = 5: sums of 128 rows need 15 bits"),
        (with_adc_bits("neurosim-128", 4), "adc.bits = 4: sums of 32 rows need 5 bits"),
        (with_adc_bits("isaac", 7), "adc.bits = 7: sums of 128 rows need 8 bits"),
        (
            with_adc_bits("demo-128", 4),
            "adc.bits = 4: codes are 1.71 apart, a typical sum of 128 rows is",
        ),
    ],
    ids=["one-cell", "neurosim", "isaac", "demo"],
)
def test_converters_that_lose_their_sums_are_warned_of(chip: Chip, words: str) -> None:
    """One bit fewer than the sums need, or steps wider than a sum: what a chip computes then is noise."""
    assert shortfall(chip).startswith(words)
    assert chip_dict(chip)["warnings"] == [shortfall(chip)]


def test_one_conversion_is_not_many() -> None:
    """5 bits a conversion on neurosim-one-cell: the error is that of eight roundings, shifted and added.

    Steps of d digits err with variance d^2 / 12, weighted by 4^pass; 25,600 outputs: the sample's relative
    error is 0.5 %, and a step is not small against the spread of the sums, so roughly: 15 %.
    """
    chip = load_chip("neurosim-one-cell")
    assert chip.adc is not None
    finer = dataclasses.replace(chip, adc=dataclasses.replace(chip.adc, bits=40))
    draw = np.random.default_rng(1)
    w_OI, x_BI = draw.uniform(-1, 1, (128, 128)), draw.uniform(-1, 1, (200, 128))
    error = read(converted_by(chip, QUIET), w_OI, x_BI)[0] - read(converted_by(finer, QUIET), w_OI, x_BI)[0]
    weighted = step(chip) * np.sqrt(sum(4.0**p for p in range(8)) / 12) / (127 * 127)
    assert error.std() == pytest.approx(weighted, rel=0.15)


@pytest.mark.parametrize("name", ["demo-128", "hermes-64", "speech-34"])
def test_cells_of_whole_weights_and_one_pass_are_one_conversion(name: str) -> None:
    chip = load_chip(name)
    io = converted_by(chip, IOParameters())
    assert type(io) is IOParameters
    assert chip.adc is not None
    assert chip.dac is not None
    bits = chip.dac.bits, chip.adc.bits
    assert (io.inp_res, io.out_res) == tuple(pytest.approx(1 / (2**b - 2)) for b in bits)
    assert type(periphery(io, tile_key(1, 0)[None], 2, 2)) is Periphery
    assert conversions(chip, 7) == 7


def test_an_ideal_chip_leaves_the_configuration_s_own() -> None:
    io = IOParameters(out_bound=3.0, inp_res=0.1)
    assert converted_by(load_chip("ideal"), io) == io


def test_four_phases_read_signs_apart() -> None:
    """HERMES's precise mode: four conversions an output, each of one sign of inputs and of weights."""
    chip = load_chip("hermes-64")
    chip = dataclasses.replace(chip, crossbar=dataclasses.replace(chip.crossbar, phases=4))
    io = converted_by(chip, QUIET)
    assert isinstance(io, SlicedIOParameters)
    draw = np.random.default_rng(1)
    w_OI = draw.uniform(-1, 1, (4, 50)).astype(np.float32)
    x_BI = draw.uniform(-1, 1, (6, 50)).astype(np.float32)
    y_BO, counts = read(io, w_OI, x_BI)
    assert counts.conversions.tolist() == [6 * 4 * 4]
    u_BI, delta = np.rint(x_BI * 127) / 127, 12 / 255  # each read has one sign: 256 codes of 0 to 12

    def part(u: np.ndarray, w: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(u @ w.T / delta) * delta, -12, 12)

    up, down = np.maximum(u_BI, 0), np.maximum(-u_BI, 0)
    plus, minus = np.maximum(w_OI, 0), np.maximum(-w_OI, 0)
    expected = part(up, plus) - part(up, minus) - part(down, plus) + part(down, minus)
    # a sum close to a threshold may round to the neighbouring code in float32
    assert np.mean(np.abs(y_BO - expected) > 1e-4) < 0.05
    assert np.abs(y_BO - expected).max() < delta + 1e-4


@pytest.mark.parametrize("name", ["demo-128", "isaac"])
def test_lines_that_share_a_converter_share_its_imperfection(name: str) -> None:
    """demo-128: 8 lines a converter; isaac: one for all 128 columns. Spread of noise of 30 %."""
    chip = load_chip(name)
    io = converted_by(chip, IOParameters(out_noise_std=0.3))
    reader = periphery(io, tile_key(1, 0)[None], 16, 8)
    spread = reader._columns.spread if hasattr(reader, "_columns") else reader.spread
    assert chip.adc is not None
    expected = -(-16 * chip.slices // chip.adc.columns)
    assert len(np.unique(spread.out_noise_TL)) == expected


@settings(max_examples=30, deadline=None)
@given(CHIPS)
def test_counts_are_those_that_are_paid(chip: Chip) -> None:
    events = mvm_events(chip, chip.tile_out, chip.tile_in)
    assert events.adc_conversion == conversions(chip, chip.tile_out)
    assert events.dac_conversion == lines_driven(chip, chip.tile_in)
