"""The state of an analog matrix in ``state_dict``: tensors only, under torch's names.

Beside the weight, which is under its own name, stands ``<tiles>.state``: bytes (uint8) of a msgpack header
and of the tiles' arrays. The header holds a digest of the weight. On loading, the tiles' own state counts
where the weight beside it is the one that it was saved with; otherwise (a digital checkpoint, a weight that
was edited, averaged or rounded) the weight is written to the devices.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgpack
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossgrid.kernels.errors import ConfigError

from ..analog_matrix.pulsed import PulsedTiles
from ..analog_matrix.weights import digest_of, matrix_of

if TYPE_CHECKING:
    from .matrix import AnalogMatrix

VERSION = 1


def save_matrix(matrix: AnalogMatrix, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
    """Add the tiles' state to ``destination``, and the numbers of a weight that only the tiles hold."""
    spec, key = matrix.grid.spec, prefix + matrix.weight_name
    if isinstance(matrix.analog_tile, PulsedTiles) and not keep_vars and not matrix.number:
        destination[key] = matrix.whole()
    w_OI = matrix_of(spec, matrix.part(destination[key])) if key in destination else matrix.matrix_weights()
    plain, arrays = matrix.analog_tile.changing()
    plain = {"version": VERSION, "digest": digest_of(w_OI), **plain}
    destination[f"{prefix}{matrix.tiles_path}.state"] = packed(plain, arrays)


def load_matrix(matrix: AnalogMatrix, state_dict: dict[str, Any], prefix: str, errors: list[str]) -> None:
    """Take a matrix's weight and its tiles' state out of ``state_dict``; put the scales that fit them in."""
    spec, below = matrix.grid.spec, f"{prefix}{matrix.tiles_path}."
    weight, saved = state_dict.get(prefix + matrix.weight_name), state_dict.pop(f"{below}state", None)
    stale = set()
    if isinstance(weight, Tensor):
        wanted = tuple(matrix.parameter.shape)
        if tuple(weight.shape) != wanted:
            if not matrix.number:  # one error for a stack
                errors.append(
                    f"size mismatch for {prefix}{matrix.weight_name}: copying a param with shape "
                    f"{tuple(weight.shape)} from checkpoint, the shape in current model is {wanted}."
                )
            return
        weight = matrix.part(weight)
        w_OI = matrix_of(spec, weight)
        plain, arrays = (None, {}) if saved is None else unpacked(spec.name, saved)
        if plain is not None:
            matrix.analog_tile.take(plain, arrays)
        if plain is None or plain["digest"] != digest_of(w_OI):
            matrix.set_weights(weight)
            stale = {f"{below}out_scale.mapping", f"{below}out_scale.learned"}
    own = {below + name: value for name, value in matrix.analog_tile.state_dict().items()}
    state_dict.update({key: v for key, v in own.items() if key in stale or key not in state_dict})


def packed(plain: dict[str, Any], arrays: Mapping[str, NDArray]) -> Tensor:
    """Plain values and arrays as one tensor of bytes: the header's length, the header, the arrays."""
    table = [[name, a.dtype.str, [*a.shape]] for name, a in arrays.items()]
    header = msgpack.packb({"plain": plain, "arrays": table})
    pieces = [len(header).to_bytes(8, "little"), header, *(np.ascontiguousarray(a) for a in arrays.values())]
    flat = [np.frombuffer(piece, np.uint8) if isinstance(piece, bytes) else _bytes(piece) for piece in pieces]
    return torch.from_numpy(np.concatenate(flat))


def unpacked(name: str, saved: Any) -> tuple[dict[str, Any], dict[str, NDArray]]:
    """What ``packed`` was given; copies.

    Raises:
        ConfigError: these are other bytes.
    """
    try:
        flat = torch.as_tensor(saved).cpu().to(torch.uint8).numpy()
        start = 8 + int.from_bytes(flat[:8].tobytes(), "little")
        header = msgpack.unpackb(flat[8:start].tobytes())
        plain: dict[str, Any] = header["plain"]
        if plain["version"] != VERSION:
            raise ValueError(f"version {plain['version']}, only {VERSION} can be read here")
        arrays = {}
        for key, dtype, shape in header["arrays"]:
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            arrays[key] = np.frombuffer(flat[start : start + size].tobytes(), dtype).reshape(shape).copy()
            start += size
    except (KeyError, TypeError, ValueError, msgpack.UnpackException) as error:
        raise ConfigError(f"{name}: the state of its tiles cannot be read: {error!r}") from error
    return plain, arrays


def _bytes(array: NDArray) -> NDArray[np.uint8]:
    return array.reshape(-1).view(np.uint8)
