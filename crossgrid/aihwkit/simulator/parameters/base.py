"""What all RPU configurations can do."""

from __future__ import annotations

import copy
import dataclasses
from enum import Enum
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

    def __str__(self) -> str:
        """Its parts, a line each, with what is not as by default."""
        fields: Any = dataclasses.fields(self)  # type: ignore[arg-type]
        lines = [f"    {spec.name}={_brief(getattr(self, spec.name))}" for spec in fields]
        return f"{type(self).__name__}(\n" + ",\n".join(lines) + "\n)"

    def as_bindings(self) -> Any:
        """A copy: there is no library that would need another form."""
        return copy.deepcopy(self)


def _brief(value: Any) -> str:
    """A configuration's class and the fields that differ from its default; anything else as it is."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_brief, value)) + "]"
    if isinstance(value, Enum):
        return str(value)
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return repr(value)
    changed = [
        f"{spec.name}={_brief(getattr(value, spec.name))}"
        for spec in dataclasses.fields(value)
        if getattr(value, spec.name) != _default(spec)
    ]
    return f"{type(value).__name__}({', '.join(changed)})"


def _default(spec: dataclasses.Field[Any]) -> Any:
    return spec.default if spec.default_factory is dataclasses.MISSING else spec.default_factory()


RPUConfigGeneric = RPUConfigBase

__getattr__ = absent(__name__)
