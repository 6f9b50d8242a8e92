"""What cells of several devices have in common: their configuration, and how members are kept together."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from ..arrays.array import DeviceArray
from ..arrays.build import build_cell
from ..arrays.cell import Array, Keys, Population, member_keys, names_in
from ..backends import Backend, Cuda
from ..config import Config, config, field
from ..devices import PulsedDevice
from ..errors import ConfigError, InputError
from ..pulsed_update.arguments import Vectors
from ..pulsed_update.parameters import UpdateParameters
from ..rng import new_key


@config
class UnitCell(Config):
    """Several devices at every crosspoint."""

    is_member: ClassVar[bool] = False  # whether it may be a device of another cell

    unit_cell_devices: list[PulsedDevice | UnitCell] = field(factory=list)
    """Configurations of the devices at each crosspoint, in their order; a ``VectorUnitCell`` or
    ``ReferenceUnitCell`` may be one of them."""
    construction_seed: int = field(0, at_least=0)
    """Seed of all the cell's populations: above 0 the same devices wherever the cell is used; 0: each tile
    draws its own."""

    def check_count(self, least: int, most: int | None = None) -> None:
        """Raise unless there are ``least`` .. ``most`` devices."""
        count = len(self.unit_cell_devices)
        if count < least or (most is not None and count > most):
            wanted = (
                f"at least {least}" if most is None else f"{least}" if most == least else f"{least} or {most}"
            )
            raise ConfigError(
                f"{type(self).__name__}.unit_cell_devices has {count} device{'s' * (count != 1)}; "
                f"it must have {wanted}"
            )

    def check_members(self) -> None:
        """Raise unless every member can be pulsed as a device is."""
        for k, member in enumerate(self.unit_cell_devices):
            if isinstance(member, UnitCell) and not member.is_member:
                raise ConfigError(
                    f"{type(self).__name__}.unit_cell_devices[{k}] is a {type(member).__name__}; it must be "
                    "a pulsed device, a VectorUnitCell or a ReferenceUnitCell"
                )

    def check_length(self, name: str, wanted: int) -> None:
        """Raise unless the list ``name`` is empty or has one entry a device."""
        given = len(getattr(self, name))
        if given not in (0, wanted):
            raise ConfigError(
                f"{type(self).__name__}.{name} has {given} entries; it must have one for each of the "
                f"{wanted} devices, or none for the default"
            )


class Member(Protocol):
    """One of the devices that a cell is made of: an array of devices, or a cell of such members."""

    keys_T2: Keys
    granularity: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """Tiles, outputs, inputs."""

    @property
    def seen_TOI(self) -> Array:
        """The weights that a read sees, on the host."""

    @property
    def weights(self) -> Any:
        """The same where they are computed: a tensor where the backend is on a card."""

    def pulse(
        self, vectors: Vectors, parameters: UpdateParameters, learning_rate: float, tick: int, *,
        granularity: float | None = None, train_keys_T2: Keys | None = None,
        active_TB: Any = None,
    ) -> NDArray[np.int64]:  # fmt: skip
        """As ``DeviceArray.pulse``."""

    def end_of_batch(self, tick: int) -> None:
        """Diffusion and decay."""

    def set_weights(self, w_TOI: Array) -> None:
        """Write weights, clipped to the bounds."""

    def saturated(self) -> NDArray[np.int64]:
        """Devices at a bound, of each tile."""

    def reset(
        self, tick: int, columns: slice = slice(None), probability: float = 1.0, extra: int = 0,
        mask_TOI: Any = None,
    ) -> None:  # fmt: skip
        """As ``DeviceArray.reset``."""

    def drift(self, delta_t: float, tick: int) -> None:
        """Let ``delta_t`` pass."""

    def state(self) -> dict[str, Any]:
        """Everything that changes."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` gave."""

    def hidden_parameters(self) -> dict[str, Array]:
        """The drawn population by name."""

    def populations(self) -> dict[str, Population]:
        """The populations of devices, by the name that a given one has in the state."""


def build_members(
    cell: UnitCell,
    devices: Sequence[PulsedDevice | UnitCell],
    parameters: UpdateParameters,
    keys_T2: Keys,
    out_size: int,
    in_size: int,
    backend: Backend,
) -> list[Any]:
    """What a cell is made of, a ``Member`` for each of ``devices``, each with keys of its own."""
    members: list[Any] = []
    for k, device in enumerate(devices):
        own, keys = device, member_keys(keys_T2, k)
        if cell.construction_seed > 0:
            own = copy.copy(device)
            own.construction_seed = new_key("member", cell.construction_seed, k) >> 1
        if isinstance(own, PulsedDevice):
            members.append(DeviceArray(own, keys, out_size, in_size, backend))
        else:
            members.append(build_cell(own, parameters, keys, out_size, in_size, backend))
    return members


class Target(Protocol):
    """What can be pulsed: one array of devices, or a cell of several."""

    granularity: float

    def pulse(
        self, vectors: Vectors, parameters: UpdateParameters, learning_rate: float, tick: int
    ) -> NDArray[np.int64]:
        """Update with every vector in order; returns the number of pulses of each tile."""

    def end_of_batch(self, tick: int) -> None:
        """What happens once a mini-batch."""


def numbers_of(backend: Backend) -> Any:
    """What a cell does with numbers, where the backend computes."""
    return backend.cells.Numbers(backend.findings if isinstance(backend, Cuda) else None)


class Members:
    """The part that all cells of several members share.

    The weights that a cell shows are kept up to date on a processor; on a card, where nobody waits for the
    members' updates, they are worked out when somebody asks.
    """

    members: Sequence[Member]
    backend: Backend
    parameters: UpdateParameters
    _numbers: Any
    _shown_TOI: Any
    _stale: bool

    @property
    def weights(self) -> Any:
        """W_TOI float32, what the analog product sees; a tensor where the backend is on a card."""
        if self._stale:
            self._stale = False
            self._show(self._shown_TOI)
        return self._shown_TOI

    def _show_first(self) -> None:
        """Make room for the weights that are shown, once the members are there."""
        self._shown_TOI, self._stale = self._numbers.zeros(self.shape), False
        self._changed()

    def _changed(self) -> None:
        """What the weights are made of is another."""
        if self._numbers.on_card:
            self._stale = True
        else:
            self._show(self._shown_TOI)

    def _show(self, w_TOI: Any) -> None:
        """Write the weights."""
        raise NotImplementedError

    def collected(self) -> dict[str, Any]:
        """Nothing but devices."""
        return {}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Tiles, outputs, inputs."""
        return self.members[0].shape

    def saturated(self) -> NDArray[np.int64]:
        """Devices at a bound, of each tile, all members counted."""
        return np.sum([member.saturated() for member in self.members], axis=0)

    def members_state(self) -> dict[str, Any]:
        """What changes in the members."""
        return {
            f"{name}_{k}": values
            for k, member in enumerate(self.members)
            for name, values in member.state().items()
        }

    def load_members(self, state: dict[str, Any]) -> None:
        """Restore what ``members_state`` gave."""
        for k, member in enumerate(self.members):
            names = names_in(state, member, f"{{}}_{k}".format)
            member.load_state({name: state[f"{name}_{k}"] for name in names})

    def populations(self) -> dict[str, Population]:
        """The members, by the name that a given population has in the state."""
        return {
            f"{name}_{k}": each
            for k, member in enumerate(self.members)
            for name, each in member.populations().items()
        }

    def hidden_parameters(self) -> dict[str, Array]:
        """The drawn populations and the members' weights, by name and number of the member."""
        return {
            f"{name}_{k}": values
            for k, member in enumerate(self.members)
            for name, values in {**member.hidden_parameters(), "hidden_weights": member.seen_TOI}.items()
        }


def part(vectors: Vectors, start: int, stop: int) -> Vectors:
    """Vectors start..stop."""
    if (start, stop) == (0, vectors.batch):
        return vectors
    x_XBI, d_DBO = (contiguous(each[:, start:stop]) for each in (vectors.x_XBI, vectors.d_DBO))
    return Vectors(x_XBI, vectors.x_of_T, d_DBO, vectors.d_of_T)


def placed(vectors: Vectors, numbers: Any) -> Vectors:
    """Vectors where a cell's numbers are."""
    if not numbers.on_card:
        return vectors
    return vectors._replace(x_XBI=numbers.placed(vectors.x_XBI), d_DBO=numbers.placed(vectors.d_DBO))


def contiguous(values: Any) -> Any:
    """An array, or a tensor, whose numbers lie one behind the other."""
    return np.ascontiguousarray(values) if isinstance(values, np.ndarray) else values.contiguous()


def counter(tiles: int, value: int) -> NDArray[np.int64]:
    """A number that all tiles of a bank share, as state: tiles move between banks one by one."""
    return np.full(tiles, value, np.int64)


def load_counter(name: str, values: Any) -> int:
    """The number that ``counter`` made into state."""
    values = np.ravel(values)
    if (values != values[0]).any():
        raise InputError(f"tiles of one bank differ in {name}: {values.tolist()}; they must be equally old")
    return int(values[0])


def check_rate(learning_rate: float) -> None:
    """Raise where a cell cannot use the learning rate."""
    if not learning_rate >= 0.0 or not np.isfinite(learning_rate):
        raise InputError(f"learning rate {learning_rate} must be a number of at least 0")
