"""What all RPU configurations can do."""

from __future__ import annotations

import copy
from typing import Any

from ...missing import absent


class RPUConfigBase:
    """The methods of a configuration: which tiles are made with it, and how large they may be."""

    __slots__ = ()

    mapping: Any
    runtime: Any

    @property
    def tile_class(self) -> Any:
        """The class of its tiles."""
        from ..tiles.classes import tile_class_of

        return tile_class_of(self)

    @property
    def tile_array_class(self) -> Any:
        """The class of an array of tiles that hold one matrix."""
        from ..tiles.array import TileModuleArray

        return TileModuleArray

    def get_default_tile_module_class(self, out_size: int = 0, in_size: int = 0) -> Any:
        """A tile's class, or that of an array where W[out_size, in_size] is larger than one tile."""
        limits = self.mapping.max_output_size, self.mapping.max_input_size
        if any(limit > 0 and size > limit for limit, size in zip(limits, (out_size, in_size), strict=True)):
            return self.tile_array_class
        return self.tile_class

    def create_tile(self, *args: Any, **kwargs: Any) -> Any:
        """A tile of this configuration."""
        return self.tile_class(*args, rpu_config=self, **kwargs)

    def compatible_with(self, tile_class_name: str) -> bool:
        """Whether a state that a tile of that class saved can be loaded."""
        return tile_class_name == self.tile_class.__name__

    def as_bindings(self) -> Any:
        """A copy: there is no library that would need another form."""
        return copy.deepcopy(self)


RPUConfigGeneric = RPUConfigBase

__getattr__ = absent(__name__)
