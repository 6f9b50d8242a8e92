"""Arrays or tensors: what a layer's values are, and the few things that differ between the two.

Where tiles share a process with torch, values may be tensors, on a card or not; a tile's own process knows
numpy alone. So torch is never imported here: whoever holds a tensor has loaded it. Neither is numba before
something is read: a driver that only sends holds no kernels.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossgrid.kernels.errors import InputError

from ..errors import ProtocolError


def library(values: Any) -> Any:
    """numpy, or torch for a tensor: what both call alike (``stack``, ``where``, ...) is called through it."""
    return np if isinstance(values, np.ndarray) else sys.modules["torch"]


def are_arrays(values: Sequence[Any]) -> bool:
    """Whether all of them are numpy's."""
    return all(isinstance(each, np.ndarray) for each in values)


def as_array(values: Any) -> NDArray[Any]:
    """The values as an array: of a tensor on this host without a copy."""
    if isinstance(values, np.ndarray):
        return values
    array: NDArray[Any] = values.detach().cpu().numpy()
    return array


def as_kind_of(values: NDArray[Any], other: Any) -> Any:
    """An array as it is, or, where ``other`` is a tensor, as a tensor on its device."""
    return values if isinstance(other, np.ndarray) else library(other).as_tensor(values, device=other.device)


def zeros_beside(other: Any, shape: tuple[int, ...]) -> Any:
    """Zeros, float32, of the kind of ``other`` and where it is: on a card nothing is copied."""
    if isinstance(other, np.ndarray):
        return np.zeros(shape, np.float32)
    return other.new_zeros(shape, dtype=library(other).float32)


def lined_up(blocks: list[Any]) -> Any:
    """Equal blocks, one after the other, along a new first axis: of one tensor a view."""
    if len(blocks) == 1 and not isinstance(blocks[0], np.ndarray):
        return blocks[0][None]
    return stacked(blocks)


def stacked(blocks: list[Any]) -> Any:
    """A copy of equal blocks, one after the other, along a new first axis."""
    if len(blocks) == 1 and isinstance(blocks[0], np.ndarray):
        return blocks[0][None].copy()  # a tenth of the time of a stack
    return library(blocks[0]).stack(blocks)


def require_finite(owner: str, what: str, values: Any) -> None:
    """Refuse NaN and infinity before anything reaches a tile: the one check at the door.

    Raises:
        InputError: how many entries of the ``what`` of ``owner`` are not finite.
    """
    if not isinstance(values, np.ndarray) and values.is_cuda:
        finite = bool(library(values).isfinite(values).all())
    else:
        finite = _all_finite()(np.asarray(as_array(values), np.float32).ravel("K"))
    if not finite:
        host = as_array(values)
        bad = int(host.size - np.isfinite(host).sum())
        raise InputError(
            f"{owner}: {bad} of {host.size} entries of the {what} are NaN or infinite; "
            "a tile's converters need finite numbers: check the data and lower the learning rate"
        )


@functools.cache
def _all_finite() -> Callable[[NDArray[np.float32]], bool]:
    from crossgrid.kernels.finite import all_finite

    return all_finite


def require_widths(
    message: str, layer: str, field: str, values: Sequence[Any], widths: Sequence[int], axes: int
) -> None:
    """An error unless there is a value of each width, all with ``axes`` axes and alike in the others."""
    if len(values) == len(widths) == 1:
        shape = values[0].shape
        if len(shape) == axes and shape[0 if axes == 1 else 1] == widths[0]:
            return
    shapes = [tuple(each.shape) for each in values]
    across = 0 if axes == 1 else 1
    wanted = [(*shapes[0][:across], width, *shapes[0][across + 1 :]) for width in widths] if shapes else []
    if shapes != wanted or len(shapes) != len(widths) or any(len(shape) != axes for shape in shapes):
        raise ProtocolError(
            f"{message} of {layer}: {field} has shapes {shapes!r:.120}; it must be {len(widths)} arrays of "
            f"{axes} axes that differ in axis {across} alone: {[*widths]!r:.80}"
        )
