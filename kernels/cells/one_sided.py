"""A pair of devices that only ever step up, one for positive and one for negative updates."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..analog_mvm.parameters import IOParameters
from ..arrays.build import cell_of
from ..arrays.cell import Array, Keys, UpdateCounts, checked_vectors
from ..backends import Backend
from ..config import config, field
from ..devices import PulsedDevice
from ..errors import ConfigError
from ..pulsed_update.arguments import Side, Vectors
from ..pulsed_update.parameters import UpdateParameters
from .reading import ArrayReader
from .unit_cell import (
    Members,
    UnitCell,
    build_members,
    contiguous,
    counter,
    load_counter,
    numbers_of,
    part,
    placed,
)

_REFRESH = 1  # `extra` of the draws of a refresh
_READERS = 64  # member numbers of the readers' keys start here


@config
class OneSidedUnitCell(UnitCell):
    """w = g+ - g-, both members drawn from one configuration; refreshed when both have grown."""

    refresh_every: int = field(0, at_least=0)
    """Number of mini-batches (or vectors, see ``units_in_mbatch``) between two checks for a refresh; 0:
    never."""
    units_in_mbatch: bool = field(True)
    """Whether ``refresh_every`` counts mini-batches, or else vector updates."""
    refresh_upper_thres: float = field(0.75, at_least=0.0)
    """Fraction of ``w_max`` that the larger side of a pair must exceed to be refreshed."""
    refresh_lower_thres: float = field(0.25, at_least=0.0)
    """Fraction of ``w_max`` that the smaller side must exceed as well."""
    refresh_forward: IOParameters = field(factory=IOParameters)
    """Periphery through which a refresh reads both sides."""
    refresh_update: UpdateParameters = field(factory=UpdateParameters)
    """Pulses with which a refresh writes the difference back."""
    copy_inverted: bool = field(False)
    """Whether the second side takes down steps of the first; not modelled, it must be False."""

    def validate(self) -> None:
        self.check_count(1, 2)
        name = type(self).__name__
        first, second = self.unit_cell_devices[0], self.unit_cell_devices[-1]
        if not isinstance(first, PulsedDevice):
            raise ConfigError(
                f"{name}.unit_cell_devices[0] is a {type(first).__name__}; both sides of a pair must be "
                "single pulsed devices"
            )
        if first != second or type(first) is not type(second):
            raise ConfigError(
                f"{name}.unit_cell_devices[1] differs from [0]; both sides of a pair have one configuration"
            )
        if first.write_noise > 0.0:
            raise ConfigError(
                f"{name}.unit_cell_devices[0].write_noise_std = {first.write_noise / first.dw_min:g} must be "
                "0: a one-sided pair has no write noise"
            )
        if self.copy_inverted:
            raise ConfigError(f"{name}.copy_inverted = True is not modelled; it must be False")
        if self.refresh_every > 0 and first.w_max == 0.0:
            raise ConfigError(
                f"{name}.unit_cell_devices[0].w_max = 0 must be above 0: a refresh is due at a fraction of it"
            )
        if self.refresh_every > 0 and self.refresh_update.exact:
            raise ConfigError(
                f"{name}.refresh_update.pulse_type = {self.refresh_update.pulse_type.name} has no pulses; "
                "a refresh must be written with pulses"
            )


class OneSidedCell(Members):
    """Pairs (g+, g-) at every crosspoint."""

    def __init__(
        self, cell: OneSidedUnitCell, parameters: UpdateParameters, keys_T2: Keys, out_size: int,
        in_size: int, backend: Backend,
    ) -> None:  # fmt: skip
        self.cell, self.parameters, self.keys_T2, self.backend = cell, parameters, keys_T2, backend
        devices = [cell.unit_cell_devices[0]] * 2
        self.plus, self.minus = build_members(cell, devices, parameters, keys_T2, out_size, in_size, backend)
        self.members = (self.plus, self.minus)
        self.granularity = self.plus.granularity
        self._updates = 0  # vectors so far
        self._refreshes = 0
        self._readers: list[ArrayReader] = []
        if cell.refresh_every > 0:
            self._readers = [
                ArrayReader(cell.refresh_forward, keys_T2, _READERS + k, out_size, in_size, backend)
                for k in range(2)
            ]
        self._numbers = numbers_of(backend)
        self._show_first()

    def _show(self, w_TOI: Any) -> None:
        self._numbers.subtract(self.plus.weights, self.minus.weights, w_TOI)  # there is no write noise

    def update(
        self, x_XBI: Any, x_of_T: Any, d_DBO: Any, d_of_T: Any, learning_rate: float, tick: int
    ) -> UpdateCounts:
        """Pulse the vectors in order, refresh where it is due, then diffusion and decay."""
        vectors = checked_vectors(x_XBI, x_of_T, d_DBO, d_of_T, self.shape)
        vectors = placed(vectors, self._numbers)
        pulses_T = self.pulse(vectors, self.parameters, learning_rate, tick)
        self.end_of_batch(tick + max(vectors.batch - 1, 0))
        return UpdateCounts(pulses_T)

    def pulse(
        self, vectors: Vectors, parameters: UpdateParameters, learning_rate: float, tick: int
    ) -> NDArray[np.int64]:
        """Pulse every vector: what would step the weight down steps g- up."""
        pulses_T = np.zeros(self.shape[0], np.int64)
        if learning_rate == 0.0:
            return pulses_T
        period = self.cell.refresh_every * (vectors.batch if self.cell.units_in_mbatch else 1)
        start = 0
        while start < vectors.batch:
            left = period - self._updates % period if period > 0 else vectors.batch
            stop = min(start + left, vectors.batch)
            run = part(vectors, start, stop)
            for member, side in ((self.plus, Side.UP), (self.minus, Side.DOWN_AS_UP)):
                pulses_T += member.pulse(
                    run, parameters, learning_rate, tick + start, train_keys_T2=self.keys_T2, side=side
                )
            self._updates += stop - start
            if period > 0 and self._updates % period == 0:
                pulses_T += self._refresh()
            start = stop
        self._changed()
        return pulses_T

    def _refresh(self) -> NDArray[np.int64]:
        """Read both members, reset the pairs that have both grown, write their difference back."""
        own = self.cell
        tick = self._refreshes * self.shape[2]  # the write of a refresh has one vector for each column
        self._refreshes += 1
        plus_TOI, minus_TOI = (
            reader.read(member.weights, tick)
            for reader, member in zip(self._readers, self.members, strict=True)
        )
        scale, upper, lower = (
            float(np.float32(each))
            for each in (1.0 / self.plus.device.w_max, own.refresh_upper_thres, own.refresh_lower_thres)
        )
        larger, smaller = self._numbers.sorted(plus_TOI, minus_TOI)
        due_TOI = (larger * scale > upper) & (smaller * scale > lower)
        if not (self._numbers.on_card or due_TOI.any()):  # a card is not asked: what is none stays as it is
            return np.zeros(self.shape[0], np.int64)
        for member in self.members:
            member.reset(tick, extra=_REFRESH, mask_TOI=due_TOI)
        difference_TOI = self._numbers.only(due_TOI, plus_TOI - minus_TOI)
        pulses_T = self._write_up(self.plus, difference_TOI.clip(0.0), tick)
        return pulses_T + self._write_up(self.minus, (-difference_TOI).clip(0.0), tick)

    def _write_up(self, member: Any, wanted_TOI: Any, tick: int) -> NDArray[np.int64]:
        """Step ``member`` up by about ``wanted_TOI``, one column after another."""
        tiles = self.shape[0]
        d_TIO = contiguous(-wanted_TOI.swapaxes(1, 2))
        vectors = Vectors(self._readers[0].one_hot_XII, np.zeros(tiles, np.int64), d_TIO, np.arange(tiles))
        return member.pulse(vectors, self.cell.refresh_update, 1.0, tick, extra=_REFRESH)

    def end_of_batch(self, tick: int) -> None:
        """Diffusion and decay of both members."""
        for member in self.members:
            member.end_of_batch(tick)
        self._changed()

    def set_weights(self, w_TOI: Array) -> None:
        """Write |w| into one side, 0 into the other."""
        w_TOI = np.asarray(w_TOI, np.float32)
        self.plus.set_weights(np.maximum(w_TOI, 0.0))
        self.minus.set_weights(np.maximum(-w_TOI, 0.0))
        self._changed()

    def state(self) -> dict[str, Any]:
        """Everything that changes."""
        tiles = self.shape[0]
        readers = {
            f"{name}_read_{k}": values
            for k, reader in enumerate(self._readers)
            for name, values in reader.state().items()
        }
        counters = {"updates": counter(tiles, self._updates), "refreshes": counter(tiles, self._refreshes)}
        return {**self.members_state(), **counters, **readers}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` gave."""
        self.load_members(state)
        self._updates = load_counter("updates", state["updates"])
        self._refreshes = load_counter("refreshes", state["refreshes"])
        for k, reader in enumerate(self._readers):
            reader.load_state({name: state[f"{name}_read_{k}"] for name in reader.state()})
        self._changed()

    def reset(self, tick: int, columns: slice = slice(None), probability: float = 1.0) -> None:
        """Reset devices of ``columns``, each with ``probability``."""
        for member in self.members:
            member.reset(tick, columns, probability)
        self._changed()

    def drift(self, delta_t: float, tick: int) -> None:
        """Let ``delta_t`` pass."""
        for member in self.members:
            member.drift(delta_t, tick)
        self._changed()


@cell_of.register(OneSidedUnitCell)
def _(
    cell: OneSidedUnitCell,
    parameters: UpdateParameters,
    keys_T2: Keys,
    out_size: int,
    in_size: int,
    backend: Backend,
) -> OneSidedCell:
    cell.validate()
    if parameters.exact:
        raise ConfigError(
            f"UpdateParameters.pulse_type = {parameters.pulse_type.name} has no pulses; a one-sided pair "
            "must be updated with pulses"
        )
    return OneSidedCell(cell, parameters, keys_T2, out_size, in_size, backend)
