"""What turns configurations into those of aihwkit's compiled library: there is none here."""

from __future__ import annotations

from typing import Any

from ...missing import absent


def parameters_to_bindings(params: Any, data_type: Any) -> Any:
    """A configuration as it is."""
    return params


__getattr__ = absent(__name__)
