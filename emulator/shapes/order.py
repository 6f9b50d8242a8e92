"""Whether an operation hands values on as they come, or needs all of them first.

Pixels of an image and tokens of a text are made one after the other. What is elementwise, looks at a window,
or normalizes the values of one position keeps their order; a product of two results, a mean over positions, a
roll does not. Where values lie matters too: features are the second dimension for a convolution, the last for
a matrix, so one that reads the transpose (an MLP-mixer's) needs all positions for its first vector.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_WINDOWS = ("max_pool", "avg_pool", "adaptive_max_pool", "adaptive_avg_pool", "_adaptive_avg_pool")

#: of ATen's operations those that keep the order, besides elementwise ones and views
_IN_ORDER = frozenset(
    {
        "cat", "stack", "clone", "copy_", "_to_copy", "_unsafe_view", "_reshape_alias", "native_dropout",
        "native_layer_norm", "_fused_rms_norm", "native_batch_norm", "_native_batch_norm_legit_no_training",
        "cudnn_batch_norm", "constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "replication_pad2d",
        "embedding", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "repeat", "lift_fresh",
        "bernoulli", "bernoulli_", "im2col", "col2im",
    }
)  # fmt: skip

#: reductions: along the features of a position they keep the order of positions
_REDUCING = frozenset(
    {
        "mean", "sum", "amax", "amin", "var", "std", "var_mean", "linalg_vector_norm", "_softmax",
        "_log_softmax",
    }
)  # fmt: skip


def pools(operation: str, read: Tensor, made: Tensor) -> bool:
    """Whether an operation pools windows of an image: what is left is smaller, but more than one value."""
    windows = operation.startswith(_WINDOWS)
    return windows and read.dim() > 2 and 1 < made.shape[-1] < read.shape[-1]


def mixes(func: Any, args: tuple[Any, ...], features_last: bool) -> bool:
    """Whether a result's first positions need all positions of what ATen's ``func`` reads."""
    operation = func.overloadpacket.__name__
    if func.is_view or torch.Tag.pointwise in func.tags or operation in _IN_ORDER:
        return False
    if operation.startswith((*_WINDOWS, "upsample")):
        return False
    if operation not in _REDUCING or len(args) < 2 or not isinstance(args[0], Tensor):
        return True
    axes = args[1] if isinstance(args[1], (list, tuple)) else (args[1],)
    feature = args[0].dim() - 1 if features_last else 1
    return any(not isinstance(axis, int) or axis % args[0].dim() != feature for axis in axes) or not axes


def turns(func: Any, args: tuple[Any, ...]) -> bool:
    """Whether a view moves the last dimension elsewhere."""
    operation, read = func.overloadpacket.__name__, args[0] if args else None
    if not isinstance(read, Tensor) or read.dim() < 2:
        return False
    last = read.dim() - 1
    if operation in ("t", "mT", "numpy_T"):
        return True
    if operation == "transpose":
        axes = {axis % read.dim() for axis in args[1:3]}
        return last in axes and len(axes) == 2
    return bool(operation == "permute" and args[1][-1] % read.dim() != last)
