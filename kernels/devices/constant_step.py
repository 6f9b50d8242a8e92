"""Devices whose step does not depend on the state."""

from __future__ import annotations

from typing import Any, ClassVar

from ..config import config
from ..rng import numpy_math as m
from .base import PulsedDevice


@config
class ConstantStepDevice(PulsedDevice):
    """Every pulse moves the weight by the same amount, up to noise (Gokmen and Vlasov, 2016)."""

    aggregates: ClassVar[bool] = True

    @staticmethod
    def step(w: Any, up: Any, n: Any, xi: Any, p: Any, c: Any) -> Any:
        """n pulses of one vector at once: s (n + sigma sqrt(n) xi), clipped once, after them all.

        The sum of n independent normals is exact; what is left out is the clipping between the
        pulses of one vector, which can only matter within n steps of a bound.
        """
        size = n + c[0] * m.sqrt(n) * xi
        moved = m.where(up, w + p.dwmin_up * size, w - p.dwmin_down * size)
        return m.minimum(m.maximum(moved, p.min_bound), p.max_bound)
