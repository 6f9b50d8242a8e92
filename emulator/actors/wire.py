"""Messages as bytes: how the protocol of ``tiles/messages.py`` crosses the border of a process.

A letter is a list of frames. The first is an envelope of fixed layout, the same in every version of the
protocol, so that whoever sent a letter that cannot be read is told so; behind it, in msgpack, stand the name
of the message and its fields, where an array stands as its type and shape. Every further frame is an array.
Nothing is pickled, large arrays are sent without a copy, and what was received is checked before it is used.
"""

from __future__ import annotations

import functools
import math
import struct
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgpack
import numpy as np
import zmq
from numpy.typing import NDArray

from crossgrid.kernels.errors import InputError

from ..errors import ProtocolError
from ..tiles.messages import VERSION, Failed, fields_of
from ..tiles.values import as_array

#: below this many bytes a copy is cheaper than zmq's bookkeeping for a shared frame
COPY_BYTES = 65536

#: the most that a frame, the header, a letter and an array may have; a socket cuts off who announces more
FRAME_BYTES, HEADER_BYTES, FRAMES, AXES = 1 << 32, 1 << 26, 1 << 20, 8

#: an envelope: four letters, version, whether a reply is wanted, how often the actor that sends was
#: restarted, the actor, number of the message
ENVELOPE, MAGIC = struct.Struct("<4sHBBIQ"), b"xgrd"

DTYPES = {name: np.dtype(name) for name in ("f4", "f8", "i8", "i4", "u4", "u1")}

Check = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Letter:
    """A message or a reply on its way between processes."""

    content: Any  # of the protocol; ``Failed`` where it could not be read
    number: int  # of the message, or of the message that this replies to; 0 where it could not be read
    wanted: bool  # whether the sender of the message waits for its reply
    sender: int = 0  # number of the actor that replies
    epoch: int = 0  # how often that actor was restarted, modulo 256: its predecessors are not listened to


def encode(letter: Letter, version: int = VERSION) -> list[Any]:
    """The frames of a letter.

    Raises:
        InputError: an array is larger than a frame may be.
        ProtocolError: an array is of another type than its field.
    """
    content, arrays = letter.content, []
    kind: Any = type(content)
    form = _form(kind)
    body = {name: getattr(content, name) for name in form.fields}
    for name, dtypes in form.arrays:
        described = []
        for each in body[name]:
            array = as_array(each)
            described.append((array.dtype.str[1:], array.shape))
            if described[-1][0] not in dtypes:
                raise ProtocolError(
                    f"{form.name}.{name} takes arrays of {[*dtypes]}; it has {array.dtype} {array!r:.60}"
                )
            arrays.append(array if array.flags.c_contiguous else np.ascontiguousarray(array))
        body[name] = described
    largest = max((array.nbytes for array in arrays), default=0)
    if largest > FRAME_BYTES or len(arrays) >= FRAMES:
        raise InputError(
            f"{form.name} with {len(arrays)} arrays, the largest of {largest} bytes, cannot be sent: at "
            f"most {FRAMES - 1} arrays of {FRAME_BYTES} bytes can; use smaller batches"
        )
    envelope = ENVELOPE.pack(MAGIC, version, letter.wanted, letter.epoch, letter.sender, letter.number)
    head = envelope + msgpack.packb((form.name, body))
    return [head, *(array.data if array.nbytes else b"" for array in arrays)]


def decode(frames: Sequence[Any], kinds: Mapping[str, type]) -> Letter:
    """The letter of ``frames``, one of ``kinds``; arrays are views of their frames.

    What cannot be read is a letter too: its content is ``Failed`` and says why.
    """
    number, wanted, sender, epoch = 0, False, 0, 0
    try:
        head = memoryview(frames[0]) if frames else memoryview(b"")
        if len(head) < ENVELOPE.size or head[:4] != MAGIC:
            raise ProtocolError(f"{len(head)} bytes from {bytes(head[:8])!r} on are no message of crossgrid")
        _, version, wish, epoch, sender, number = ENVELOPE.unpack_from(head)
        wanted = wish == 1
        if version != VERSION:
            raise ProtocolError(
                f"a message of the protocol's version {version} cannot be read here, where it has version "
                f"{VERSION}: install one version of crossgrid on all nodes"
            )
        return Letter(_content(head[ENVELOPE.size :], frames[1:], kinds), number, wanted, sender, epoch)
    except ProtocolError as error:
        return Letter(Failed(type(error).__name__, str(error)), number, wanted, sender, epoch)


def _content(header: memoryview, frames: Sequence[Any], kinds: Mapping[str, type]) -> Any:
    if len(header) > HEADER_BYTES:
        raise ProtocolError(f"a header of {len(header)} bytes is refused; at most {HEADER_BYTES} are read")
    try:
        name, body = msgpack.unpackb(header, strict_map_key=False, use_list=False)
        kind = kinds.get(name)
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        raise ProtocolError(f"a header of {len(header)} bytes cannot be read: {error!r:.200}") from error
    if kind is None or not isinstance(body, dict):
        raise ProtocolError(f"unknown message {name!r:.80}; known are {', '.join(kinds)}")
    form = _form(kind)
    if body.keys() != form.fields.keys():
        raise ProtocolError(f"{name} has fields {[*body]!r:.200}; its fields are {', '.join(form.fields)}")
    for field, check in form.checks:
        if not check(body[field]):
            raise ProtocolError(
                f"{name}.{field} = {body[field]!r:.80} is not of type {_written(kind, field)}"
            )
    taken = 0
    for field, dtypes in form.arrays:
        described = body[field]
        if type(described) is not tuple or len(described) > len(frames) - taken:
            raise ProtocolError(
                f"{name}.{field} describes {described!r:.80} and has {len(frames) - taken} frames for it"
            )
        own = frames[taken : taken + len(described)]
        body[field] = [
            _array(name, field, entry, frame, dtypes) for entry, frame in zip(described, own, strict=True)
        ]
        taken += len(described)
    if taken != len(frames):
        raise ProtocolError(f"{name} describes {taken} arrays and comes with {len(frames)}")
    return kind(**body)


def _array(name: str, field: str, entry: Any, frame: Any, dtypes: frozenset[str]) -> NDArray[Any]:
    """A view of a frame as the header describes it, once its description is found to be true."""
    if not _describes_an_array(entry) or entry[0] not in dtypes:
        raise ProtocolError(
            f"{name}.{field} has an array {entry!r:.80}; it takes one of {sorted(dtypes)} and a shape"
        )
    dtype, shape, size = DTYPES[entry[0]], entry[1], memoryview(frame).nbytes
    most = math.prod(shape) or math.prod(max(length, 1) for length in shape)
    if math.prod(shape) * dtype.itemsize != size or len(shape) > AXES or most > FRAME_BYTES:
        raise ProtocolError(f"{name}.{field} describes an array {entry!r:.80} and its frame has {size} bytes")
    return np.ndarray(shape, dtype, frame) if size else np.empty(shape, dtype)


class _Form(NamedTuple):
    """How one kind of message is written and read."""

    name: str
    fields: dict[str, None]  # their names, in order
    checks: list[tuple[str, Check]]  # for each field without arrays how to check a value that was received
    arrays: list[tuple[str, frozenset[str]]]  # for each other one the types of its arrays


@functools.cache
def _form(kind: Any) -> _Form:
    hints = get_type_hints(kind, include_extras=True)
    fields = [(name, _check_of(hints[name])) for name in fields_of(kind)]
    return _Form(
        kind.__name__,
        dict.fromkeys(name for name, _ in fields),
        [(name, check) for name, check in fields if not isinstance(check, frozenset)],
        [(name, check) for name, check in fields if isinstance(check, frozenset)],
    )


def _check_of(hint: Any) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        if get_origin(inner[0]) is list:
            return frozenset(inner[1].split())
        return lambda value: type(value) is int and 0 <= value < 1 << 63
    if origin in (Union, types.UnionType):
        if len(inner) == 2 and type(None) in inner:
            present = _check_of(inner[0] if inner[1] is type(None) else inner[1])
            return lambda value: value is None or present(value)
        options = [_check_of(option) for option in inner]
        return lambda value: any(option(value) for option in options)
    if origin is tuple and inner[-1] is Ellipsis:
        item = _check_of(inner[0])
        return lambda value: type(value) is tuple and all(map(item, value))
    if origin is tuple:
        items = [_check_of(each) for each in inner]
        return lambda value: (
            type(value) is tuple
            and len(value) == len(items)
            and all(check(each) for check, each in zip(items, value, strict=True))
        )
    if origin is dict:
        key, of_key = (_check_of(each) for each in inner)
        return lambda value: type(value) is dict and all(map(key, value)) and all(map(of_key, value.values()))
    if hint is float:
        return lambda value: type(value) is float and math.isfinite(value)
    if hint is int:
        return lambda value: type(value) is int and abs(value) < 1 << 63
    return lambda value: type(value) is hint  # bool, str and None


def _describes_an_array(entry: Any) -> bool:
    """Whether ``entry`` is the name of a type and a shape: written out, as every array is asked."""
    return (
        type(entry) is tuple
        and len(entry) == 2
        and type(entry[0]) is str
        and type(entry[1]) is tuple
        and all(type(length) is int and 0 <= length < 1 << 63 for length in entry[1])
    )


def _written(kind: type, field: str) -> str:
    """The annotation of a field as it stands in the protocol's file."""
    annotation: str = kind.__annotations__[field]
    return annotation


def send(socket: zmq.Socket[bytes], letter: Letter, flags: int = 0) -> None:
    """Send one letter; large arrays are shared with ZeroMQ until they are on their way.

    Raises:
        zmq.Again: with ``zmq.NOBLOCK``, where the socket is full.
        InputError: an array is larger than a frame may be.
    """
    send_frames(socket, encode(letter), flags)


def send_frames(socket: zmq.Socket[bytes], frames: Sequence[Any], flags: int = 0) -> None:
    """Send the frames of a letter, see ``send``."""
    last = len(frames) - 1
    for k, frame in enumerate(frames):
        copy = memoryview(frame).nbytes <= COPY_BYTES  # of an array len() is the first axis
        socket.send(frame, flags | zmq.SNDMORE if k < last else flags, copy=copy)


def receive(socket: zmq.Socket[Any], kinds: Mapping[str, type]) -> Letter:
    """The next letter, one of ``kinds``; of one with too many frames the rest is dropped.

    Frames are copied: one of ZeroMQ's, whenever it is let go, swallows a signal that arrives just then.

    Raises:
        zmq.Again: nothing came within the socket's time.
    """
    frame: Any = socket.recv(copy=False)
    frames = [bytearray(frame.buffer)]
    while frame.more:
        frame = socket.recv(copy=False)
        if len(frames) <= FRAMES:
            frames.append(bytearray(frame.buffer))
    return decode(frames, kinds)
