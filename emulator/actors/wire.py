"""The messages between the driver and its tile actors: a msgpack header, then the raw arrays.

A message is a list of frames: the packed header, whose ``"arrays"`` entry describes each array, followed
by one frame an array. Nothing is pickled; large arrays are not copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgpack
import numpy as np
import zmq
from numpy.typing import NDArray

#: below this many bytes a copy is cheaper than zmq's bookkeeping for a shared frame
COPY_BYTES = 65536

#: the types that may cross: float32 tensors, counters and keys
DTYPES = {"f4": np.float32, "f8": np.float64, "i8": np.int64, "i4": np.int32, "u4": np.uint32, "u1": np.uint8}


def pack(header: dict[str, Any], arrays: Sequence[NDArray]) -> list[Any]:
    """The frames of a message."""
    described = [[array.dtype.str[1:], list(array.shape)] for array in arrays]
    for (dtype, _), array in zip(described, arrays, strict=True):
        assert dtype in DTYPES, f"an array of {array.dtype} cannot be sent"
    head = msgpack.packb({**header, "arrays": described})
    return [head, *(np.ascontiguousarray(array).data for array in arrays)]


def unpack(frames: Sequence[Any]) -> tuple[dict[str, Any], list[NDArray]]:
    """The header and arrays of a message; the arrays are read-only views of their frames."""
    header = msgpack.unpackb(memoryview(frames[0]), strict_map_key=False)
    arrays = [
        np.frombuffer(frame, DTYPES[dtype]).reshape(shape)
        for (dtype, shape), frame in zip(header.pop("arrays"), frames[1:], strict=True)
    ]
    return header, arrays


def send(
    socket: zmq.Socket[bytes], header: dict[str, Any], arrays: Sequence[NDArray], flags: int = 0
) -> None:
    """Send one message; large arrays are shared with ZeroMQ until they are on their way.

    Raises:
        zmq.Again: with ``zmq.NOBLOCK``, where the socket is full.
    """
    large = any(array.nbytes > COPY_BYTES for array in arrays)
    socket.send_multipart(pack(header, arrays), flags=flags, copy=not large)
