"""How a signed weight is split over the conductances of its crosspoint, and back.

All conductances are in µS. A converter first looks at a whole tile (``scale_of``), then converts any
part of it: the scale maps the tile's largest weight to the largest conductance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...config import Config, config, field
from ...errors import ConfigError

Array = NDArray[np.float32]
ZERO = np.float32(0.0)
SMALLEST_W_MAX = np.float32(1e-7)  # a tile of zeros is mapped as if this were its largest weight


@dataclass(frozen=True, slots=True)
class ConductanceScale:
    """What ties the weights of one tile to its conductances."""

    ratio_us: np.float32  # µS for a weight of 1
    w_min: np.float32 = ZERO  # the weight at g_min, of single devices


@config
class BaseConductanceConverter(Config):
    """Base of all converters: override the three methods."""

    def conductances(self) -> int:
        """Number of conductances of a crosspoint."""
        raise NotImplementedError

    def scale_of(self, w_OI: Array) -> ConductanceScale:
        """The scale of one tile's weights."""
        raise NotImplementedError

    def convert_to_conductances(self, w: Array, scale: ConductanceScale) -> list[Array]:
        """The target conductances of weights ``w``."""
        raise NotImplementedError

    def convert_back_to_weights(self, g: list[Array], scale: ConductanceScale) -> Array:
        """The weights that conductances ``g`` stand for."""
        raise NotImplementedError


def check_range(converter: str, g_min: float, g_max: float) -> None:
    """Refuse a conductance range that is empty."""
    if g_min >= g_max:
        raise ConfigError(f"{converter}.g_min = {g_min:g} µS must be below g_max = {g_max:g} µS")


def largest(w_OI: Array) -> np.float32:
    """The largest magnitude, at least ``SMALLEST_W_MAX``."""
    return np.float32(max(np.max(w_OI), -np.min(w_OI), SMALLEST_W_MAX))


@config
class SinglePairConductanceConverter(BaseConductanceConverter):
    """Two devices: one for positive, one for negative weights; the unused one is at ``g_min``."""

    g_max: float = field(25.0, above=0.0)
    """Largest conductance that a weight adds in µS."""
    g_min: float = field(0.0, at_least=0.0)
    """Conductance of a weight of 0 in µS."""

    def validate(self) -> None:
        check_range("SinglePairConductanceConverter", self.g_min, self.g_max)

    def conductances(self) -> int:
        return 2

    def scale_of(self, w_OI: Array) -> ConductanceScale:
        return ConductanceScale(np.float32(self.g_max - self.g_min) / largest(w_OI))

    def convert_to_conductances(self, w: Array, scale: ConductanceScale) -> list[Array]:
        g, g_max, g_min = w * scale.ratio_us, np.float32(self.g_max), np.float32(self.g_min)
        return [np.clip(g, ZERO, g_max) + g_min, np.clip(-g, ZERO, g_max) + g_min]

    def convert_back_to_weights(self, g: list[Array], scale: ConductanceScale) -> Array:
        return (g[0] - g[1]) / scale.ratio_us


@config
class NPairConductanceConverter(BaseConductanceConverter):
    """Several pairs of significance ``f_lst``: a pair is used when those before it are at ``g_max``."""

    f_lst: list[float] = field(factory=lambda: [1.0])
    """Factors of the pairs' conductances in the weight, from the least to the most significant pair, without
    unit."""
    g_max: float = field(25.0, above=0.0)
    """Largest conductance of a device in µS."""
    g_min: float = field(0.0, at_least=0.0)
    """Smallest conductance of a device in µS."""

    def validate(self) -> None:
        check_range("NPairConductanceConverter", self.g_min, self.g_max)
        if not 1 <= len(self.f_lst) <= 8 or min(self.f_lst) <= 0.0:
            raise ConfigError(
                f"NPairConductanceConverter.f_lst = {self.f_lst} must hold 1 to 8 factors above 0, one a pair"
            )

    def conductances(self) -> int:
        return 2 * len(self.f_lst)

    def scale_of(self, w_OI: Array) -> ConductanceScale:
        range_us = sum(self.f_lst) * (self.g_max - self.g_min)
        return ConductanceScale(np.float32(range_us) / largest(w_OI))

    def convert_to_conductances(self, w: Array, scale: ConductanceScale) -> list[Array]:
        g_us, g_max, g_min = w * scale.ratio_us, np.float32(self.g_max), np.float32(self.g_min)
        span, used, pairs = self.g_max - self.g_min, 0.0, []
        for factor in self.f_lst:
            for side in (g_us, -g_us):
                rest = np.maximum(side, ZERO) - np.float32(used)
                pairs.append(np.clip(rest / np.float32(factor) + g_min, g_min, g_max))
            used += factor * span
        return pairs

    def convert_back_to_weights(self, g: list[Array], scale: ConductanceScale) -> Array:
        total = np.zeros_like(g[0])
        for factor, plus, minus in zip(self.f_lst, g[::2], g[1::2], strict=True):
            total += np.float32(factor) * (plus - minus)
        return total / scale.ratio_us


@config
class SingleDeviceConductanceConverter(BaseConductanceConverter):
    """One device: the tile's range of weights becomes the range of conductances."""

    g_max: float = field(88.2, above=0.0)
    """Conductance of the tile's largest weight in µS."""
    g_min: float = field(9.0, at_least=0.0)
    """Conductance of the tile's smallest weight in µS."""

    def validate(self) -> None:
        check_range("SingleDeviceConductanceConverter", self.g_min, self.g_max)

    def conductances(self) -> int:
        return 1

    def scale_of(self, w_OI: Array) -> ConductanceScale:
        w_min, w_max = np.min(w_OI), np.max(w_OI)
        span = max(w_max - w_min, SMALLEST_W_MAX)
        return ConductanceScale(np.float32(self.g_max - self.g_min) / np.float32(span), np.float32(w_min))

    def convert_to_conductances(self, w: Array, scale: ConductanceScale) -> list[Array]:
        return [(w - scale.w_min) * scale.ratio_us + np.float32(self.g_min)]

    def convert_back_to_weights(self, g: list[Array], scale: ConductanceScale) -> Array:
        return (g[0] - np.float32(self.g_min)) / scale.ratio_us + scale.w_min
