"""A device array's state on a CUDA card; the host keeps none of it.

Pulses run on the card. The rest (writing, reset, decay, diffusion, drift) is rare and is done on the host, by
the same code as everywhere, on copies that go back at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..card import card
from ..devices.base import Array, PulsedDevice
from ..pulsed_update.arguments import DrawnAnew


class Resident:
    """Tensors [T, O, I] on the card.

    ``kept_TOI`` and ``seen_TOI`` are one tensor where there is no write noise. A population that kernels can
    draw from its address is not kept: ``population`` is then a ``DrawnAnew``, else a tensor [T, O, I, P].
    """

    def __init__(
        self, device: PulsedDevice, keys_T2: Any, population_keys_T2: Any, size_OI: tuple[int, int]
    ) -> None:
        import torch

        from ..devices.drawn.cuda import formula_of

        shape, where = (len(keys_T2), *size_OI), card()
        self.device = device
        self.keys_T2 = _on_card(keys_T2.view(np.int32))
        self.kept_TOI = torch.zeros(shape, dtype=torch.float32, device=where)
        self.seen_TOI = self.kept_TOI.clone() if device.write_noise > 0 else self.kept_TOI
        formula = formula_of(device)
        same = population_keys_T2 is keys_T2
        keys = self.keys_T2 if same else _on_card(population_keys_T2.view(np.int32))
        self._anew = None if formula is None else DrawnAnew(keys, formula)
        self.population: Any = self._anew
        self._dynamics: dict[str, Any] = {}

    @property
    def draws(self) -> bool:
        """Whether kernels can draw the population."""
        return self._anew is not None

    def take(self, p_TOIP: Array | None, dynamics: dict[str, Array]) -> None:
        """Have a population: ``p_TOIP``, or (None) the one that kernels draw."""
        self.population = self._anew if p_TOIP is None else _on_card(p_TOIP)
        self._dynamics = {name: _on_card(values) for name, values in dynamics.items()}

    def dynamics(self) -> dict[str, Array]:
        """What changes weights outside of pulses, on the host."""
        return {name: _on_host(values) for name, values in self._dynamics.items()}

    def parameters(self) -> Array:
        """The population on the host, [T, O, I, P]."""
        if not isinstance(self.population, DrawnAnew):
            return _on_host(self.population)
        import torch

        from ..devices.drawn.cuda import population

        size = (*self.kept_TOI.shape, len(self.device.parameters))
        p_TOIP = torch.empty(size, dtype=torch.float32, device=self.kept_TOI.device)
        population(self.device, self.population.formula, self.population.keys_T2, p_TOIP)
        return _on_host(p_TOIP)

    def download(self) -> tuple[Array, Array]:
        """Copies of the kept and of the seen weights; one where they are one."""
        kept_TOI = _on_host(self.kept_TOI)
        return kept_TOI, kept_TOI if self.seen_TOI is self.kept_TOI else _on_host(self.seen_TOI)

    def upload(self, kept_TOI: Array, seen_TOI: Array) -> None:
        """Take over weights from the host."""
        import torch

        self.kept_TOI.copy_(torch.from_numpy(kept_TOI))
        if self.seen_TOI is not self.kept_TOI:
            self.seen_TOI.copy_(torch.from_numpy(seen_TOI))


def _on_card(array: Any) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(array)).to(card(), copy=True)


def _on_host(tensor: Any) -> Array:
    """A copy, also where the card is the host, under the interpreter."""
    import torch

    copied: Array = tensor.to(torch.device("cpu"), copy=True).numpy()
    return copied
