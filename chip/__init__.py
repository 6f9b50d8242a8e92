"""Chips: what they are, how a model is mapped onto one, what that costs and how it looks."""

from .description.converters import converted_by
from .description.load import load_chip, presets
from .description.spec import Chip
from .mapping.cutting import blocks_of_layer, cut
from .mapping.mapper import map_layers
from .plan.layer_shape import OUTSIDE, Convolution, Join, LayerShape
from .plan.plan import Block, MappingPlan, TileAddress

__all__ = [
    "OUTSIDE",
    "Block",
    "Chip",
    "Convolution",
    "Join",
    "LayerShape",
    "MappingPlan",
    "TileAddress",
    "blocks_of_layer",
    "converted_by",
    "cut",
    "load_chip",
    "map_layers",
    "presets",
]
