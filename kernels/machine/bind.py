"""One formula, three backends: rebind a plain Python function to numpy, numba or Triton.

Physics is written once, as functions over scalars or arrays that use a module-level name ``m`` for
mathematics (``m.exp``, ``m.maximum``, ``m.where``, ...) and float literals for constants. Rebinding
makes a copy of such a function whose ``m`` is the backend's, and whose literals are float32:

* numpy evaluates it on arrays (the readable reference),
* numba compiles it for scalars inside a loop,
* Triton compiles it for blocks.

A formula may call other formulas: name them in ``uses`` and they are rebound as well.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Formula = Callable[..., Any]


def rebind(formula: Formula, m: Any, uses: Mapping[str, Any] | None = None) -> Formula:
    """A copy of ``formula`` whose global ``m`` is ``m`` and whose other globals are as in ``uses``."""
    assert isinstance(formula, types.FunctionType)
    scope = {**formula.__globals__, "m": m, **(uses or {})}
    copy = types.FunctionType(
        formula.__code__, scope, formula.__name__, formula.__defaults__, formula.__closure__
    )
    copy.__qualname__ = formula.__qualname__
    copy.__module__ = formula.__module__
    return copy


def with_float32_literals(formula: Formula) -> Formula:
    """A copy whose float literals are float32: numba would widen the arithmetic to float64."""
    assert isinstance(formula, types.FunctionType)
    code = formula.__code__
    consts = tuple(np.float32(c) if isinstance(c, float) else c for c in code.co_consts)
    copy = types.FunctionType(
        code.replace(co_consts=consts),
        formula.__globals__,
        formula.__name__,
        formula.__defaults__,
        formula.__closure__,
    )
    copy.__qualname__ = formula.__qualname__
    copy.__module__ = formula.__module__
    return copy
