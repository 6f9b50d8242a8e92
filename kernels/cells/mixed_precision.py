"""Gradients summed up digitally and written into analog devices in steps they can take.

Nandakumar et al., "Mixed-precision deep learning based on computational memory", Frontiers in
Neuroscience 14 (2020).
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays.array import DeviceArray
from ..arrays.build import build_cell, cell_of
from ..arrays.cell import (
    Array,
    Keys,
    Population,
    UpdateCounts,
    check_finite,
    checked_vectors,
    fetched,
    member_keys,
    names_in,
    write,
)
from ..backends import Backend, Cuda
from ..config import Config, config, field
from ..devices import ConstantStepDevice, PulsedDevice
from ..errors import ConfigError
from ..pulsed_update.arguments import Vectors
from ..pulsed_update.parameters import UpdateParameters
from ..rng import Stream, new_key
from .one_sided import OneSidedUnitCell
from .unit_cell import check_rate, counter, load_counter, numbers_of, part, placed
from .vector_cell import VectorUnitCell


@config
class MixedPrecisionCompound(Config):
    """A digital matrix chi collects the outer products; whole steps of it are pulsed into the device."""

    device: Config = field(factory=ConstantStepDevice)
    """What chi is written into: a pulsed device, a vector or reference cell, or a one-sided pair."""
    construction_seed: int = field(0, at_least=0)
    """Seed of the device's population: above 0 the same devices wherever the cell is used; 0: each tile draws
    its own."""
    transfer_every: int = field(1, at_least=0)
    """Number of mini-batches between two writes; 0: never."""
    n_rows_per_transfer: int = field(-1, at_least=-1)
    """Number of rows (outputs) that a write reaches; -1: all."""
    random_row: bool = field(False)
    """Whether a write that does not reach all rows starts at a random one, or else after the last one."""
    granularity: float = field(0.0, at_least=0.0)
    """Size of a step of chi that is written as pulses, in units of weight; 0: the device's own mean step."""
    transfer_lr: float = field(1.0, at_least=0.0)
    """Factor of the learning rate of a write: pulses for each step of chi."""
    n_x_bins: int = field(0, at_least=0)
    """Number of steps that the range of x is divided into before x enters chi; 0: x is not rounded."""
    n_d_bins: int = field(0, at_least=0)
    """Number of steps that the range of d is divided into before d enters chi; 0: d is not rounded."""
    stoc_round_x: bool = field(True)
    """Whether x is rounded stochastically."""
    stoc_round_d: bool = field(True)
    """Whether d is rounded stochastically."""

    def validate(self) -> None:
        name = type(self).__name__
        if not isinstance(self.device, (PulsedDevice, VectorUnitCell, OneSidedUnitCell)):
            raise ConfigError(
                f"{name}.device is a {type(self.device).__name__}; it must be a pulsed device, a "
                "VectorUnitCell, a ReferenceUnitCell or a OneSidedUnitCell"
            )
        if self.n_rows_per_transfer == 0:
            raise ConfigError(f"{name}.n_rows_per_transfer = 0 must be -1 (all rows) or at least 1")
        for field_name in ("n_x_bins", "n_d_bins"):
            if getattr(self, field_name) == 1:
                raise ConfigError(f"{name}.{field_name} = 1 must be 0 (no quantisation) or at least 2")


class MixedPrecisionCell:
    """chi [tiles, out, in] in front of an analog array."""

    def __init__(
        self, cell: MixedPrecisionCompound, parameters: UpdateParameters, keys_T2: Keys, out_size: int,
        in_size: int, backend: Backend,
    ) -> None:  # fmt: skip
        self.cell, self.keys_T2, self.backend = cell, keys_T2, backend
        self.parameters = copy.copy(parameters)  # managed trains make one pulse of every whole step
        self.parameters.update_management = self.parameters.update_bl_management = True
        device: Any = cell.device
        if cell.construction_seed > 0:
            device = copy.copy(device)
            device.construction_seed = new_key("member", cell.construction_seed, 0) >> 1
        keys = member_keys(keys_T2, 0)
        if isinstance(device, PulsedDevice):
            self.target: Any = DeviceArray(device, keys, out_size, in_size, backend)
        else:
            self.target = build_cell(device, self.parameters, keys, out_size, in_size, backend)
        self.granularity = cell.granularity or self.target.granularity
        self._numbers = numbers = numbers_of(backend)
        self._tiles_T = np.arange(len(keys_T2))
        self.chi_TOI: Any = numbers.zeros((len(keys_T2), out_size, in_size))
        self._updates = 0  # vectors so far
        self._rows_written = 0
        self._next_row_T: Any = numbers.zeros((len(keys_T2),), np.int64)
        self._rows = out_size if cell.n_rows_per_transfer < 0 else min(cell.n_rows_per_transfer, out_size)
        self._choices = None
        if cell.random_row and self._rows < out_size:
            self._choices = numbers.Choices(keys_T2, Stream.UNIT_CELL, out_size, self._rows, at_random=True)
        self._draws_x, self._draws_d = (
            numbers.LineDraws(keys_T2, stream) for stream in (Stream.ROUND_X, Stream.ROUND_D)
        )

    @property
    def weights(self) -> Any:
        """W_TOI float32, what the analog product sees; a tensor where the backend is on a card."""
        return self.target.weights

    def update(
        self, x_XBI: Any, x_of_T: Any, d_DBO: Any, d_of_T: Any, learning_rate: float, tick: int
    ) -> UpdateCounts:
        """Add the outer products to chi, write what is due, then diffusion and decay."""
        vectors = checked_vectors(x_XBI, x_of_T, d_DBO, d_of_T, tuple(self.chi_TOI.shape))
        vectors = placed(vectors, self._numbers)
        check_rate(learning_rate)
        if isinstance(self.backend, Cuda) and self.backend.late:
            self._numbers.check(vectors.x_XBI, vectors.d_DBO, self.backend.place)
        else:
            check_finite(*vectors.on_host())
        pulses_T = np.zeros(len(self.chi_TOI), np.int64)
        period = self.cell.transfer_every * vectors.batch
        start = 0
        while start < vectors.batch and learning_rate > 0.0:
            left = period - self._updates % period if period > 0 else vectors.batch
            stop = min(start + left, vectors.batch)
            self._collect(part(vectors, start, stop), learning_rate, tick + start)
            self._updates += stop - start
            if period > 0 and self._updates % period == 0:
                pulses_T += self._transfer()
            start = stop
        self.target.end_of_batch(tick + max(vectors.batch - 1, 0))
        return UpdateCounts(pulses_T)

    def _collect(self, vectors: Vectors, learning_rate: float, tick: int) -> None:
        """chi <- chi + rate d x for every vector."""
        own = self.cell
        x_XBI, x_of_T, d_DBO, d_of_T = vectors.x_XBI, vectors.x_of_T, vectors.d_DBO, vectors.d_of_T
        if own.n_x_bins > 0:
            x_TBI, draws = self._numbers.of_tiles(x_XBI, x_of_T), self._draws_x
            x_XBI = self._quantised(x_TBI, own.n_x_bins, draws if own.stoc_round_x else None, tick)
            x_of_T = self._tiles_T
        if own.n_d_bins > 0:
            d_TBO, draws = self._numbers.of_tiles(d_DBO, d_of_T), self._draws_d
            d_DBO = self._quantised(d_TBO, own.n_d_bins, draws if own.stoc_round_d else None, tick)
            d_of_T = self._tiles_T
        collect = self.backend.pulsed_update.update_exactly
        if self._numbers.on_card:
            collect = self._numbers.update_exactly
        collect(self.chi_TOI, None, x_XBI, x_of_T, d_DBO, d_of_T, np.float32(-learning_rate))

    def _quantised(self, values_TBL: Any, bins: int, draws: Any, tick: int) -> Any:
        """Values rounded to steps of max|value| / floor(bins / 2) of their vector, at random with draws."""
        _, batch, lines = values_TBL.shape
        uniform = None if draws is None else draws.uniforms(tick, batch, lines=lines)
        uniform_TBL = None if uniform is None else uniform.reshape(values_TBL.shape)
        return self._numbers.quantised(values_TBL, np.float32(bins // 2), uniform_TBL)

    def _transfer(self) -> NDArray[np.int64]:
        """Write the whole steps of the rows whose turn it is; chi keeps the rest."""
        _, size, _ = self.chi_TOI.shape
        rows, step = self._rows, np.float32(self.granularity)
        if self._choices is not None:
            row_TR = self._choices.take(self._rows_written, 1)
        else:
            row_TR = self._numbers.rows(self._next_row_T, rows, size)
        steps_TRI = self._numbers.take_steps(self.chi_TOI, row_TR, step)
        self._next_row_T = (row_TR[:, 0] + rows) % size
        one_hot_TRO = self._numbers.one_hot(row_TR, size)
        vectors = Vectors(steps_TRI, self._tiles_T, one_hot_TRO, self._tiles_T)
        rate = float(step) * self.cell.transfer_lr
        pulses_T = self.target.pulse(vectors, self.parameters, rate, self._rows_written)
        self._rows_written += rows
        return pulses_T

    def set_weights(self, w_TOI: Array) -> None:
        """Write weights; what chi had collected for the old ones is dropped."""
        self.target.set_weights(np.asarray(w_TOI, np.float32))
        self.chi_TOI[...] = 0.0

    def saturated(self) -> NDArray[np.int64]:
        """Devices at a bound, of each tile."""
        return self.target.saturated()

    def state(self) -> dict[str, Any]:
        """Everything that changes."""
        tiles = len(self.chi_TOI)
        return {
            **{f"device_{name}": values for name, values in self.target.state().items()},
            "chi": fetched(self.chi_TOI), "updates": counter(tiles, self._updates),
            "next_row": fetched(self._next_row_T), "rows_written": counter(tiles, self._rows_written),
        }  # fmt: skip

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` gave."""
        names = names_in(state, self.target, "device_{}".format)
        self.target.load_state({name: state[f"device_{name}"] for name in names})
        write(self.chi_TOI, state["chi"])
        self._updates = load_counter("updates", state["updates"])
        self._rows_written = load_counter("rows_written", state["rows_written"])
        write(self._next_row_T, state["next_row"])

    def populations(self) -> dict[str, Population]:
        """Those of what is written to, by the name that a given one has in the state."""
        return {f"device_{name}": each for name, each in self.target.populations().items()}

    def hidden_parameters(self) -> dict[str, Array]:
        """The drawn population and chi."""
        return {**self.target.hidden_parameters(), "hidden_weights_chi": fetched(self.chi_TOI)}

    def collected(self) -> dict[str, Any]:
        """What is no device's, in place."""
        return {**self.target.collected(), "hidden_weights_chi": self.chi_TOI}

    def reset(self, tick: int, columns: slice = slice(None), probability: float = 1.0) -> None:
        """Reset devices of ``columns``, each with ``probability``."""
        self.target.reset(tick, columns, probability)

    def drift(self, delta_t: float, tick: int) -> None:
        """Let ``delta_t`` pass."""
        self.target.drift(delta_t, tick)


@cell_of.register(MixedPrecisionCompound)
def _(
    cell: MixedPrecisionCompound,
    parameters: UpdateParameters,
    keys_T2: Keys,
    out_size: int,
    in_size: int,
    backend: Backend,
) -> MixedPrecisionCell:
    cell.validate()
    return MixedPrecisionCell(cell, parameters, keys_T2, out_size, in_size, backend)
