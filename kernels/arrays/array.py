"""One population of pulsed devices with its state: the part that cells are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend, Cuda
from ..devices.base import PulsedDevice, dynamics
from ..errors import ConfigError, InputError, unknown
from ..pulsed_update.arguments import (
    EVERY_VECTOR,
    Devices,
    Looks,
    Pulsing,
    Side,
    Status,
    Update,
    Vectors,
    in_parts,
)
from ..pulsed_update.parameters import PulseType, UpdateParameters
from ..pulsed_update.rule import make_rule
from ..rng import Stream, new_key, tile_key
from .cell import GIVEN, Array, Keys, Population, check_finite, not_finite
from .draws import CrosspointDraws
from .drift import Drift
from .resident import Resident

CROSSPOINTS_AT_ONCE = 1 << 14  # whose population is drawn at a time, to bound the memory
_SET, _BATCH, _RESET, _DRIFT, _EXACT = range(250, 255)  # `extra` of write noise that no pulse caused


class DeviceArray:
    """Devices of one kind at every crosspoint of stacked tiles [T, O, I]."""

    def __init__(
        self, device: PulsedDevice, keys_T2: Keys, out_size: int, in_size: int, backend: Backend
    ) -> None:
        self.device, self.keys_T2, self.backend = device, keys_T2, backend
        self.shape = (len(keys_T2), out_size, in_size)
        self.granularity = device.granularity
        self.constants = np.array(device.constants(), np.float32)
        self.write_noise = np.float32(device.write_noise)
        self._card: Resident | None = None
        self._host: tuple[Array, Array] | None = None  # kept, seen; where a card has them only meanwhile
        if isinstance(backend, Cuda):
            self._card = Resident(device, keys_T2, self._population_keys(), (out_size, in_size), backend)
        else:
            kept_TOI: Array = np.zeros(self.shape, np.float32)
            self._host = kept_TOI, kept_TOI.copy() if self.write_noise > 0 else kept_TOI
        self.given = False  # whether somebody gave the population, which no address recomputes then
        self._take_drawn()
        self._drift = Drift(self, device.drift) if device.drift.active else None
        self.noisy = bool(self.constants[0] != 0.0)  # whether a step has noise
        self._writes = 0  # addresses the noise of writes, which have no tick
        with self.on_host():
            self.clip()

    @property
    def kept_TOI(self) -> Array:
        """The persistent weights, on the host. Write through the methods."""
        return self._weights_on_host()[0]

    @property
    def seen_TOI(self) -> Array:
        """The weights that a read sees, on the host."""
        return self._weights_on_host()[1]

    def _weights_on_host(self) -> tuple[Array, Array]:
        if self._host is not None:
            return self._host
        assert self._card is not None
        return self._card.download()

    @property
    def weights(self) -> Any:
        """What the analog product sees, where it is computed: a tensor where the backend is on a card."""
        if self._card is not None:
            return self._card.weights
        assert self._host is not None
        return self._host[1]

    @contextmanager
    def on_host(self) -> Iterator[None]:
        """Around whatever writes to the weights on the host: those of a card are there meanwhile."""
        if self._card is None or self._host is not None:
            yield
            return
        self._host = self._card.download()
        try:
            yield
        finally:
            self._card.upload(*self._host)
            self._host = None

    @property
    def p_TOIP(self) -> Array:
        """The devices' parameters, on the host: a copy where the backend is on a card."""
        return self._population[0] if self._card is None else self._card.parameters()

    @property
    def dynamics(self) -> dict[str, Array]:
        """What changes weights outside of pulses, on the host."""
        return self._population[1] if self._card is None else self._card.dynamics()

    @property
    def _changes_alone(self) -> bool:
        """Whether weights diffuse or decay after every mini-batch."""
        names = self._population[1].keys() if self._card is None else self._card.changing
        return not names.isdisjoint({"diffusion_rates", "decay_scales"})

    @property
    def late(self) -> bool:
        """Whether pulses come when somebody looks at the weights, on a card, and nobody waits for them."""
        return self._card is not None and self._card.waits

    @property
    def resident(self) -> Any:
        """What is on a card; None: the devices are on the host."""
        return self._card

    @property
    def drawn_anew(self) -> bool:
        """Whether no parameter is kept: kernels draw them from their address."""
        return self._card is not None and self._card.draws and not self.given

    def _population_keys(self) -> Keys:
        """Whose numbers the population is drawn from."""
        if self.device.construction_seed == 0:
            return self.keys_T2
        key = tile_key(new_key("construction", self.device.construction_seed), 0)
        return np.tile(key, (self.shape[0], 1))

    def _take_drawn(self) -> None:
        """Have the population that is drawn."""
        if self._card is not None and self._card.draws:
            self._take(None, {})
        else:
            self._take(*self._drawn_population())

    def _take(self, p_TOIP: Array | None, changing: dict[str, Array]) -> None:
        """Have a population; None: one that a card's kernels draw."""
        c, noise = self.constants, self.write_noise
        if self._card is not None:
            self._card.take(p_TOIP, changing)
            there = self._card
            self._devices = Devices(there.kept_TOI, there.population, c, there.seen_TOI, noise, there.keys_T2)
        else:
            assert p_TOIP is not None
            self._population = p_TOIP, changing
            self._devices = Devices(self.kept_TOI, p_TOIP, c, self.seen_TOI, noise, self.keys_T2)

    def _drawn_population(self) -> tuple[Array, dict[str, Array]]:
        """Draw the devices, some rows at a time: the draws of a whole tile would need several times it."""
        names, (tiles, rows, columns) = self.device.parameters, self.shape
        p_TOIP = np.empty((*self.shape, len(names)), np.float32)
        changing: dict[str, Array] = {}
        keys_T2 = self._population_keys()
        step = max(1, CROSSPOINTS_AT_ONCE // (tiles * columns))
        for start in range(0, rows, step):
            block = slice(start, min(start + step, rows))
            draws = CrosspointDraws(keys_T2, block, columns, Stream.POPULATION, backend=self.backend)
            drawn = self.device.draw(draws)
            for k, name in enumerate(names):
                p_TOIP[:, block, :, k] = drawn[name]
            for name, values in dynamics(self.device, draws, drawn).items():
                changing.setdefault(name, np.empty(self.shape, np.float32))[:, block] = values
        return p_TOIP, changing

    def draws(
        self, stream: Stream, rows: slice | None = None, tick: int = 0, extra: int = 0
    ) -> CrosspointDraws:
        """Addressed random numbers for the crosspoints of ``rows`` (default: all)."""
        rows = rows if rows is not None else slice(0, self.shape[1])
        return CrosspointDraws(self.keys_T2, rows, self.shape[2], stream, tick, self.backend, extra)

    @property
    def min_bound(self) -> Array:
        """Lowest weight of each device."""
        return self.p_TOIP[..., 0]

    @property
    def max_bound(self) -> Array:
        """Highest weight of each device."""
        return self.p_TOIP[..., 1]

    def pulse(
        self, vectors: Vectors, parameters: UpdateParameters, learning_rate: float, tick: int, *,
        granularity: float | None = None, train_keys_T2: Keys | None = None, extra: int = 0,
        side: Side = Side.BOTH, active_TB: Any = None, looks: Looks | None = None,
        mask_TBO: Any = None,
    ) -> NDArray[np.int64]:  # fmt: skip
        """Update with every vector in order; returns the number of pulses of each tile.

        ``granularity``: the step size that trains are scaled for (default: the device's own);
        ``train_keys_T2``: whose trains they are (default: this array's); ``extra``: which of several
        updates within one tick; ``active_TB``: 0 for vectors that a tile does not take part in; ``looks``
        (where the backend notes them): lines to note in between; ``mask_TBO`` (on a card alone): uint8, 1
        where a gradient is none. On a card that reports late the pulses are in ``counted`` alone.
        """
        pulses_T = np.zeros(self.shape[0], np.int64)
        if learning_rate == 0.0 or vectors.batch == 0:
            return pulses_T
        if parameters.exact:
            self._update_exactly(vectors, parameters, learning_rate, tick)
            return pulses_T
        pulsing = Pulsing(
            make_rule(parameters), np.float32(learning_rate),
            np.float32(self.granularity if granularity is None else granularity), tick, extra, int(side),
            self.noisy, self.device.aggregates,
        )  # fmt: skip
        update = Update(
            self._devices, vectors, pulsing, self.keys_T2 if train_keys_T2 is None else train_keys_T2,
            EVERY_VECTOR if active_TB is None else active_TB, pulses_T,
        )  # fmt: skip
        if pulsing.rule.parts > 1:
            update, looks = in_parts(update, looks)
            mask_TBO = None if mask_TBO is None else mask_TBO.repeat_interleave(pulsing.rule.parts, dim=1)
        if self._card is not None:
            if self.late:
                self._card.pulse_later(update, mask_TBO)
                return pulses_T
            self._card.saturation_known = False
        status = self.backend.pulsed_update.run(self.device, update, looks)
        if status:  # not DONE
            raise _refusal(status, learning_rate, pulsing)
        return pulses_T

    def _update_exactly(
        self, vectors: Vectors, parameters: UpdateParameters, learning_rate: float, tick: int
    ) -> None:
        bounded = parameters.pulse_type is PulseType.NONE_WITH_DEVICE
        if self._card is not None and self.late:
            rate, last = float(np.float32(learning_rate)), tick + vectors.batch - 1
            self._card.update_exactly(vectors, rate, bounded, last, _EXACT)
            return
        x_XBI, d_DBO = vectors.on_host()
        check_finite(x_XBI, d_DBO)
        bounds = self.p_TOIP if bounded else None
        with self.on_host():
            self.backend.pulsed_update.update_exactly(
                self.kept_TOI, bounds, x_XBI, vectors.x_of_T, d_DBO, vectors.d_of_T,
                np.float32(learning_rate),
            )  # fmt: skip
            self._see_all(tick + vectors.batch - 1, _EXACT)

    def end_of_batch(self, tick: int) -> None:
        """What happens once a mini-batch whose last vector had ``tick``: diffusion, then decay."""
        if not self._changes_alone:
            return
        if self._card is not None:
            self._card.settle(tick, _BATCH)
            return
        changing = self.dynamics
        with self.on_host():
            w_TOI = self.kept_TOI
            if "diffusion_rates" in changing:
                w_TOI += changing["diffusion_rates"] * self.draws(Stream.DIFFUSION, tick=tick).normal(0)
                self.clip()
            if "decay_scales" in changing:
                level = changing.get("reset_bias", np.float32(self.device.reset))
                w_TOI -= level
                w_TOI *= changing["decay_scales"]
                w_TOI += level
                self.clip()
            self._see_all(tick, _BATCH)

    def clip(self) -> None:
        """Bring every device back into its bounds, where the weights are on the host."""
        kept_TOI, p_TOIP = self.kept_TOI, self.p_TOIP
        np.minimum(kept_TOI, p_TOIP[..., 1], out=kept_TOI)
        np.maximum(kept_TOI, p_TOIP[..., 0], out=kept_TOI)

    def _see_all(self, tick: int, extra: int) -> None:
        """Redraw the weight that is seen of every device."""
        if self.write_noise > 0:
            xi = self.draws(Stream.WRITE_NOISE, tick=tick, extra=extra).normal(0)
            self.seen_TOI[...] = self.kept_TOI + self.write_noise * xi

    def set_weights(self, w_TOI: Array) -> None:
        """Write weights, clipped to the bounds."""
        with self.on_host():
            self.kept_TOI[...] = w_TOI
            self.clip()
            if getattr(self.device, "apply_write_noise_on_set", False):
                self._see_all(self._writes, _SET)
            elif self.write_noise > 0:
                self.seen_TOI[...] = self.kept_TOI
        self._writes += 1

    def reset(
        self, tick: int, columns: slice = slice(None), probability: float = 1.0, extra: int = 0,
        mask_TOI: Any = None,
    ) -> None:  # fmt: skip
        """Reset devices of ``columns`` (of these the ones in ``mask_TOI``), each with ``probability``.

        A mask that is a tensor on a card stands alone, and nobody waits for the reset; it is none where it
        has no device.
        """
        if self._card is not None and mask_TOI is not None and not isinstance(mask_TOI, np.ndarray):
            self._card.reset(tick, mask_TOI, extra, _RESET)
            return
        draws = self.draws(Stream.RESET, tick=tick, extra=extra)
        level = self.dynamics.get("reset_bias", np.float32(self.device.reset))
        after_TOI = level + np.float32(self.device.reset_std) * draws.normal(0)
        chosen_TOI = np.zeros(self.shape, np.bool_)
        chosen_TOI[:, :, columns] = True
        if probability < 1.0:
            chosen_TOI &= draws.uniform(4) < np.float32(probability)
        if mask_TOI is not None:
            chosen_TOI &= mask_TOI
        with self.on_host():
            np.copyto(self.kept_TOI, after_TOI, where=chosen_TOI)
            self.clip()
            self._see_all(tick, _RESET)

    def drift(self, delta_t: float, tick: int) -> None:
        """Let ``delta_t`` pass: weights that have not changed since they were looked at drift."""
        if self._drift is None:
            return
        with self.on_host():
            self._drift.advance(self, delta_t, tick)
            self.clip()
            self._see_all(tick, _DRIFT)

    @property
    def saturation_known(self) -> bool:
        """Whether the last step on a card counted the devices at a bound."""
        return self._card is not None and self._card.saturation_known

    def counted(self) -> NDArray[np.int64]:
        """Pulses that no ``pulse`` told of, of each tile."""
        if self._card is None or not self._card.waits:
            return np.zeros(self.shape[0], np.int64)
        return self._card.pulses()

    def saturated(self) -> NDArray[np.int64]:
        """Devices at a bound, of each tile; not stuck ones, nor those at a bound of 0, where they rest."""
        known_T = None if self._card is None else self._card.saturated()
        if known_T is not None:
            return known_T
        kept_TOI, p_TOIP = self.kept_TOI, self.p_TOIP
        low_TOI, high_TOI = p_TOIP[..., 0], p_TOIP[..., 1]
        at_bound = (kept_TOI <= low_TOI) | (kept_TOI >= high_TOI)
        saturated_T: NDArray[np.int64] = (at_bound & (low_TOI < high_TOI) & (kept_TOI != 0)).sum(axis=(1, 2))
        if self._card is not None:
            self._card.take_saturated(saturated_T)
        return saturated_T

    def state(self) -> dict[str, Any]:
        """Everything that changes."""
        writes_T = np.full(self.shape[0], self._writes, np.int64)  # tiles move one by one
        kept_TOI, seen_TOI = self._weights_on_host()
        state: dict[str, Any] = {"kept": kept_TOI, "writes": writes_T}
        if self.write_noise > 0:
            state["seen"] = seen_TOI
        if self._drift is not None:
            state.update(self._drift.state())
        if self.given:
            state[GIVEN] = np.stack([*self.hidden_parameters().values()], -1)
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` gave; a population that is not in it is the drawn one."""
        if GIVEN in state:
            self.give(dict(zip(self.hidden_parameters(), np.moveaxis(state[GIVEN], -1, 0), strict=True)))
        elif self.given:
            self.given = False
            self._take_drawn()
        with self.on_host():
            self.kept_TOI[...] = state["kept"]
            if self.write_noise > 0:
                self.seen_TOI[...] = state["seen"]
        self._writes = int(np.ravel(state["writes"])[0])
        if self._drift is not None:
            self._drift.load_state(state)

    def give(self, parameters: Mapping[str, Array]) -> None:
        """Let devices have other ``parameters`` [T, O, I] than were drawn, by name: they are then state.

        Raises:
            ConfigError: the devices have no such parameter.
        """
        p_TOIP, changing = self.p_TOIP, self.dynamics
        own = self._by_name(p_TOIP, changing)
        for name, values in parameters.items():
            if name not in own:
                raise unknown(f"parameter of {type(self.device).__name__}", name, own)
            own[name][...] = values
        self.given = True
        self._take(p_TOIP, changing)

    def collected(self) -> dict[str, Any]:
        """Nothing but devices."""
        return {}

    def populations(self) -> dict[str, Population]:
        """Itself, by the name that a given population has in the state."""
        return {GIVEN: self}

    @property
    def given_shape(self) -> tuple[int, ...]:
        """The shape of a tile's given population in the state."""
        return (*self.shape[1:], len(self.hidden_parameters()))

    def hidden_parameters(self) -> dict[str, Array]:
        """The drawn population by name."""
        return self._by_name(self.p_TOIP, self.dynamics)

    def _by_name(self, p_TOIP: Array, changing: dict[str, Array]) -> dict[str, Array]:
        return {**{name: p_TOIP[..., k] for k, name in enumerate(self.device.parameters)}, **changing}


def _refusal(status: int, learning_rate: float, pulsing: Pulsing) -> ConfigError | InputError:
    """Why an update was not made."""
    if status == Status.TOO_LONG:
        return ConfigError(
            f"learning rate {learning_rate:g} with steps of {pulsing.granularity:g} asks for trains of more "
            f"than {pulsing.rule.longest:g} pulses; set UpdateParameters.fixed_bl or update_management, or "
            "lower the rate"
        )
    return not_finite("x" if status == Status.BAD_X else "d")
