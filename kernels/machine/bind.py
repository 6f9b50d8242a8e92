"""One formula, three backends: rebind a plain Python function to numpy, numba or Triton.

Physics is written once, as functions over scalars or arrays that use a module-level name ``m`` for
mathematics (``m.exp``, ``m.maximum``, ``m.where``, ...) and float literals for constants. Rebinding
makes a copy of such a function whose ``m`` is the backend's, and whose literals are float32:

* numpy evaluates it on arrays (the readable reference),
* numba compiles it for scalars inside a loop,
* Triton compiles it for blocks.

A formula may call others and use named numbers of its module: its ``helpers`` and ``constants``, which a
backend binds in the same way.
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


def helpers(formula: Formula) -> dict[str, Formula]:
    """The formulas that ``formula`` calls, by the names it calls them by."""
    assert isinstance(formula, types.FunctionType)
    called = {name: formula.__globals__.get(name) for name in formula.__code__.co_names}
    return {name: value for name, value in called.items() if isinstance(value, types.FunctionType)}


def constants(formula: Formula) -> dict[str, float]:
    """The named numbers of its module that ``formula`` uses."""
    assert isinstance(formula, types.FunctionType)
    used = {name: formula.__globals__.get(name) for name in formula.__code__.co_names}
    return {name: value for name, value in used.items() if isinstance(value, float)}


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
