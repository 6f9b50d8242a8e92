"""A device array's state on a CUDA card; the host keeps none of it.

Pulses run on the card, and so does what a step of training may do besides: decay, diffusion, the resets of
transfers and refreshes. The rest (writing, other resets, drift) is rare and is done on the host, by the same
code as everywhere, on copies that go back at once.
"""

from __future__ import annotations

import functools
from collections.abc import Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import Cuda
from ..card import card
from ..devices.base import Array, PulsedDevice, changes_type, changing_names, parameters_type
from ..pulsed_update.arguments import DrawnAnew, Update, Vectors
from .cell import fetched


class Paced:
    """A card's clock of what comes again after equal times, mostly: then nobody has to set it."""

    def __init__(self) -> None:
        self._last = 0

    @functools.cached_property
    def clock(self) -> Any:
        """Where kernels read the tick; most devices do without."""
        from ..machine.cuda.clock import Clock

        return Clock()

    def since_last(self, tick: int) -> int:
        """Ticks from the last time, which the next one is expected after."""
        since, self._last = tick - self._last, tick
        return since


class Resident:
    """Tensors [T, O, I] on the card.

    ``kept_TOI`` and ``seen_TOI`` are one tensor where there is no write noise. A population that kernels can
    draw from its address is not kept, nor what changes weights outside of pulses: ``population`` is then a
    ``DrawnAnew``, else a tensor [T, O, I, P].

    Where the backend's kernels report what they find, updates wait to be made with those of other arrays,
    before anybody looks at one of them, and their pulses are counted here alone.
    """

    def __init__(
        self, device: PulsedDevice, keys_T2: Any, population_keys_T2: Any, size_OI: tuple[int, int],
        backend: Cuda,
    ) -> None:  # fmt: skip
        import torch

        from ..devices.drawn.cuda import formula_of
        from ..machine.cuda.clock import Clock
        from ..machine.cuda.kept import Kept
        from ..pulsed_update.cuda.update import Place

        shape, where = (len(keys_T2), *size_OI), card()
        self.device = device
        self.keys_T2 = _on_card(keys_T2.view(np.int32))
        self.kept_TOI = torch.zeros(shape, dtype=torch.float32, device=where)
        self.seen_TOI = self.kept_TOI.clone() if device.write_noise > 0 else self.kept_TOI
        self._changes = formula_of(device, changes=True)
        formula = None if self._changes is None else formula_of(device)
        same = population_keys_T2 is keys_T2
        keys = self.keys_T2 if same else _on_card(population_keys_T2.view(np.int32))
        self._anew = None if formula is None else DrawnAnew(keys, formula)
        self.population: Any = self._anew
        self._dynamics: dict[str, Any] = {}
        self._updates = backend.updates
        self._pulses_T = torch.zeros(len(keys_T2), dtype=torch.int64, device=where)
        self._saturated_TO = torch.zeros(shape[:2], dtype=torch.int32, device=where)
        self.saturation_known = False  # since the weights were last written by other than pulses
        self._place = Place(Clock(), self._pulses_T, self._saturated_TO, backend.place, {})
        self._places = {0: self._place}  # by which of several updates within one tick
        self._settling, self._resetting, self._learning = Paced(), Paced(), Paced()
        self._findings = backend.findings
        self._kept = Kept()

    @property
    def clock(self) -> Any:
        """The time of updates that are made later."""
        return self._place.clock

    @property
    def waits(self) -> bool:
        """Whether updates are made later."""
        return self._updates is not None

    def pulse_later(self, order: Update, mask_TBO: Any) -> None:
        """Make an update before anybody looks at the weights."""
        from ..machine.cuda.clock import Clock
        from ..pulsed_update.cuda.update import Waiting, placed

        extra = order.pulsing.extra
        if extra not in self._places:  # refreshes have a time of their own
            self._places[extra] = self._place._replace(clock=Clock())
        self._updates.add(Waiting(self.device, placed(order), self._places[extra], mask_TBO))
        self.saturation_known = True

    def settle(self, tick: int, extra: int) -> None:
        """Let devices diffuse and decay, after their updates so far; ``extra``: of their write noise."""
        names = self.changing
        how = {"diffuses": "diffusion_rates" in names, "decays": "decay_scales" in names}
        self._change(self._settling, tick, extra, **how)

    def reset(self, tick: int, mask_TOI: Any, of_reset: int, extra: int) -> None:
        """Reset the devices of the mask, a tensor, after their updates so far; nothing where it has none."""
        import torch

        mask = mask_TOI.to(torch.uint8).contiguous(), mask_TOI.any().to(torch.int32)
        self._change(self._resetting, tick, extra, mask=mask, of_reset=of_reset)

    def update_exactly(self, vectors: Vectors, rate: float, bounded: bool, tick: int, extra: int) -> None:
        """Outer products without pulses, behind the updates so far, where findings are noted."""
        from ..pulsed_update.cuda.exact import outer_products

        word, place = self._findings.word, self._place.finding
        outer = outer_products(vectors, rate, self.kept_TOI, self._kept, word, place)
        self._change(self._learning, tick, extra, outer=outer, bounded=bounded)

    def _change(
        self, time: Paced, tick: int, extra: int, *, diffuses: bool = False, decays: bool = False,
        mask: Any = None, of_reset: int = 0, outer: Any = None, bounded: bool = False,
    ) -> None:  # fmt: skip
        """Launch a change of all devices behind the updates that wait, or now."""
        from .cuda import Changed, Changing, Sizes, change

        tiles, rows, columns = self.kept_TOI.shape
        drawn, none, device = isinstance(self.population, DrawnAnew), self.kept_TOI, self.device
        formula = self._changes if drawn else None
        mask_TOI, some = (none, none) if mask is None else mask
        own = Changing(
            self.kept_TOI, self.seen_TOI, self.population.keys_T2 if drawn else self.population, self.keys_T2,
            self._saturated_TO, self._dynamics.get("diffusion_rates", none),
            self._dynamics.get("decay_scales", none), self._dynamics.get("reset_bias", none), mask_TOI,
            some, time.clock.now,
        )  # fmt: skip
        advance = time.since_last(tick)
        sizes = Sizes(
            rows,
            columns,
            tiles * rows,
            advance,
            of_reset,
            float(np.float32(device.reset)),
            float(np.float32(device.reset_std)),
            float(np.float32(device.write_noise)),
        )
        how = Changed(
            diffuses, decays, mask is not None, "reset_bias" in self.changing, outer is not None, bounded,
            extra if device.write_noise > 0 else -1, drawn,
        )  # fmt: skip

        def launch(findings: Any) -> None:
            time.clock.at(tick, advance)
            change(device, formula, own, sizes, outer, findings, how)

        if self._updates is None:
            launch(self._pulses_T.new_zeros(2))  # nothing is noted, whoever calls is told at once
        else:
            self._updates.then(self._place, launch)
        self.saturation_known = True

    def saturated(self) -> NDArray[np.int64] | None:
        """Devices at a bound, of each tile, as the last step left them; None: nobody counted. A wait."""
        if not self.saturation_known:
            return None
        counted: NDArray[np.int64] = self._saturated_TO.cpu().numpy().sum(axis=1, dtype=np.int64)
        return counted

    def take_saturated(self, saturated_T: NDArray[np.int64]) -> None:
        """Have what somebody counted, until the next step."""
        import torch

        self._saturated_TO.zero_()
        self._saturated_TO[:, 0].copy_(torch.from_numpy(saturated_T))
        self.saturation_known = True

    def pulses(self) -> NDArray[np.int64]:
        """The pulses of all updates that were made later, of each tile: a wait, but for none of them."""
        counted: NDArray[np.int64] = self._pulses_T.cpu().numpy().copy()
        return counted

    def make_updates(self) -> None:
        """Make what waits."""
        if self._updates is not None:
            self._updates.make()

    @property
    def weights(self) -> Any:
        """What a read sees."""
        self.make_updates()
        return self.seen_TOI

    @property
    def draws(self) -> bool:
        """Whether kernels can draw the population."""
        return self._anew is not None

    def take(self, p_TOIP: Array | None, dynamics: dict[str, Array]) -> None:
        """Have a population: ``p_TOIP``, or (None) the one that kernels draw."""
        self.make_updates()
        self.population = self._anew if p_TOIP is None else _on_card(p_TOIP)
        self._dynamics = {name: _on_card(values) for name, values in dynamics.items()}
        self.saturation_known = False

    @property
    def changing(self) -> Set[str]:
        """Names of what changes weights outside of pulses."""
        if isinstance(self.population, DrawnAnew):
            return {*changing_names(self.device)}
        return self._dynamics.keys()

    def dynamics(self) -> dict[str, Array]:
        """What changes weights outside of pulses, on the host."""
        names = changing_names(self.device)
        if isinstance(self.population, DrawnAnew) and names:
            drawn_TOIP = self._drawn(self.population.keys_T2, self._changes, changes_type(names))
            return {name: drawn_TOIP[..., k + 2] for k, name in enumerate(names)}  # behind the bounds
        return {name: fetched(values) for name, values in self._dynamics.items()}

    def parameters(self) -> Array:
        """The population on the host, [T, O, I, P]."""
        if not isinstance(self.population, DrawnAnew):
            return fetched(self.population)
        keys_T2, formula = self.population
        kind: Any = type(self.device)
        return self._drawn(keys_T2, formula, parameters_type(kind))

    def _drawn(self, keys_T2: Any, formula: Any, kind: Any) -> Array:
        """What a formula draws, on the host, [T, O, I, fields of ``kind``]."""
        import torch

        from ..devices.drawn.cuda import population

        size = (*self.kept_TOI.shape, len(kind._fields))
        drawn_TOIP = torch.empty(size, dtype=torch.float32, device=self.kept_TOI.device)
        population(kind, formula, keys_T2, drawn_TOIP)
        return fetched(drawn_TOIP)

    def download(self) -> tuple[Array, Array]:
        """Copies of the kept and of the seen weights; one where they are one."""
        self.make_updates()
        kept_TOI = fetched(self.kept_TOI)
        return kept_TOI, kept_TOI if self.seen_TOI is self.kept_TOI else fetched(self.seen_TOI)

    def upload(self, kept_TOI: Array, seen_TOI: Array) -> None:
        """Take over weights from the host."""
        import torch

        self.saturation_known = False
        self.kept_TOI.copy_(torch.from_numpy(kept_TOI))
        if self.seen_TOI is not self.kept_TOI:
            self.seen_TOI.copy_(torch.from_numpy(seen_TOI))


def _on_card(array: Any) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(array)).to(card(), copy=True)
