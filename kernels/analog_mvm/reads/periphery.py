"""The periphery of a bank of tiles in one direction: converters, their noise and its management."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...backends import CPU, Backend, Cuda
from ...errors import InputError, unknown
from ...machine.ready import INT64, ready
from ...rng import Stream
from ..parameters import IOParameters, NoiseManagementType
from ..rows import NO_BLOCK, NOT_SCALED, Rows, all_rows, some_rows
from ..settings import (
    AVERAGE_DECAY,
    DIGITAL_SUM,
    SCALE_AVERAGE,
    SCALE_NP_SUM,
    attempt_factors,
    settings_of,
    uses_np_sum,
)
from ..spread import draw_spread

Array = NDArray[np.float32]
Count = NDArray[np.int64]

DIRECTIONS = ("forward", "backward")
ROUNDING = np.float32(1 - 2**-20)  # of a bound that a result is compared with: executors round its factors


class ReadCounts(NamedTuple):
    """What a read took, for each tile."""

    adc_clips: Count  # results that stand at the ADC's bound
    retries: Count  # attempts of bound management beyond the first, summed over vectors
    vectors: Count
    conversions: Count
    at_bound_QBL: NDArray[np.uint8] | None = None  # results at the bound, if asked; None: no
    alike: bool = False  # every tile read every vector once, and nothing reached a bound


class Periphery:
    """Reads tiles: y = W x forward, z = W^T d backward, with everything between digital and digital."""

    def __init__(
        self,
        io: IOParameters,
        keys_T2: NDArray[np.uint32],
        out_size: int,
        in_size: int,
        direction: Literal["forward", "backward"] = "forward",
        backend: Backend = CPU,
    ) -> None:
        if direction not in DIRECTIONS:
            raise unknown("direction of a read", direction, DIRECTIONS)
        backward = direction == "backward"
        self.io = io
        self.keys_T2 = np.ascontiguousarray(keys_T2, np.uint32)
        self.shape = (len(self.keys_T2), out_size, in_size)
        self.length, self.lines = (out_size, in_size) if backward else (in_size, out_size)
        stream = Stream.BACKWARD if backward else Stream.FORWARD
        population = Stream.BACKWARD_POPULATION if backward else Stream.FORWARD_POPULATION
        self.settings = settings_of(io, backward, stream, self.length)
        self.spread = draw_spread(io, self.keys_T2, population, self.lines, out_size, in_size)
        self.factors = attempt_factors(io, backward)
        self.average_T = np.full(len(self.keys_T2), -1.0, np.float32)  # of max|x|; below 0 before the first
        self._kernels = backend.analog_mvm
        prepared = self._kernels.prepare(self.settings)
        # bound here so that a read enters its kernels at once
        self._scales = functools.partial(self._kernels.scales, prepared)
        self._attempt: Callable[..., Any] = functools.partial(
            self._kernels.attempt, prepared, self._kernels.passed(self.spread), self.keys_T2
        )
        self._passed: Callable[[Rows], Any] = self._kernels.passed
        # whether attempts work out their inputs' scales
        self._own_scales = not backend.on_card and self.settings.scaling != SCALE_AVERAGE
        self._all_rows: tuple[Any, Rows, Count, Any] | None = None
        self._whole: Any = None  # a read that is one launch on a card
        if isinstance(backend, Cuda):
            self._whole = backend.whole_reads.WholeRead(
                io, self.settings, self.spread, self.keys_T2, float(self._limit), backend.findings,
                backend.place,
            )  # fmt: skip
            self._asked_at_once = backend.findings is None

    def read(
        self,
        w_TOI: Array,
        x_XBI: Array,
        x_of_tile: NDArray[np.integer],
        tick: int,
        bounded: bool = False,
        none_TBI: Any = None,
    ) -> tuple[Array, ReadCounts]:
        """Tile t reads the vectors x_XBI[x_of_tile[t]], the first of them at time ``tick``.

        A tile of block NO_BLOCK is not read: results are those of the others, in order, its counts zero.
        On a card it takes arrays and tensors, and answers with a tensor there. With ``bounded`` it tells
        which results stand at the ADC's bound, and so for any larger signal. See ``has_bound``.
        ``none_TBI`` (on a card alone): uint8, 1 where an input of a tile is none.
        """
        w_TOI, x_XBI, x_of_tile = self._checked(w_TOI, x_XBI, x_of_tile)
        blocks, batch = x_XBI.shape[:2]
        x_RI = x_XBI.reshape(blocks * batch, self.length)
        rows, tile_Q, passed = self._rows_of_all(batch, x_of_tile, blocks)
        if self._whole is not None:
            bounded = bounded and self.has_bound
            return self._read_whole(w_TOI, x_RI, rows, tile_Q, tick, batch, bounded, none_TBI)
        scale_M = NOT_SCALED if self._own_scales else self._scaled(x_RI, rows, tile_Q, batch)
        size = len(tile_Q) * batch, self.lines, self.length
        if threads := self._kernels.threads(*size):
            found = self._attempt(w_TOI, x_RI, scale_M, passed, 1.0, tick, 0, threads)
        else:
            with self._kernels.watched(*size) as threads:
                found = self._attempt(w_TOI, x_RI, scale_M, passed, 1.0, tick, 0, threads)
        y_NL, hits_N, clips_N, clips, near, scale_M, finite = found
        if not finite:
            raise _not_finite(x_RI)
        y_QBL = y_NL.reshape(len(tile_Q), batch, self.lines)
        bounded, last_N = bounded and near != 0 and self.has_bound, None
        counts = _undisturbed(len(w_TOI), batch, self.conversions_a_vector)
        if clips or len(tile_Q) < len(w_TOI):
            retries_Q = np.zeros(len(tile_Q), np.int64)
            if len(self.factors) > 1 and hits_N.any():
                scale_N = scale_M[rows.input_first_T[tile_Q][:, None] + np.arange(batch)].reshape(-1)
                last_N = np.array(on_host(scale_N)) if bounded else None
                retries_Q = self._manage_bounds(
                    w_TOI, x_RI, x_of_tile, scale_N, tick, y_NL, hits_N, clips_N, last_N
                )
            clips_Q = clips_N.reshape(len(tile_Q), batch).sum(axis=1)
            counts = self._counts(tile_Q, clips_Q, retries_Q, batch)
        if bounded:
            if last_N is None:
                last_M, first_Q = scale_M, rows.input_first_T[tile_Q]
            else:
                last_M, first_Q = last_N, np.arange(len(tile_Q)) * batch
            found, at_bound_QBL = self._kernels.at_bound(y_QBL, last_M * self._limit, first_Q)
            if found:
                counts = counts._replace(at_bound_QBL=at_bound_QBL)
        return y_QBL, counts

    def _read_whole(
        self, w_TOI: Any, x_RI: Any, rows: Rows, tile_Q: Count, tick: int, batch: int, bounded: bool,
        none_TBI: Any,
    ) -> tuple[Any, ReadCounts]:  # fmt: skip
        """As ``read``, on a card: what is counted and found there is asked for later, see ``counted``."""
        before = self._whole.counts() if self._asked_at_once else None
        y_NL, mask_NL = self._whole.read(w_TOI, x_RI, rows, tick, batch, bounded, none_TBI)
        shape = len(tile_Q), batch, self.lines
        counts = _undisturbed(len(w_TOI), batch, self.conversions_a_vector)
        clips_T, retries_T = np.zeros((2, len(w_TOI)), np.int64)
        if before is not None:
            if self._whole.found():
                raise _not_finite(x_RI)
            clips_T, retries_T = self._whole.counts() - before
            mask_NL = mask_NL if mask_NL is not None and mask_NL.any() else None
        if len(tile_Q) < len(w_TOI) or clips_T.any() or retries_T.any():
            counts = self._counts(tile_Q, clips_T[tile_Q], retries_T[tile_Q], batch)
        if mask_NL is not None:
            counts = counts._replace(at_bound_QBL=mask_NL.reshape(shape))
        return y_NL.reshape(shape), counts

    @property
    def whole_read(self) -> Any:
        """The read that is one launch on a card, for which nobody waits; None: it is another kind of read."""
        late = type(self) is Periphery and self._whole is not None and not self._asked_at_once
        return self._whole if late else None

    def counted(self) -> tuple[Count, Count]:
        """Results beyond the ADC's range and retries that no ``ReadCounts`` told of, of each tile."""
        if self._whole is None or self._asked_at_once:
            clips_T, retries_T = np.zeros((2, self.shape[0]), np.int64)
        else:
            clips_T, retries_T = self._whole.counts()
        return clips_T, retries_T

    def _counts(self, tile_Q: Count, clips_Q: Count, retries_Q: Count, batch: int) -> ReadCounts:
        """What a read by the tiles ``tile_Q`` took, for each tile."""
        clips_T, retries_T, vectors_T = np.zeros((3, self.shape[0]), np.int64)
        clips_T[tile_Q], retries_T[tile_Q], vectors_T[tile_Q] = clips_Q, retries_Q, batch
        return ReadCounts(clips_T, retries_T, vectors_T, (vectors_T + retries_T) * self.conversions_a_vector)

    @functools.cached_property
    def _limit(self) -> np.float32:
        """The magnitude from which on a result of scale 1 stands at the ADC's bound."""
        return np.float32(self.settings.out_scale * self.settings.out_bound) * ROUNDING

    @functools.cached_property
    def has_bound(self) -> bool:
        """Whether a result has one bound that it can stand at."""
        return bool(np.isfinite(self.settings.out_bound))

    @functools.cached_property
    def conversions_a_vector(self) -> int:
        """Conversions by the ADC for one vector and tile."""
        return self.lines * (2 if self.settings.passes == DIGITAL_SUM else 1)

    def state(self) -> dict[str, Array]:
        """What changes from read to read."""
        return {"average_T": self.averages()}

    def load_state(self, state: dict[str, Array]) -> None:
        self.set_averages(state["average_T"])

    def averages(self) -> Array:
        """The running averages that inputs are scaled by, [tiles]: a copy."""
        return self.average_T.copy() if self._whole is None else on_host(self._whole.average_T).copy()

    def set_averages(self, average_T: Array) -> None:
        """Take over what ``averages`` gave."""
        if self._whole is None:
            self.average_T[:] = average_T
        else:
            self._whole.average_T.copy_(self._kernels.ready(average_T, np.float32))

    def _manage_bounds(
        self,
        w_TOI: Array,
        x_RI: Array,
        x_of_tile: Count,
        scale_N: Array,
        tick: int,
        y_NL: Array,
        hits_N: NDArray[np.bool_],
        clips_N: Count,
        last_N: Array | None,
    ) -> Count:
        """Read the vectors that hit the ADC's bound again; how many further attempts each read tile made.

        ``last_N`` takes the scales of the last attempts.
        """
        tile_Q = np.flatnonzero(x_of_tile != NO_BLOCK)
        tiles, batch = len(w_TOI), len(y_NL) // len(tile_Q)
        retries_Q = np.zeros(len(tile_Q), np.int64)
        pending = np.flatnonzero(hits_N)
        for number in range(1, len(self.factors)):
            place_P, vector_P = pending // batch, pending % batch
            rows = some_rows(tile_Q[place_P], vector_P, tiles, batch, x_of_tile)
            scale_P = scale_N[pending]
            if uses_np_sum(self.io, number):
                scale_P, _ = self._scales(SCALE_NP_SUM, x_RI[rows.source_M])
            factor = self.factors[number]
            with self._kernels.watched(len(pending), self.lines, self.length) as threads:
                y_PL, hits_P, clips_P, *_ = self._attempt(
                    w_TOI, x_RI, scale_P, self._passed(rows), factor, tick, number, threads
                )
            y_NL[pending], clips_N[pending] = y_PL, clips_P
            if last_N is not None:
                last_N[pending] = on_host(scale_P) * np.float32(factor)
            retries_Q += np.bincount(place_P, minlength=len(tile_Q))
            pending = pending[hits_P]
            if len(pending) == 0:
                break
        return retries_Q

    def _scaled(self, x_RI: Array, rows: Rows, tile_Q: Count, batch: int) -> Array:
        """The scales of all input rows, where attempts do not work them out themselves."""
        scale_R, finite = self._scales(self.settings.scaling, x_RI)
        if not finite:
            raise _not_finite(x_RI)
        return scale_R if rows.shared else self._scales_by_tile(scale_R[rows.source_M], tile_Q, batch)

    def _scales_by_tile(self, scale_N: Array, tile_Q: Count, batch: int) -> Array:
        """Scales of rows that tiles do not share; a running average advances from vector to vector."""
        if self.settings.scaling != SCALE_AVERAGE:
            return scale_N
        scale_QB = on_host(scale_N).reshape(-1, batch).copy()
        average_Q, decay = self.average_T[tile_Q], np.float32(AVERAGE_DECAY)
        for b in range(batch):
            moved_Q = average_Q + decay * (scale_QB[:, b] - average_Q)
            average_Q = np.where(average_Q < 0, scale_QB[:, b], moved_Q)
            scale_QB[:, b] = average_Q
        self.average_T[tile_Q] = average_Q
        scale_by_tile: Array = self._kernels.ready(scale_QB.reshape(-1), np.float32)
        return scale_by_tile

    def _rows_of_all(self, batch: int, x_of_tile: Count, blocks: int) -> tuple[Rows, Count, Any]:
        """The rows of all vectors, which tiles read, and the rows as attempts take them."""
        key = (batch, blocks, x_of_tile.tobytes())
        if self._all_rows is None or self._all_rows[0] != key:
            if len(x_of_tile) != self.shape[0] or not all(
                NO_BLOCK <= block < blocks for block in x_of_tile.tolist()
            ):
                raise InputError(
                    f"x_of_tile = {x_of_tile.tolist()} must give each of {self.shape[0]} tiles one of "
                    f"{blocks} input blocks"
                )
            rows = all_rows(batch, x_of_tile, blocks, not self.settings.per_tile_inputs)
            self._all_rows = key, rows, np.flatnonzero(x_of_tile != NO_BLOCK), self._passed(rows)
        return self._all_rows[1:]

    def _checked(
        self, w_TOI: Array, x_XBI: Array, x_of_tile: NDArray[np.integer]
    ) -> tuple[Array, Array, Count]:
        """The arrays as the kernels need them: float32, C-contiguous and writable, of matching shapes."""
        w_TOI, x_XBI = self._kernels.ready(w_TOI), self._kernels.ready(x_XBI)
        block_of_tile: Count = ready(x_of_tile, INT64)
        if w_TOI.shape != self.shape:
            raise InputError(f"weights have shape {tuple(w_TOI.shape)}; these tiles hold {self.shape}")
        if x_XBI.ndim != 3 or x_XBI.shape[2] != self.length:
            raise InputError(
                f"input has shape {tuple(x_XBI.shape)}; these tiles read [blocks, batch, {self.length}]: "
                f"its last dimension must be {self.length}"
            )
        return w_TOI, x_XBI, block_of_tile


def _not_finite(x_RI: Any) -> InputError:
    """The error for inputs among which some are not finite."""
    x_RI = on_host(x_RI)
    row, line = np.argwhere(~np.isfinite(x_RI))[0]
    return InputError(
        f"input {line} of vector {row} is {x_RI[row, line]}; a tile reads finite numbers only: "
        "look for a diverging loss or a division by zero before this layer"
    )


@functools.lru_cache(maxsize=1024)  # of the batches of a large network's layers
def _undisturbed(tiles: int, batch: int, conversions: int) -> ReadCounts:
    """The counts of a read in which nothing reached the ADC's bound, not to be written to."""
    none_T, vectors_T = np.zeros(tiles, np.int64), np.full(tiles, batch, np.int64)
    counts = ReadCounts(none_T, none_T, vectors_T, vectors_T * conversions, alike=True)
    for values in counts[:4]:
        values.flags.writeable = False
    return counts


def on_host(values: Any) -> NDArray[Any]:
    """An array, or a tensor's copy in one."""
    host: NDArray[Any] = values if isinstance(values, np.ndarray) else values.cpu().numpy()
    return host


def warm() -> None:
    """Compile every CPU kernel, or load it from the disk: before many processes do so at once."""
    keys = np.zeros((1, 2), np.uint32)
    w, x = np.zeros((1, 1, 1), np.float32), np.zeros((1, 1, 1), np.float32)
    io = IOParameters(noise_management=NoiseManagementType.NONE)
    Periphery(io, keys, 1, 1).read(w, x, np.zeros(1, np.int64), 0)
