"""What differs from line to line of a tile's periphery: drawn once, a pure function of the tile's key."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..rng import Stream, counter_high
from ..rng.formulas import normal_pair, unit_interval
from ..rng.naive import philox4x32
from .parameters import AnalogMVType, IOParameters
from .settings import is_nonlinear

# counter column of a draw; extra 1 for the crosspoints
_OUT_NOISE, _CURVATURE, _OFFSET = range(3)


class Spread(NamedTuple):
    """Arrays [tiles, lines]; empty where the configuration has no such spread."""

    out_noise_TL: NDArray[np.float32]
    curvature_TL: NDArray[np.float32]
    slope_T: NDArray[np.float32]  # calibration of the non-linearity's slope
    offset_TL: NDArray[np.float32]
    read_factor_TOI: NDArray[np.float32]  # of a weight at negative inputs


def draw_spread(
    io: IOParameters, keys_T2: NDArray[np.uint32], stream: Stream, lines: int, out_size: int, in_size: int
) -> Spread:
    """The spread of tiles whose read in this direction has ``lines`` outputs."""
    none = np.zeros((0, 0), np.float32)
    tiles = len(keys_T2)

    def normals(column: int) -> NDArray[np.float32]:
        return np.stack([line_normals(key, stream, column, lines) for key in keys_T2])

    def of_converter(normals_TL: NDArray[np.float32]) -> NDArray[np.float32]:
        """Lines that share an ADC share what was drawn for the first of them."""
        return normals_TL[:, np.arange(lines) // io.lines_per_adc * io.lines_per_adc]

    out_noise = curvature = offset = none
    slope = np.ones(tiles, np.float32)
    if io.out_noise > 0 and io.out_noise_std > 0:
        out_noise = np.abs(io.out_noise * (1.0 + io.out_noise_std * of_converter(normals(_OUT_NOISE))))
    if is_nonlinear(io):
        relative = 1.0 + io.out_nonlinearity_std * of_converter(normals(_CURVATURE))
        curvature = np.abs(io.out_nonlinearity / io.out_bound * relative)
        mean = curvature.mean(axis=1, dtype=np.float64)
        slope = ((1.0 + (mean + io.r_series) * io.slope_calibration * io.out_bound) ** 2).astype(np.float32)
    if io.v_offset_std > 0 or io.r_series > 0:
        offset = np.maximum(io.v_offset_std * normals(_OFFSET), 0.0)
    read_factor = np.zeros((0, 0, 0), np.float32)
    separate = io.mv_type in (AnalogMVType.POS_NEG_SEPARATE, AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM)
    if separate and io.w_read_asymmetry_dtod > 0:
        normals_TOI = np.stack([crosspoint_normals(key, stream, out_size, in_size) for key in keys_T2])
        read_factor = (1.0 + io.w_read_asymmetry_dtod * normals_TOI).astype(np.float32)
    # row after row, whatever they were computed of: kernels are compiled once more for another order
    return Spread(
        np.ascontiguousarray(out_noise, np.float32),
        np.ascontiguousarray(curvature, np.float32),
        slope,
        np.ascontiguousarray(offset, np.float32),
        read_factor,
    )


def line_normals(
    key: NDArray[np.uint32], stream: int, column: int, lines: int, tick: int = 0, extra: int = 0
) -> NDArray[np.float32]:
    """A normal for each of ``lines``: eight to a call, line // 8 in the counter."""
    return eight_normals(line_words(key, stream, column, (lines + 1) // 2, tick, extra)).reshape(-1)[:lines]


def line_words(
    key: NDArray[np.uint32], stream: int, column: int, lines: int, tick: int, extra: int
) -> NDArray[np.uint32]:
    """Words [4, ceil(lines / 4)]."""
    low, high = counter_high(stream, tick, extra)
    rows = np.arange((lines + 3) // 4, dtype=np.uint32)
    counter = np.stack([np.full_like(rows, column), rows, np.full_like(rows, low), np.full_like(rows, high)])
    return philox4x32(key, counter)


def row_words(
    keys_T2: NDArray[np.uint32], tile_M: NDArray[np.integer], at_M: NDArray[np.integer], stream: int,
    number: int, purpose: int, calls: int,
) -> NDArray[np.uint32]:  # fmt: skip
    """Words [4, M, calls] of rows, each of a tile and at a tick of its own: those of ``line_words``."""
    call_1C = np.arange(calls, dtype=np.uint32)[None, :]
    words = np.empty((4, len(at_M), calls), np.uint32)
    for t, key in enumerate(keys_T2):
        mine = np.flatnonzero(tile_M == t)
        at_M1 = at_M[mine].astype(np.uint64)[:, None]
        high = np.uint64(stream << 24 | number << 16)
        parts = np.uint32(purpose), call_1C, at_M1 & np.uint64(0xFFFFFFFF), high | at_M1 >> np.uint64(32)
        words[:, mine] = philox4x32(key, np.stack(np.broadcast_arrays(*parts)))
    return words


def row_normals(
    keys_T2: NDArray[np.uint32], tile_M: NDArray[np.integer], at_M: NDArray[np.integer], stream: int,
    number: int, purpose: int, lines: int,
) -> NDArray[np.float32]:  # fmt: skip
    """A normal for each of ``lines`` of each row [M, lines]."""
    words = row_words(keys_T2, tile_M, at_M, stream, number, purpose, (lines + 7) // 8)
    return eight_normals(words).reshape(len(at_M), -1)[:, :lines]


def row_uniforms(
    keys_T2: NDArray[np.uint32], tile_M: NDArray[np.integer], at_M: NDArray[np.integer], stream: int,
    number: int, purpose: int, lines: int,
) -> NDArray[np.float32]:  # fmt: skip
    """A uniform number for each of ``lines`` of each row [M, lines]."""
    words = row_words(keys_T2, tile_M, at_M, stream, number, purpose, (lines + 3) // 4)
    return unit_interval(words).transpose(1, 2, 0).reshape(len(at_M), -1)[:, :lines]


def derived_key(key: NDArray[np.uint32], a: int, b: int, kind: int) -> NDArray[np.uint32]:
    """A key [2] of something within a tile; ``kind`` is what is numbered so."""
    counter = np.array([a, b, kind, Stream.TILE_KEY << 24], np.uint32)
    return philox4x32(key, counter)[:2].copy()


def crosspoint_normals(
    key: NDArray[np.uint32], stream: int, out_size: int, in_size: int
) -> NDArray[np.float32]:
    """A normal for each crosspoint [out, in]: eight columns to a call."""
    low, high = counter_high(stream, 0, extra=1)
    eighth = np.arange((in_size + 7) // 8, dtype=np.uint32)[None, :]
    row = np.arange(out_size, dtype=np.uint32)[:, None]
    zero = np.zeros((out_size, eighth.shape[1]), np.uint32)
    words = philox4x32(key, np.stack([eighth + zero, row + zero, low + zero, high + zero]))
    return eight_normals(words).reshape(out_size, -1)[:, :in_size]


def eight_normals(words: NDArray[np.uint32]) -> NDArray[np.float32]:
    """The normals [..., 8] of words [4, ...]."""
    return np.stack([normal for word in words for normal in normal_pair(word)], axis=-1)
