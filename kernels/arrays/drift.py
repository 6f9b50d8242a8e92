"""Drift of weights that are left alone: w(t) = w_0 ((t - t_w) / t_0)^-nu since the last change at t_w."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..devices.base import Array, DriftParameter, Spread
from ..rng import Stream

if TYPE_CHECKING:
    from .array import DeviceArray


class Drift:
    """When each weight of a device array last changed, and what it was then."""

    def __init__(self, array: DeviceArray, parameter: DriftParameter) -> None:
        self.parameter = parameter
        self.time = 0.0
        self.start_TOI: Array = array.kept_TOI.copy()  # the weight at its last change
        self.left_TOI: Array = array.kept_TOI.copy()  # the weight as the last call left it
        self.since_TOI: Array = np.zeros(array.shape, np.float32)  # the time of the last change

    def advance(self, array: DeviceArray, delta_t: float, tick: int) -> None:
        """Let ``delta_t`` pass. A weight that has changed is only noted; the others drift."""
        own, w_TOI = self.parameter, array.kept_TOI
        self.time += delta_t
        changed = np.abs(w_TOI - self.left_TOI) > np.float32(own.reset_tol)
        np.copyto(self.start_TOI, w_TOI, where=changed)
        np.copyto(self.since_TOI, np.float32(self.time), where=changed)
        elapsed = np.maximum((np.float32(self.time) - self.since_TOI) / np.float32(own.t_0), np.float32(1.0))
        factor = elapsed ** -self._exponent(array, tick)
        offset = np.float32(own.g_offset * own.wg_ratio + own.w_offset)
        drifted = self.start_TOI * factor + offset * (factor - np.float32(1.0))
        if own.w_noise_std > 0.0:
            drifted = drifted + np.float32(own.w_noise_std) * array.draws(Stream.DRIFT, tick=tick).normal(1)
        np.copyto(w_TOI, drifted, where=~changed)
        array.clip()
        self.left_TOI[...] = w_TOI

    def _exponent(self, array: DeviceArray, tick: int) -> Any:
        own, one = self.parameter, np.float32(1.0)
        nu: Any = np.full(array.shape, own.nu, np.float32)
        if own.nu_dtod > 0.0:
            nu = nu * (one + np.float32(own.nu_dtod) * array.draws(Stream.POPULATION).normal(Spread.DRIFT))
        if own.nu_std > 0.0:
            nu = nu * (one + np.float32(own.nu_std) * array.draws(Stream.DRIFT, tick=tick).normal(0))
        if own.nu_k != 0.0:
            conductance = (self.start_TOI - np.float32(own.w_offset)) / np.float32(own.wg_ratio)
            log = np.log(np.maximum(conductance + np.float32(own.g_offset), np.float32(1e-7)))
            nu = nu - np.float32(own.nu_k) * log + np.float32(own.nu_k * own.log_g0)
        return nu

    def state(self) -> dict[str, Any]:
        """Everything that changes."""
        return {
            "drift_time": np.full(len(self.start_TOI), self.time), "drift_start": self.start_TOI,
            "drift_left": self.left_TOI, "drift_since": self.since_TOI,
        }  # fmt: skip

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` gave."""
        self.time = float(np.ravel(state["drift_time"])[0])
        self.start_TOI[...] = state["drift_start"]
        self.left_TOI[...] = state["drift_left"]
        self.since_TOI[...] = state["drift_since"]
