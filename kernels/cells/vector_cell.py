"""Cells whose weight is a weighted sum of several devices."""

from __future__ import annotations

from enum import Enum
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..arrays.array import DeviceArray
from ..arrays.build import cell_of
from ..arrays.cell import Array, Keys, UpdateCounts, checked_vectors, fetched
from ..backends import Backend
from ..config import config, field
from ..devices import PulsedDevice
from ..errors import ConfigError
from ..pulsed_update.arguments import Vectors
from ..pulsed_update.parameters import UpdateParameters
from ..rng import Stream
from .unit_cell import Members, UnitCell, build_members, counter, load_counter, numbers_of, placed


class VectorUnitCellUpdatePolicy(Enum):
    """Which members of a cell a vector update reaches."""

    ALL = "All"
    """All of them, with the same pulses."""
    SINGLE_FIXED = "SingleFixed"
    """Always number ``first_update_idx``."""
    SINGLE_SEQUENTIAL = "SingleSequential"
    """The next one for every vector."""
    SINGLE_RANDOM = "SingleRandom"
    """One that is drawn for every vector."""


@config
class VectorUnitCell(UnitCell):
    """Several devices whose weights are added up with weights gamma (default: their mean)."""

    is_member: ClassVar[bool] = True

    update_policy: VectorUnitCellUpdatePolicy = field(VectorUnitCellUpdatePolicy.ALL)
    """Which of the devices a vector update reaches."""
    first_update_idx: int = field(0, at_least=0)
    """Index of the device that SINGLE_FIXED updates, and that SINGLE_SEQUENTIAL starts after."""
    gamma_vec: list[float] = field(factory=list)
    """Factors of the devices' weights in their sum, one for each, without unit; empty: their mean."""

    def validate(self) -> None:
        self.check_count(1)
        self.check_members()
        self.check_length("gamma_vec", len(self.unit_cell_devices))
        if self.first_update_idx >= len(self.unit_cell_devices):
            raise ConfigError(
                f"{type(self).__name__}.first_update_idx = {self.first_update_idx} must be below the number "
                f"of devices, {len(self.unit_cell_devices)}"
            )

    def members(self) -> list[PulsedDevice | UnitCell]:
        """The devices that the cell is made of."""
        return self.unit_cell_devices


@config
class ReferenceUnitCell(VectorUnitCell):
    """A device that is updated and one that stays as it is: their difference is the weight.

    One device is taken twice, as two populations.
    """

    update_policy: VectorUnitCellUpdatePolicy = field(VectorUnitCellUpdatePolicy.SINGLE_FIXED)
    gamma_vec: list[float] = field(factory=lambda: [1.0, -1.0])
    """Factors of the updated device's weight and of the reference's, without unit."""

    def validate(self) -> None:
        self.check_count(1, 2)
        self.check_members()
        self.check_length("gamma_vec", 2)
        if self.first_update_idx > 1:
            raise ConfigError(
                f"{type(self).__name__}.first_update_idx = {self.first_update_idx} must be 0 or 1"
            )
        if self.update_policy is not VectorUnitCellUpdatePolicy.SINGLE_FIXED:
            raise ConfigError(
                f"{type(self).__name__}.update_policy = {self.update_policy.name} must be SINGLE_FIXED: "
                "one of the two devices is the reference"
            )

    def members(self) -> list[PulsedDevice | UnitCell]:
        """The updated device and the reference."""
        return [self.unit_cell_devices[0], self.unit_cell_devices[-1]]


class VectorCell(Members):
    """Members at every crosspoint, pulsed with the same trains."""

    def __init__(
        self, cell: VectorUnitCell, parameters: UpdateParameters, keys_T2: Keys, out_size: int, in_size: int,
        backend: Backend,
    ) -> None:  # fmt: skip
        self.parameters, self.keys_T2, self.backend = parameters, keys_T2, backend
        devices = cell.members()
        self.members = build_members(cell, devices, parameters, keys_T2, out_size, in_size, backend)
        self.policy, self.fixed = cell.update_policy, cell.first_update_idx
        self.gamma = cell.gamma_vec or [1.0 / len(devices)] * len(devices)
        self.granularity = float(np.mean([member.granularity for member in self.members]))
        self._vectors_seen = 0
        self._numbers = numbers_of(backend)
        at_random = self.policy is VectorUnitCellUpdatePolicy.SINGLE_RANDOM
        self._choices = self._numbers.Choices(
            keys_T2, Stream.UNIT_CELL, len(self.members), at_random=at_random
        )
        self._show_first()

    @property
    def seen_TOI(self) -> Array:
        """The weights that a read sees, on the host."""
        return fetched(self.weights)

    def _show(self, w_TOI: Any) -> None:
        self._numbers.add_up(self.gamma, [member.weights for member in self.members], w_TOI)

    def update(
        self, x_XBI: Any, x_of_T: Any, d_DBO: Any, d_of_T: Any, learning_rate: float, tick: int
    ) -> UpdateCounts:
        """Pulse the vectors in order, then diffusion and decay."""
        vectors = checked_vectors(x_XBI, x_of_T, d_DBO, d_of_T, self.shape)
        vectors = placed(vectors, self._numbers)
        pulses_T = self.pulse(vectors, self.parameters, learning_rate, tick)
        self.end_of_batch(tick + max(vectors.batch - 1, 0))
        return UpdateCounts(pulses_T)

    def pulse(
        self, vectors: Vectors, parameters: UpdateParameters, learning_rate: float, tick: int, *,
        granularity: float | None = None, train_keys_T2: Keys | None = None,
        active_TB: Any = None,
    ) -> NDArray[np.int64]:  # fmt: skip
        """Pulse every vector into the members that the policy chooses; as ``DeviceArray.pulse``.

        Turns go on with every vector, also with one that a tile does not take part in.
        """
        pulses_T = np.zeros(self.shape[0], np.int64)
        if learning_rate == 0.0 or vectors.batch == 0:
            return pulses_T
        granularity = self.granularity if granularity is None else granularity
        keys_T2 = self.keys_T2 if train_keys_T2 is None else train_keys_T2
        chosen_TB = self._chosen(vectors.batch, tick)
        for k, member in enumerate(self.members):
            takes_TB = active_TB
            if chosen_TB is not None:
                takes_TB = self._numbers.bits(chosen_TB == k)
                takes_TB = takes_TB if active_TB is None else takes_TB * active_TB
            # a cell among the members takes note of the vectors that pass it by
            if self._reached(k, takes_TB) or not isinstance(member, DeviceArray):
                taken = self._only(vectors, takes_TB) if parameters.exact else vectors
                pulses_T += member.pulse(
                    taken, parameters, learning_rate, tick, granularity=granularity,
                    train_keys_T2=keys_T2, active_TB=takes_TB,
                )  # fmt: skip
        self._vectors_seen += vectors.batch
        self._changed()
        return pulses_T

    def _chosen(self, vectors: int, tick: int) -> Any:
        """The member that takes each vector [tiles, vectors], or None for all of them."""
        if self.policy is VectorUnitCellUpdatePolicy.ALL:
            return None
        if self.policy is VectorUnitCellUpdatePolicy.SINGLE_FIXED:
            return self._numbers.filled((self.shape[0], vectors), self.fixed)
        if self.policy is VectorUnitCellUpdatePolicy.SINGLE_SEQUENTIAL:
            # the turn moves on before a vector, not after it
            return self._choices.take(self.fixed + self._vectors_seen + 1, vectors)
        return self._choices.take(tick, vectors)

    def _reached(self, k: int, takes_TB: Any) -> bool:
        """Whether member ``k`` may take any vector; a card is not asked."""
        if takes_TB is None:
            return True
        if self._numbers.on_card:
            return self.policy is not VectorUnitCellUpdatePolicy.SINGLE_FIXED or k == self.fixed
        return bool(takes_TB.any())

    def _only(self, vectors: Vectors, active_TB: Any) -> Vectors:
        """The vectors with d = 0 where a tile does not take part: exact updates know no mask."""
        if active_TB is None:
            return vectors
        d_TBO = self._numbers.of_tiles(vectors.d_DBO, vectors.d_of_T) * active_TB[:, :, None]
        return Vectors(vectors.x_XBI, vectors.x_of_T, d_TBO, np.arange(len(active_TB)))

    def end_of_batch(self, tick: int) -> None:
        """Diffusion and decay of every member."""
        for member in self.members:
            member.end_of_batch(tick)
        self._changed()

    def set_weights(self, w_TOI: Array) -> None:
        """Write the weight itself into every member (into the updated one only, where that is fixed)."""
        w_TOI = np.asarray(w_TOI, np.float32)
        if self.policy is VectorUnitCellUpdatePolicy.SINGLE_FIXED:
            self.members[self.fixed].set_weights(w_TOI)
        else:
            for member in self.members:
                member.set_weights(w_TOI)
        self._changed()

    def state(self) -> dict[str, Any]:
        """Everything that changes."""
        return {**self.members_state(), "vectors_seen": counter(self.shape[0], self._vectors_seen)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` gave."""
        self.load_members(state)
        self._vectors_seen = load_counter("vectors_seen", state["vectors_seen"])
        self._changed()

    def reset(
        self, tick: int, columns: slice = slice(None), probability: float = 1.0, extra: int = 0,
        mask_TOI: Any = None,
    ) -> None:  # fmt: skip
        """Reset devices of ``columns`` (of these the ones in ``mask_TOI``), each with ``probability``."""
        for member in self.members:
            member.reset(tick, columns, probability, extra, mask_TOI)
        self._changed()

    def drift(self, delta_t: float, tick: int) -> None:
        """Let ``delta_t`` pass."""
        for member in self.members:
            member.drift(delta_t, tick)
        self._changed()


@cell_of.register(VectorUnitCell)
def _(
    cell: VectorUnitCell,
    parameters: UpdateParameters,
    keys_T2: Keys,
    out_size: int,
    in_size: int,
    backend: Backend,
) -> VectorCell:
    cell.validate()
    return VectorCell(cell, parameters, keys_T2, out_size, in_size, backend)
