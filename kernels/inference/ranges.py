"""Clipping and remapping of trained weights: they use the conductance range, and not more."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from .parameters import WeightClipParameter, WeightClipType, WeightRemapParameter, WeightRemapType

Array = NDArray[np.float32]
UNLIMITED = np.float32(np.inf)


def clip_bound(w_OI: Array, parameter: WeightClipParameter) -> np.float32:
    """The magnitude that one tile's weights are clipped to; infinity: not clipped."""
    fixed = np.float32(parameter.fixed_value)
    if parameter.type == WeightClipType.NONE:
        return UNLIMITED
    if parameter.type == WeightClipType.FIXED_VALUE:
        return fixed if fixed > 0.0 else UNLIMITED
    if parameter.type == WeightClipType.LAYER_GAUSSIAN:
        bound = np.float32(parameter.sigma * np.std(w_OI, ddof=1, dtype=np.float64))
    else:
        bound = np.float32(np.mean(np.max(np.abs(w_OI), axis=1), dtype=np.float64))
    if fixed > 0.0:
        bound = min(bound, fixed)
    return bound if bound > 0.0 else UNLIMITED


def clip_weights(w_TOI: Array, parameter: WeightClipParameter) -> None:
    """Clip each tile's weights [tiles, out, in] in place."""
    for w_OI in w_TOI:
        bound = clip_bound(w_OI, parameter)
        if bound < UNLIMITED:
            np.clip(w_OI, -bound, bound, out=w_OI)


def remap_weights(w_TOI: Array, scales_TO: Array, parameter: WeightRemapParameter) -> None:
    """Rescale weights so that the largest magnitude of a tile or of each of its outputs is
    ``remapped_wmax``, in place; output scales take up the factor: scale * w stays what it was.

    With ``max_scale_range`` no output's scale is above that multiple of the smallest one.
    """
    if parameter.type == WeightRemapType.NONE:
        return
    largest_TO = np.max(np.abs(w_TOI), axis=2)
    if parameter.type == WeightRemapType.LAYERWISE_SYMMETRIC:
        if parameter.max_scale_range > 0.0:
            raise ConfigError(
                "WeightRemapParameter.max_scale_range needs type CHANNELWISE_SYMMETRIC, "
                "not LAYERWISE_SYMMETRIC"
            )
        largest_TO = np.broadcast_to(np.max(largest_TO, axis=1, keepdims=True), largest_TO.shape)
    factor_TO = largest_TO / np.float32(parameter.remapped_wmax)
    new_TO = np.where(factor_TO > 0.0, factor_TO * scales_TO, scales_TO)
    if parameter.max_scale_range > 0.0:
        new_TO = _limited(new_TO, scales_TO, parameter)
    w_TOI *= (scales_TO / new_TO)[:, :, None]
    scales_TO[...] = new_TO


def _limited(new_TO: Array, scales_TO: Array, parameter: WeightRemapParameter) -> Array:
    smallest_T1 = np.min(scales_TO, axis=1, keepdims=True)
    smallest_T1 = np.maximum(smallest_T1, np.float32(parameter.max_scale_ref))
    return np.minimum(new_TO, smallest_T1 * np.float32(parameter.max_scale_range))
