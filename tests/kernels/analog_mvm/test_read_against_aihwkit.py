"""Outputs of a tile's read, forward and backward, against aihwkit's, stored in tests/golden."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from comparison import critical, distance
from periphery_cases import (
    DIRECTIONS,
    EXACT,
    EXACT_VECTORS,
    LEVELS,
    LINES,
    NOISY,
    Case,
    built,
)

from crossgrid.kernels.analog_mvm import IOParameters, Periphery, parameters
from crossgrid.kernels.rng import tile_key

GOLDEN = Path(__file__).parents[2] / "golden"
STORED = json.loads((GOLDEN / "periphery.json").read_text())
NAMES = SimpleNamespace(**vars(parameters))
ROUNDING = 2e-5  # of stored values, and of sums in float32


# aihwkit's backward read of a vector of zeros has no input noise, its forward read has: here both have.
DIFFERENT = [("input_noise_of_zeros", "backward")]


def periphery(io: IOParameters, w_OI: np.ndarray, direction: str, tiles: int) -> Periphery:
    keys = np.stack([tile_key(11, block) for block in range(tiles)])
    return Periphery(io, keys, *w_OI.shape, direction)


def read(reader: Periphery, w_OI: np.ndarray, x_BI: np.ndarray) -> np.ndarray:
    """y[tiles, batch, lines] of tiles with the same weights."""
    tiles = reader.shape[0]
    w_TOI = np.repeat(w_OI[None], tiles, axis=0)
    return reader.read(w_TOI, x_BI[None], np.zeros(tiles, np.int64), 0)[0]


def groups_of(case: Case, direction: str) -> list[np.ndarray]:
    w_OI = case.sampling.weights(direction)
    reader = periphery(case.io(NAMES), w_OI, direction, case.sampling.tiles)
    return case.sampling.groups(read(reader, w_OI, case.inputs()), reader.spread.offset_TL)


@pytest.mark.parametrize(
    ("name", "direction"), [c for c in itertools.product(NOISY, DIRECTIONS) if c not in DIFFERENT]
)
def test_outputs_are_distributed_as_aihwkits(name: str, direction: str) -> None:
    groups, stored = groups_of(NOISY[name], direction), STORED["noisy"][name][direction]
    for sample, golden in zip(groups, stored, strict=True):
        limit = critical(len(sample), golden["samples"], len(groups))
        assert distance(sample, np.array(golden["quantiles"]), LEVELS, ROUNDING) < limit


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_half_of_the_lines_have_no_offset(direction: str) -> None:
    """The offset is the positive part of a normal number.

    aihwkit draws it twice, once to see that it is positive and once for its value: half of its offsets that
    are not zero are negative. Only its positive ones have the distribution that is meant, so only they and
    their outputs are compared above.
    """
    case = NOISY["offset"]
    reader = periphery(case.io(NAMES), case.sampling.weights(direction), direction, case.sampling.tiles)
    offset_TL = reader.spread.offset_TL
    assert abs(np.mean(offset_TL > 0) - 0.5) < 3.3 * 0.5 / np.sqrt(offset_TL.size)
    assert offset_TL.min() == 0


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", EXACT)
def test_a_quiet_read_is_aihwkits(name: str, direction: str) -> None:
    w_OI = LINES if direction == "forward" else np.ascontiguousarray(LINES.T)
    y_BL = read(periphery(built(EXACT[name], NAMES), w_OI, direction, 1), w_OI, EXACT_VECTORS)[0]
    np.testing.assert_allclose(y_BL, np.array(STORED["exact"][name][direction]), rtol=0.0, atol=ROUNDING)
