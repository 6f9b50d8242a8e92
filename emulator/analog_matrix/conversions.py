"""Between torch's tensors and the float32 arrays that tiles read."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crossgrid.kernels.card import card
from crossgrid.kernels.errors import InputError

_card = functools.cache(card)

#: torch's names of images with their channels last, by the number of axes
CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}

LONG = 4096  # numbers in a row: far more than numpy's loop costs


def as_array(x: Tensor) -> np.ndarray:
    """The tensor's values as a float32 array, without a copy where possible; images' channels may be last."""
    require_numbers(x)
    x = x.detach()
    if x.dtype is not torch.float32 or not x.is_cpu:
        x = x.to("cpu", torch.float32)
    if x.is_contiguous():
        return x.numpy()
    layout = CHANNELS_LAST.get(x.dim())
    if layout is not None and x.is_contiguous(memory_format=layout):
        return x.numpy()
    return x.contiguous().numpy()


def is_there(x: Tensor, takes_tensors: bool) -> bool:
    """Whether a tensor is where tiles of this process's card take it as it is; see ``as_values``."""
    return takes_tensors and not x.is_meta and x.device.type == _card().type


def as_values(x: Tensor, takes_tensors: bool) -> Any:
    """What tiles are given to read: the tensor itself where it is on a card, else its values as an array.

    ``takes_tensors``: whether the tiles compute on this process's card.
    """
    if not (is_there(x, takes_tensors) or x.is_cuda):
        return as_array(x)
    x = x.detach().to(torch.float32)
    return x if x.dim() > 2 else x.contiguous()


def as_tensor(values: Any, like: Tensor) -> Tensor:
    """What tiles answered, of the type and on the device of a tensor, without a copy where possible."""
    x = torch.from_numpy(values) if isinstance(values, np.ndarray) else values
    return x if like.dtype is torch.float32 and like.device == x.device else x.to(like.device, like.dtype)


def as_images(rows: Any, positions: tuple[int, ...]) -> Any:
    """Images y[B, out, *positions] of rows y[B x positions, out], an array or a tensor: a view."""
    images = rows.reshape(-1, *positions, rows.shape[1])
    if isinstance(rows, np.ndarray):
        return images.transpose(0, images.ndim - 1, *range(1, images.ndim - 1))
    return images.movedim(-1, 1)


def long_rows(y_BO: np.ndarray, of_output: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Several rows of y[B, out] as one, and a number of each output for them: numpy's loops run along rows.

    Views of y; y itself where its rows do not follow one another.
    """
    batch, size = y_BO.shape
    if not y_BO.flags.c_contiguous:
        return y_BO, of_output
    count = math.gcd(batch, 1 << max(LONG // size, 1).bit_length() - 1)
    return y_BO.reshape(batch // count, count * size), of_output[None].repeat(count, 0).reshape(-1)


def as_rows(images: Tensor) -> Tensor:
    """Rows y[B x positions, out] of images y[B, out, *positions]: a view where channels are stored last."""
    return images.movedim(1, -1).reshape(-1, images.shape[1])


def require_numbers(x: Tensor) -> None:
    """An error for a tensor that has a shape only."""
    if x.is_meta:
        raise InputError(
            "a tensor on the meta device holds no numbers, and analog tiles compute with them; give the "
            "model its weights (to_empty(device='cpu'), load_state_dict) before it is converted"
        )


def each_output(scale: Tensor, out_size: int) -> np.ndarray:
    """A factor of all outputs, or of each, as one of each [out]."""
    return np.ascontiguousarray(np.broadcast_to(as_array(scale), (out_size,)))
