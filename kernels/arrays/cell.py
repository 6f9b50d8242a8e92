"""What a cell does: the devices at every crosspoint of a bank of equal tiles, stacked [tiles, out, in].

For compounds: a ``DeviceArray`` (``array.py``) is one population of devices with its state. Make
one a member with ``DeviceArray(device, member_keys(keys_T2, k), out_size, in_size, backend)`` and call

* ``array.pulse(Vectors(...), update_parameters, learning_rate, tick, ...)``: pulses vectors in order, with
  its own learning rate, granularity, trains' keys (``train_keys_T2``: give all members the tile's own keys
  to share trains), ``extra`` (0..255: several updates within one tick), ``side`` (one-sided pairs) and
  ``active_TB`` (which vectors an array takes part in); returns the pulses of each tile;
* ``array.end_of_batch(tick)``: diffusion and decay; ``reset``, ``drift``, ``set_weights``;
* ``array.kept_TOI`` (persistent) and ``array.seen_TOI`` (what a read sees; the same array without write
  noise): read them freely, write through the methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, unknown
from ..pulsed_update.arguments import Vectors
from ..rng.naive import philox4x32

Array = NDArray[np.float32]
Keys = NDArray[np.uint32]
GIVEN = "given"  # a population that was not drawn, in an array's state
_MEMBER = 0x00010000  # counter word 3 of a member's key: the tile-key stream, extra 1


@dataclass(frozen=True, slots=True)
class UpdateCounts:
    """What an update did, for metrics and costs."""

    pulses: NDArray[np.int64]  # [tiles]


class Population(Protocol):
    """Devices whose parameters may be given."""

    given: bool  # whether they were

    @property
    def given_shape(self) -> tuple[int, ...]:
        """The shape of a tile's given population in the state."""

    def give(self, parameters: Mapping[str, Array]) -> None:
        """Let devices have other parameters than were drawn."""

    def hidden_parameters(self) -> dict[str, Array]:
        """The population by name."""

    @property
    def saturation_known(self) -> bool:
        """Whether devices at a bound were counted by the last step, on a card."""

    def counted(self) -> NDArray[np.int64]:
        """Pulses that no update told of, of each tile."""

    def on_host(self) -> AbstractContextManager[None]:
        """Around whatever writes to the weights in place."""


class Cell(Protocol):
    """The devices at every crosspoint of a bank."""

    granularity: float

    @property
    def weights(self) -> Any:
        """W_TOI float32, what the analog product sees."""

    def update(
        self, x_XBI: Any, x_of_T: Any, d_DBO: Any, d_of_T: Any, learning_rate: float, tick: int
    ) -> UpdateCounts:
        """A mini-batch: its vectors in order (vector b has tick + b), then what happens once a batch."""

    def set_weights(self, w_TOI: Array) -> None:
        """Write weights; what a device cannot hold is clipped to its bounds."""

    def saturated(self) -> NDArray[np.int64]:
        """Devices that sit at a bound, of each tile (stuck ones do not count)."""

    def state(self) -> dict[str, Any]:
        """Everything that changes, as arrays; the drawn population is not part of it."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` gave."""

    def hidden_parameters(self) -> dict[str, Array]:
        """The drawn population, by aihwkit's names, [tiles, out, in] each."""

    def collected(self) -> dict[str, Any]:
        """Of ``hidden_parameters`` what is no device's, in place: arrays, or tensors on a card."""

    def populations(self) -> dict[str, Population]:
        """The populations of devices, by the name that a given one has in the state."""

    def reset(self, tick: int, columns: slice = slice(None), probability: float = 1.0) -> None:
        """Reset devices of ``columns`` to their reset level, each with ``probability``."""

    def drift(self, delta_t: float, tick: int) -> None:
        """Let ``delta_t`` pass, in units of the drift's time."""


def fetched(values: Any) -> NDArray[Any]:
    """An array as it is; a copy of a tensor on a card, which is a wait."""
    if isinstance(values, np.ndarray):
        return values
    import torch

    array: NDArray[Any] = values.to(torch.device("cpu"), copy=True).numpy()
    return array


def write(target: Any, values: Any) -> None:
    """Write an array to another, or to a tensor on a card."""
    if isinstance(target, np.ndarray):
        target[...] = values
    else:
        import torch

        target.copy_(torch.from_numpy(np.array(values)))


def names_in(state: Mapping[str, Any], part: Any, name_of: Callable[[str], str]) -> list[str]:
    """What ``part``, an array or a cell, has in the state of the whole; a given population may be or not."""
    given = part.populations()
    names = dict.fromkeys([*part.state(), *given])
    return [name for name in names if name not in given or name_of(name) in state]


def give_hidden(cell: Cell, parameters: Mapping[str, Array]) -> None:
    """Give a cell's devices other ``parameters`` [T, O, I], by the names of its ``hidden_parameters``.

    Raises:
        ConfigError: it has none of a name.
    """
    left, known = dict(parameters), cell.hidden_parameters().keys()
    for name in left:
        if name not in known:
            raise unknown("hidden parameter of these devices", name, known)
    for name, population in cell.populations().items():
        suffix = name.partition(GIVEN)[2]  # "_1" of a second member
        names = [each for each in population.hidden_parameters() if f"{each}{suffix}" in left]
        given = {each: left.pop(f"{each}{suffix}") for each in names}
        if given:
            population.give(given)
    with ExitStack() as written:
        for population in cell.populations().values():
            written.enter_context(population.on_host())
        own = {**cell.hidden_parameters(), **cell.collected()}
        for name, values in left.items():  # what else changes in a cell
            write(own[name], values)
    cell.load_state(cell.state())  # so that it adds up anew what it shows


def member_keys(keys_T2: Keys, member: int) -> Keys:
    """The keys of a compound's member: no two members of a tile share a random number."""
    counter = np.array([member, 0, 0, _MEMBER], np.uint32)
    return np.stack([philox4x32(key, counter)[:2] for key in keys_T2])


def check_finite(x_XBI: Any, d_DBO: Any) -> None:
    """Raise where x or d of an update cannot be multiplied with."""
    for name, values in (("x", x_XBI), ("d", d_DBO)):
        if not np.isfinite(values).all():
            raise not_finite(name)


def not_finite(name: str) -> InputError:
    """What is said of x or d where they are not numbers."""
    return InputError(
        f"{name} of an update has NaN or infinite entries: look for a diverging loss or a division by zero "
        "before this layer"
    )


def _as_float32(values: Any) -> Any:
    """A contiguous float32 array; a tensor stays where it is."""
    if isinstance(values, np.ndarray) or not hasattr(values, "data_ptr"):
        return np.ascontiguousarray(values, np.float32)
    return values.detach().float().contiguous()


def checked_vectors(x_XBI: Any, x_of_T: Any, d_DBO: Any, d_of_T: Any, shape: tuple[int, int, int]) -> Vectors:
    """The vectors of an update of tiles [T, O, I], float32 and contiguous, or an ``InputError``."""
    tiles, rows, columns = shape
    x_XBI, d_DBO = _as_float32(x_XBI), _as_float32(d_DBO)
    if x_XBI.ndim != 3 or x_XBI.shape[2] != columns:
        raise InputError(f"x has shape {x_XBI.shape}; it must be [inputs, batch, {columns}]")
    if d_DBO.ndim != 3 or d_DBO.shape[2] != rows:
        raise InputError(f"d has shape {d_DBO.shape}; it must be [gradients, batch, {rows}]")
    if x_XBI.shape[1] != d_DBO.shape[1]:
        raise InputError(
            f"x has {x_XBI.shape[1]} vectors and d {d_DBO.shape[1]}; an update takes equal batches"
        )
    x_blocks, d_blocks = x_XBI.shape[0], d_DBO.shape[0]
    return Vectors(
        x_XBI, _of_tiles("x", x_of_T, tiles, x_blocks), d_DBO, _of_tiles("d", d_of_T, tiles, d_blocks)
    )


def _of_tiles(name: str, of_tile: Any, tiles: int, blocks: int) -> NDArray[np.int64]:
    """Which block each tile takes, or an ``InputError``."""
    index = np.ascontiguousarray(of_tile, np.int64)
    numbers = index.tolist()
    if index.shape != (tiles,) or min(numbers) < 0 or max(numbers) >= blocks:
        raise InputError(
            f"{name}_of_tile = {numbers} must give one of {blocks} blocks for each of {tiles} tiles"
        )
    return index
