"""The cell of exact, digital weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend
from ..card import card
from ..devices.exact import FloatingPointDevice
from .cell import Array, Keys, Population, UpdateCounts, check_finite, checked_vectors


class ExactCell:
    """Weights that follow w <- w - rate d x exactly."""

    granularity = 0.0

    def __init__(
        self, device: FloatingPointDevice, _parameters: Any, keys_T2: Keys, out_size: int, in_size: int,
        backend: Backend,
    ) -> None:  # fmt: skip
        self.device, self.backend = device, backend
        self.host_TOI: Array = np.zeros((len(keys_T2), out_size, in_size), np.float32)

    @property
    def weights(self) -> Any:
        """W_TOI float32; a tensor on a card where the backend is on one."""
        if not self.backend.on_card:
            return self.host_TOI
        import torch

        return torch.from_numpy(self.host_TOI).to(card())

    def update(
        self, x_XBI: Any, x_of_T: Any, d_DBO: Any, d_of_T: Any, learning_rate: float, tick: int
    ) -> UpdateCounts:
        """Add every vector's outer product."""
        vectors = checked_vectors(x_XBI, x_of_T, d_DBO, d_of_T, self.host_TOI.shape)
        x_XBI, d_DBO = vectors.on_host()
        check_finite(x_XBI, d_DBO)
        self.backend.pulsed_update.update_exactly(
            self.host_TOI, None, x_XBI, vectors.x_of_T, d_DBO, vectors.d_of_T,
            np.float32(learning_rate),
        )  # fmt: skip
        return UpdateCounts(np.zeros(len(self.host_TOI), np.int64))

    def set_weights(self, w_TOI: Array) -> None:
        """Write weights."""
        self.host_TOI[...] = w_TOI

    def saturated(self) -> NDArray[np.int64]:
        """Digital weights have no bounds: zero for each tile."""
        return np.zeros(len(self.host_TOI), np.int64)

    def state(self) -> dict[str, Any]:
        """The weights."""
        return {"kept": self.host_TOI}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` gave."""
        self.host_TOI[...] = state["kept"]

    def hidden_parameters(self) -> dict[str, Array]:
        """Nothing is drawn."""
        return {}

    def populations(self) -> dict[str, Population]:
        """There are no devices."""
        return {}

    def reset(self, tick: int, columns: slice = slice(None), probability: float = 1.0) -> None:
        """Set the weights of ``columns`` to zero."""
        if probability >= 1.0:
            self.host_TOI[:, :, columns] = 0.0

    def drift(self, delta_t: float, tick: int) -> None:
        """Digital weights do not drift."""
