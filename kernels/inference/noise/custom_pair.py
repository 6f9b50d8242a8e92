"""A converter whose conductances are tables over the weight."""

from __future__ import annotations

import numpy as np

from ...config import config, field
from ...errors import ConfigError
from .converters import Array, BaseConductanceConverter, ConductanceScale, check_range, largest


@config
class CustomPairConductanceConverter(BaseConductanceConverter):
    """Pairs of devices, each device's conductance a table over the weight, from the least to the largest.

    The tables hold at equally spaced weights; between them conductances are interpolated. A weight is the sum
    of the pairs' differences, each times its factor.
    """

    f_lst: list[float] = field(factory=lambda: [1.0])
    """Factors of the pairs' conductances in the weight, without unit."""
    g_lst: list[list[float]] = field(factory=lambda: [[0.0, 0.0, 25.0], [25.0, 0.0, 0.0]])
    """Conductances in µS of each device, two a pair, at equally spaced weights."""
    g_max: float = field(25.0, above=0.0)
    """Largest conductance of a device in µS."""
    g_min: float = field(0.0, at_least=0.0)
    """Smallest conductance of a device in µS."""
    invertibility_test: bool = field(True)
    """Whether tables that do not give back the weight are refused."""

    def validate(self) -> None:
        name = type(self).__name__
        if len(self.g_lst) != 2 * len(self.f_lst) or not self.f_lst:
            raise ConfigError(
                f"{name}.g_lst has {len(self.g_lst)} tables; it needs two for each of the "
                f"{len(self.f_lst)} factors of f_lst"
            )
        if len({len(table) for table in self.g_lst}) != 1 or len(self.g_lst[0]) < 2:
            raise ConfigError(f"{name}.g_lst needs tables of one length, of two conductances at least")
        check_range(name, self.g_min, self.g_max)
        least, most = min(map(min, self.g_lst)), max(map(max, self.g_lst))
        if least < self.g_min or most > self.g_max:
            raise ConfigError(
                f"{name}.g_lst reaches from {least:g} to {most:g} µS, beyond g_min = {self.g_min:g} and "
                f"g_max = {self.g_max:g} µS; set those to the range of the devices"
            )
        if not self.invertibility_test:
            return
        w = np.linspace(-1.0, 1.0, 5, dtype=np.float32)
        scale = self.scale_of(w)
        again = self.convert_back_to_weights(self.convert_to_conductances(w, scale), scale)
        if np.abs(again - w).max() > 1e-4:
            raise ConfigError(
                f"{name}: weights {w.tolist()} become {again.tolist()}; let the sum of f (g+ - g-) rise "
                "evenly from the least weight to the largest, or set invertibility_test = False"
            )

    def conductances(self) -> int:
        return len(self.g_lst)

    def _sums_us(self) -> Array:
        """Sum of the pairs at each place of the tables."""
        tables = np.array(self.g_lst, np.float32)
        return np.asarray(np.array(self.f_lst, np.float32) @ (tables[::2] - tables[1::2]), np.float32)

    def scale_of(self, w_OI: Array) -> ConductanceScale:
        return ConductanceScale(np.abs(self._sums_us()).max() / largest(w_OI))

    def convert_to_conductances(self, w: Array, scale: ConductanceScale) -> list[Array]:
        end = float(np.abs(self._sums_us()).max())
        places = np.linspace(-end, end, len(self.g_lst[0]))
        return [np.interp(w * scale.ratio_us, places, table).astype(np.float32) for table in self.g_lst]

    def convert_back_to_weights(self, g: list[Array], scale: ConductanceScale) -> Array:
        total = np.zeros_like(g[0])
        for factor, plus, minus in zip(self.f_lst, g[::2], g[1::2], strict=True):
            total += np.float32(factor) * (plus - minus)
        return total / scale.ratio_us
