"""The cell of one pulsed device a crosspoint."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend
from ..devices.base import PulsedDevice
from ..pulsed_update.parameters import UpdateParameters
from .array import DeviceArray
from .cell import Array, Keys, Population, UpdateCounts, checked_vectors


class SingleDeviceCell:
    """One device a crosspoint."""

    def __init__(
        self, device: PulsedDevice, parameters: UpdateParameters, keys_T2: Keys, out_size: int, in_size: int,
        backend: Backend,
    ) -> None:  # fmt: skip
        self.parameters = parameters
        self.array = DeviceArray(device, keys_T2, out_size, in_size, backend)
        self.granularity = self.array.granularity

    @property
    def weights(self) -> Any:
        """W_TOI float32, what the analog product sees."""
        return self.array.weights

    def update(
        self, x_XBI: Any, x_of_T: Any, d_DBO: Any, d_of_T: Any, learning_rate: float, tick: int,
        mask_TBO: Any = None,
    ) -> UpdateCounts:  # fmt: skip
        """Pulse the vectors in order, then diffusion and decay; ``mask_TBO``: see ``DeviceArray.pulse``."""
        vectors = checked_vectors(x_XBI, x_of_T, d_DBO, d_of_T, self.array.shape)
        pulses_T = self.array.pulse(vectors, self.parameters, learning_rate, tick, mask_TBO=mask_TBO)
        self.array.end_of_batch(tick + max(vectors.batch - 1, 0))
        return UpdateCounts(pulses_T)

    def set_weights(self, w_TOI: Array) -> None:
        """Write weights, clipped to the bounds."""
        self.array.set_weights(np.asarray(w_TOI, np.float32))

    def saturated(self) -> NDArray[np.int64]:
        """Devices at a bound, of each tile."""
        return self.array.saturated()

    def state(self) -> dict[str, Any]:
        """Everything that changes."""
        return self.array.state()

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` gave."""
        self.array.load_state(state)

    def hidden_parameters(self) -> dict[str, Array]:
        """The drawn population by name."""
        return self.array.hidden_parameters()

    def collected(self) -> dict[str, Any]:
        """Nothing but devices."""
        return {}

    def populations(self) -> dict[str, Population]:
        """The devices, by the name that a given population has in the state."""
        return self.array.populations()

    def reset(self, tick: int, columns: slice = slice(None), probability: float = 1.0) -> None:
        """Reset devices of ``columns``, each with ``probability``."""
        self.array.reset(tick, columns, probability)

    def drift(self, delta_t: float, tick: int) -> None:
        """Let ``delta_t`` pass."""
        self.array.drift(delta_t, tick)
