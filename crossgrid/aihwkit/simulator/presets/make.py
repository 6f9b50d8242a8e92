"""How a preset of this project becomes one with aihwkit's fields."""

from __future__ import annotations

import types
from typing import Any

from crossgrid.kernels.config import config, field

from ..parameters.mapping import MappingParameter
from ..parameters.pre_post import PrePostProcessingParameter
from ..parameters.runtime import RuntimeParameter

HERE = "crossgrid.aihwkit.simulator.presets.configs"
FIELDS = {"mapping": MappingParameter, "pre_post": PrePostProcessingParameter, "runtime": RuntimeParameter}


def preset(published: Any, base: Any) -> Any:
    """The class of configurations ``base`` whose defaults are those of ``published``."""
    names = {"__module__": HERE, "__doc__": str(published.__doc__), "__annotations__": FIELDS}
    names |= {name: field(factory=kind) for name, kind in FIELDS.items()}
    made = types.new_class(published.__name__, (published, base), exec_body=lambda body: body.update(names))
    return config(made)
