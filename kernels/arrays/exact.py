"""The cell of exact, digital weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend, Cuda
from ..card import card
from ..devices.exact import FloatingPointDevice
from ..pulsed_update.arguments import Vectors
from .cell import Array, Keys, Population, UpdateCounts, check_finite, checked_vectors, fetched


class ExactCell:
    """Weights that follow w <- w - rate d x exactly."""

    granularity = 0.0

    def __init__(
        self, device: FloatingPointDevice, _parameters: Any, keys_T2: Keys, out_size: int, in_size: int,
        backend: Backend,
    ) -> None:  # fmt: skip
        self.device, self.backend = device, backend
        self._host_TOI: Array = np.zeros((len(keys_T2), out_size, in_size), np.float32)
        self._there: Any = None  # the weights on a card, until somebody writes to them here
        self._newer_there = False
        self._kept: Any = None  # indices that are on the card already

    @property
    def weights(self) -> Any:
        """W_TOI float32; a tensor on a card where the backend is on one."""
        if not self.backend.on_card:
            return self._host_TOI
        if self._there is None:
            import torch

            self._there = torch.from_numpy(self._host_TOI).to(card(), copy=True)
        return self._there

    @property
    def host_TOI(self) -> Array:
        """The weights on the host: a wait where a card has newer ones."""
        if self._newer_there:
            self._host_TOI[...], self._newer_there = fetched(self._there), False
        return self._host_TOI

    def to_write(self, here: bool = True) -> Any:
        """The weights for whoever writes to them before anybody reads again: on the host, or on the card."""
        if not here:
            there, self._newer_there = self.weights, True
            return there
        host_TOI, self._there = self.host_TOI, None
        return host_TOI

    def update(
        self, x_XBI: Any, x_of_T: Any, d_DBO: Any, d_of_T: Any, learning_rate: float, tick: int
    ) -> UpdateCounts:
        """Add every vector's outer product."""
        vectors = checked_vectors(x_XBI, x_of_T, d_DBO, d_of_T, self._host_TOI.shape)
        if isinstance(self.backend, Cuda) and self.backend.late:
            self._update_there(vectors, learning_rate, self.backend)
            return UpdateCounts(np.zeros(len(self._host_TOI), np.int64))
        x_XBI, d_DBO = vectors.on_host()
        check_finite(x_XBI, d_DBO)
        self.backend.pulsed_update.update_exactly(
            self.to_write(), None, x_XBI, vectors.x_of_T, d_DBO, vectors.d_of_T,
            np.float32(learning_rate),
        )  # fmt: skip
        return UpdateCounts(np.zeros(len(self._host_TOI), np.int64))

    def _update_there(self, vectors: Vectors, learning_rate: float, backend: Cuda) -> None:
        """The same on a card, which notes what is not finite; nobody waits for it."""
        from ..machine.cuda.kept import Kept
        from ..pulsed_update.cuda.exact import collect, outer_products

        w_TOI, word, rate = self.weights, backend.findings.word, float(np.float32(learning_rate))
        self._kept = self._kept or Kept()
        collect(w_TOI, outer_products(vectors, rate, w_TOI, self._kept, word, backend.place), word)
        self._newer_there = True

    def set_weights(self, w_TOI: Array) -> None:
        """Write weights."""
        self.to_write()[...] = w_TOI

    def saturated(self) -> NDArray[np.int64]:
        """Digital weights have no bounds: zero for each tile."""
        return np.zeros(len(self._host_TOI), np.int64)

    def state(self) -> dict[str, Any]:
        """The weights."""
        return {"kept": self.host_TOI}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` gave."""
        self.to_write()[...] = state["kept"]

    def hidden_parameters(self) -> dict[str, Array]:
        """Nothing is drawn."""
        return {}

    def collected(self) -> dict[str, Any]:
        """Nothing is collected."""
        return {}

    def populations(self) -> dict[str, Population]:
        """There are no devices."""
        return {}

    def reset(self, tick: int, columns: slice = slice(None), probability: float = 1.0) -> None:
        """Set the weights of ``columns`` to zero."""
        if probability >= 1.0:
            self.to_write()[:, :, columns] = 0.0

    def drift(self, delta_t: float, tick: int) -> None:
        """Digital weights do not drift."""
