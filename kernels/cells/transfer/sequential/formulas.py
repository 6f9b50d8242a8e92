"""What a digital buffer and a running reference do with a read, for numpy and numba (``machine/bind.py``)."""

from __future__ import annotations

from typing import Any

from ....rng import numpy_math as m


def whole_steps(held: Any, step: Any, most: Any) -> Any:
    """Steps that a buffer of value ``held`` releases: the whole ones towards 0, at most ``most``."""
    ratio = m.divide(held, step)
    whole = m.where(ratio >= 0.0, m.floor(ratio), m.ceil(ratio))
    return m.minimum(m.maximum(whole, -most), most)


def left_in_buffer(held: Any, steps: Any, step: Any, momentum: Any, forget: Any, cap: Any) -> Any:
    """What a buffer holds after it has released ``steps``: nothing changes where it releases none.

    ``forget``: a fraction ``momentum`` of its value stays, else all that was not released, and ``momentum``
    of what was, limited to ``cap`` (<= 0: no limit).
    """
    rest = held - (1.0 - momentum) * steps * step
    limited = m.where(cap > 0.0, m.minimum(m.maximum(rest, -cap), cap), rest)
    released = m.where(forget, held * momentum, limited)
    return m.where(steps != 0.0, released, held)


def running_mean(mean: Any, value: Any, rate: Any) -> Any:
    """An exponential average."""
    return mean * (1.0 - rate) + value * rate


def running_size(mean: Any, size: Any, rate: Any) -> Any:
    """An exponential average of sizes that starts at the first one and passes over zeros."""
    return m.where(mean <= 0.0, size, m.where(size <= 0.0, mean, running_mean(mean, size, rate)))
