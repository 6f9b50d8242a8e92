"""Chips: what they are, how a model is mapped onto one, what that costs and how it looks."""

from .converters import converted_by
from .mapper import map_layers
from .plan import OUTSIDE, Block, Convolution, Join, LayerShape, MappingPlan, TileAddress
from .spec import Chip, load_chip, presets
from .strategies import cut

__all__ = [
    "OUTSIDE",
    "Block",
    "Chip",
    "Convolution",
    "Join",
    "LayerShape",
    "MappingPlan",
    "TileAddress",
    "converted_by",
    "cut",
    "load_chip",
    "map_layers",
    "presets",
]
