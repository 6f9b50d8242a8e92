"""The state of an analog matrix in ``state_dict``: tensors only, under torch's names.

Beside the weight, which is under its own name, stands ``<tiles>.state``: bytes (uint8) of a msgpack header
and of the tiles' arrays. The header holds a digest of the weight. On loading, the tiles' own state counts
where the weight beside it is the one that it was saved with; otherwise (a digital checkpoint, a weight that
was edited, averaged or rounded) the weight is written to the devices.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

import msgpack
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossgrid.kernels.errors import ConfigError

from ..analog_matrix.pulsed import PulsedTiles
from ..analog_matrix.weights import digest_of, is_digest_of
from ..disk.arrays import Kind, StoredArray
from ..hosts.grid import Ticks

if TYPE_CHECKING:
    from .matrix import AnalogMatrix

#: versions that are read; the last one is written. Digests of large weights are of pieces since the second
VERSIONS = (1, 2)

#: types of the arrays that tiles have, as numpy writes them
DTYPES: tuple[str, ...] = get_args(Kind)

#: bytes that a header may have at most
HEADER_BYTES = 1 << 24


#: arrays of a state by name: here, or in the parts of a saved run
Arrays: TypeAlias = Mapping[str, NDArray[Any] | StoredArray]

#: what changes in the tiles of a matrix, as a run that is being saved has it: written where they are
Writer: TypeAlias = "Callable[[AnalogMatrix], tuple[dict[str, Any], Arrays]]"

_WRITER: ContextVar[Writer | None] = ContextVar("writer", default=None)


@dataclass(frozen=True, slots=True)
class SavedTiles:
    """The state of an analog matrix in a saved run, in the place of a tensor of bytes.

    The numbers of a weight that only the tiles hold are not saved beside it.
    """

    plain: dict[str, Any]
    arrays: Arrays


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in a part of a saved run that another process wrote."""

    dtype: str
    shape: tuple[int, ...]
    digest: bytes  # of the part
    part_bytes: int
    start: int
    nbytes: int
    writer: int  # the number of that process: all of its tensors are in one part


@contextlib.contextmanager
def written_by(writer: Writer) -> Iterator[None]:
    """Within it ``state_dict`` has a ``SavedTiles`` of each matrix, of what ``writer`` gives."""
    token = _WRITER.set(writer)
    try:
        yield
    finally:
        _WRITER.reset(token)


def save_matrix(matrix: AnalogMatrix, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
    """Add the tiles' state to ``destination``, and the numbers of a weight that only the tiles hold."""
    spec, key, writer = matrix.grid.spec, prefix + matrix.weight_name, _WRITER.get()
    if writer is not None:  # beside the weight in one saved run: nobody edits it there
        plain, arrays = writer(matrix)
        saved = SavedTiles({"version": VERSIONS[-1], "digest": b"", **plain}, arrays)
        destination[f"{prefix}{matrix.tiles_path}.state"] = saved
        for name in (matrix.weight_name, matrix.bias_name if spec.bias_column else "") if spec.learns else ():
            destination.pop(prefix + name, None)
        return
    if isinstance(matrix.analog_tile, PulsedTiles) and not keep_vars and not matrix.number:
        destination[key] = matrix.whole()
        if spec.bias_column:
            destination[prefix + matrix.bias_name] = matrix.whole_bias()
    bias = destination.get(prefix + matrix.bias_name)
    w_OI = (
        matrix.joined(matrix.part(destination[key]), bias) if key in destination else matrix.matrix_weights()
    )
    plain, held = matrix.changing()
    plain = {"version": VERSIONS[-1], "digest": digest_of(w_OI), **plain}
    destination[f"{prefix}{matrix.tiles_path}.state"] = packed(plain, held)


def load_matrix(matrix: AnalogMatrix, state_dict: dict[str, Any], prefix: str, errors: list[str]) -> None:
    """Take a matrix's weight and its tiles' state out of ``state_dict``; put the scales that fit them in."""
    spec, below = matrix.grid.spec, f"{prefix}{matrix.tiles_path}."
    weight, saved = state_dict.get(prefix + matrix.weight_name), state_dict.pop(f"{below}state", None)
    bias = _column_bias(matrix, state_dict, prefix, errors)
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
        w_OI = matrix.joined(weight, bias)
        plain, arrays = (None, {}) if saved is None else unpacked(spec.name, saved)
        if plain is not None:
            if ("programmed" in plain) is spec.learns:
                raise ConfigError(f"{spec.name}: the saved state is of another kind of tiles; convert alike")
            matrix.analog_tile.take(plain, arrays)
        fits = isinstance(saved, SavedTiles) or (plain is not None and is_digest_of(plain["digest"], w_OI))
        if not fits:
            matrix.set_weights(weight, bias)
            stale = {f"{below}out_scale.mapping", f"{below}out_scale.learned"}
    elif saved is not None and matrix.weight_name not in matrix.layer._parameters and not spec.learns:
        plain, arrays = unpacked(spec.name, saved)  # of a weight that is computed: by those that are loaded
        if "programmed" in plain:
            matrix.analog_tile.take(plain, arrays)
    elif isinstance(saved, SavedTiles) and spec.learns and "programmed" not in saved.plain:
        matrix.analog_tile.take(saved.plain, saved.arrays)
        state_dict.setdefault(prefix + matrix.weight_name, matrix.parameter)  # it is there
        if spec.bias_column:
            state_dict.setdefault(prefix + matrix.bias_name, matrix.bias)
    elif bias is not None and spec.learns:
        matrix.set_weights(matrix.whole(), bias)
    own = {below + name: value for name, value in matrix.analog_tile.state_dict().items()}
    state_dict.update({key: v for key, v in own.items() if key in stale or key not in state_dict})


def _column_bias(
    matrix: AnalogMatrix, state_dict: dict[str, Any], prefix: str, errors: list[str]
) -> Tensor | None:
    """The bias in ``state_dict`` of a matrix whose tiles hold it; None: it stays as it is."""
    key = prefix + matrix.bias_name
    bias = state_dict.get(key) if matrix.grid.spec.bias_column else None
    if not isinstance(bias, Tensor):
        return None
    wanted = (matrix.grid.spec.out_size,)
    if tuple(bias.shape) == wanted:
        return bias
    if matrix.grid.spec.learns:  # torch tells of the others itself
        errors.append(
            f"size mismatch for {key}: copying a param with shape {tuple(bias.shape)} from checkpoint, the "
            f"shape in current model is {wanted}."
        )
    return None


def packed(plain: dict[str, Any], arrays: Mapping[str, NDArray]) -> Tensor:
    """Plain values and arrays as one tensor of bytes: the header's length, the header, the arrays."""
    header = packed_header(plain, arrays)
    pieces: list[Any] = [len(header).to_bytes(8, "little"), header]
    pieces += arrays.values()
    flat = [np.frombuffer(each, np.uint8) if isinstance(each, bytes) else as_bytes(each) for each in pieces]
    return torch.from_numpy(np.concatenate(flat))


def header_bytes(flat: NDArray[np.uint8]) -> int:
    """How many bytes of what ``packed`` gave stand before the arrays."""
    return 8 + int.from_bytes(flat[:8].tobytes(), "little")


def unpacked(name: str, saved: Any) -> tuple[dict[str, Any], Arrays]:
    """What ``packed`` was given; copies.

    Raises:
        ConfigError: these are other bytes.
    """
    if isinstance(saved, SavedTiles):
        return saved.plain, saved.arrays
    try:
        if not isinstance(saved, Tensor) or saved.dtype is not torch.uint8 or saved.dim() != 1:
            raise ValueError("it is no tensor of bytes")
        flat = saved.cpu().numpy()
        start = header_bytes(flat)
        if start > min(len(flat), HEADER_BYTES):
            raise ValueError(f"a header of {start} bytes")
        plain, table = unpacked_header(flat[8:start].tobytes())
        arrays = {}
        for key, dtype, shape in table:
            size = math.prod(shape) * np.dtype(dtype).itemsize
            if size > len(flat) - start:
                raise ValueError(f"{size} bytes of {key!r:.40}, {len(flat) - start} are left")
            arrays[key] = np.frombuffer(flat[start : start + size].tobytes(), dtype).reshape(shape).copy()
            if arrays[key].dtype.kind == "f" and not np.isfinite(arrays[key]).all():
                raise ValueError(f"{key!r:.40} holds NaN or infinite numbers")
            start += size
        if start != len(flat):
            raise ValueError(f"{len(flat) - start} bytes too many")
    except (KeyError, TypeError, ValueError, RecursionError, msgpack.UnpackException) as error:
        raise ConfigError(f"{name}: the state of its tiles cannot be read: {error!r:.200}") from error
    return plain, arrays


def packed_header(plain: dict[str, Any], arrays: Arrays) -> bytes:
    """Plain values, and name, type and shape of each array."""
    kinds = {n: a.kind if isinstance(a, StoredArray) else a.dtype.str for n, a in arrays.items()}
    table = [[name, kinds[name], [*array.shape]] for name, array in arrays.items()]
    header: bytes = msgpack.packb({"plain": plain, "arrays": table})
    return header


def unpacked_header(data: bytes) -> tuple[dict[str, Any], list[tuple[str, Any, tuple[int, ...]]]]:
    """What ``packed_header`` was given.

    Raises:
        KeyError, TypeError, ValueError, RecursionError, msgpack.UnpackException: these are other bytes.
    """
    header, table = msgpack.unpackb(data), []
    for key, dtype, shape in header["arrays"]:
        if not isinstance(key, str) or dtype not in DTYPES or not all(map(_is_count, shape)):
            raise ValueError(f"an array {key!r:.40} {dtype!r:.20} {shape!r:.80}")
        table.append((key, dtype, tuple(shape)))
    return _checked(header["plain"]), table


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _checked(plain: Any) -> dict[str, Any]:
    """The plain values of a state, each of its type; an error where one is not."""
    if plain["version"] not in VERSIONS:
        known = " and ".join(map(str, VERSIONS))
        raise ValueError(f"version {plain['version']!r:.40}, only {known} can be read here")
    sound = isinstance(plain["digest"], bytes) and _is_count(plain["key"])
    sound = sound and len(plain["ticks"]) == len(fields(Ticks)) and all(map(_is_count, plain["ticks"]))
    sound = sound and all(len(block) == 2 and all(map(_is_count, block)) for block in plain["blocks"])
    if "programmed" in plain:
        sound = sound and _is_count(plain["modifier_tick"]) and _is_count(plain["programmings"])
        if plain["programmed"] is not None:
            tick, digest, drifts, seconds = plain["programmed"]
            sound = sound and _is_count(tick) and isinstance(digest, bytes) and _is_count(drifts)
            sound = sound and (seconds is None or (type(seconds) is float and 0 <= seconds < math.inf))
    if not sound:
        raise ValueError(f"its plain values are {plain!r:.120}")
    checked: dict[str, Any] = plain
    return checked


def as_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of an array."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
