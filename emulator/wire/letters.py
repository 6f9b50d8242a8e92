"""Messages as bytes: how the protocol of ``tiles/messages.py`` crosses the border of a process.

A letter is a list of frames. The first begins with an envelope of fixed layout, the same in every version of
the protocol, so that whoever sent a letter that cannot be read is told so. Behind it stand the length of a
header, the header in msgpack: the name of the message, its fields, and type and shape of every array; and
the small arrays themselves. Every further frame is a large array, sent without a copy. Nothing is pickled,
and what was received is checked before it is used.
"""

from __future__ import annotations

import functools
import math
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, get_args, get_origin, get_type_hints

import msgspec
import numpy as np
import zmq
from numpy.typing import NDArray

from crossgrid.kernels.errors import InputError

from ..errors import ProtocolError
from ..tiles.messages import VERSION, Count, Failed, fields_of
from ..tiles.values import as_array
from .lent import Lent

#: up to so many bytes an array stands in the first frame: a copy is cheaper than a frame more
COPY_BYTES = 65536

#: the most that a frame, the header, a letter and an array may have; a socket cuts off who announces more
FRAME_BYTES, HEADER_BYTES, FRAMES, AXES = 1 << 32, 1 << 26, 1 << 20, 8

#: an envelope: four letters, version, whether a reply is wanted, how often the actor that sends was
#: restarted, the actor, number of the message
ENVELOPE, MAGIC = struct.Struct("<4sHBBIQ"), b"xgrd"

#: bytes of the header, behind the envelope
LENGTH = struct.Struct("<I")

#: arrays in the first frame begin at multiples of that
ALIGNMENT = 16

DTYPES = {name: np.dtype(name) for name in ("f4", "f8", "i8", "i4", "u4", "u1")}

#: type and shape of arrays
Table: TypeAlias = Sequence[tuple[str, tuple[int, ...]]]

#: name of the message, its fields with an empty entry for each array, and the arrays in their order
_HEADER = msgspec.msgpack.Decoder(
    tuple[str, msgspec.Raw, list[tuple[Literal["f4", "f8", "i8", "i4", "u4", "u1"], tuple[Count, ...]]]]
)


class Letter(NamedTuple):
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
    content = letter.content
    kind: Any = type(content)
    form = _form(kind)
    table: list[tuple[str, tuple[int, ...]]] = []
    small: list[memoryview] = []
    large: list[memoryview] = []
    for name, dtypes in form.arrays:
        for each in getattr(content, name):
            array = as_array(each)
            table.append((array.dtype.str[1:], array.shape))
            if table[-1][0] not in dtypes:
                raise ProtocolError(
                    f"{form.name}.{name} takes arrays of {[*dtypes]}; it has {array.dtype} {array!r:.60}"
                )
            data = array.data if array.flags.c_contiguous else np.ascontiguousarray(array).data
            (small if data.nbytes <= COPY_BYTES else large).append(data)
    if len(table) >= FRAMES or any(data.nbytes > FRAME_BYTES for data in large):
        largest = max(data.nbytes for data in small + large)
        raise InputError(
            f"{form.name} with {len(table)} arrays, the largest of {largest} bytes, cannot be sent: at "
            f"most {FRAMES - 1} arrays of {FRAME_BYTES} bytes can; use smaller batches"
        )
    envelope = ENVELOPE.pack(MAGIC, version, letter.wanted, letter.epoch, letter.sender, letter.number)
    header = msgspec.msgpack.encode((form.name, content, table), enc_hook=_place_of_array)
    parts: list[bytes | memoryview] = [envelope, LENGTH.pack(len(header)), header]
    at = len(envelope) + LENGTH.size + len(header)
    for data in small:
        padding = -at % ALIGNMENT
        parts += bytes(padding), data
        at += padding + data.nbytes
    return [b"".join(parts), *large]


def _place_of_array(value: Any) -> None:
    """What stands for an array among the fields."""
    if not isinstance(value, np.ndarray):
        as_array(value)  # a tensor


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
        return Letter(_content(head, frames, kinds), number, wanted, sender, epoch)
    except ProtocolError as error:
        return Letter(Failed(type(error).__name__, str(error)), number, wanted, sender, epoch)


def _content(head: memoryview, frames: Sequence[Any], kinds: Mapping[str, type]) -> Any:
    start = ENVELOPE.size + LENGTH.size
    size = LENGTH.unpack_from(head, ENVELOPE.size)[0] if len(head) >= start else 0
    if size > min(HEADER_BYTES, len(head) - start):
        raise ProtocolError(
            f"a header of {size} bytes cannot be read in a frame of {len(head)}; at most {HEADER_BYTES} are"
        )
    try:
        name, body, table = _HEADER.decode(head[start : start + size])
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise ProtocolError(f"a header of {size} bytes cannot be read: {error!s:.200}") from error
    kind = kinds.get(name)
    if kind is None:
        raise ProtocolError(f"unknown message {name!r:.80}; known are {', '.join(kinds)}")
    form = _form(kind)
    try:
        content = form.decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise _refusal(kind, body, error) from error
    # the decoder passes over fields that it does not know: a map of so many entries has none
    if memoryview(body)[0] != 0x80 | len(form.fields):
        raise _refusal(kind, body, "other fields")
    arrays = _arrays(name, table, frames, start + size)
    taken = 0
    for field, dtypes in form.arrays:
        values = getattr(content, field)
        first, taken = taken, taken + len(values)
        described = table[first:taken]
        if values.count(None) < len(values) or not all(entry[0] in dtypes for entry in described):
            raise ProtocolError(
                f"{name}.{field} holds {values!r:.80} for arrays {described!r:.80}; it takes {sorted(dtypes)}"
            )
        values[:] = arrays[first:taken]
    if taken != len(arrays):
        raise ProtocolError(f"{name} has fields for {taken} arrays and describes {len(arrays)}")
    return content


def _arrays(name: str, table: Table, frames: Sequence[Any], at: int) -> list[NDArray[Any]]:
    """Views of the frames as the header describes them, once its description is found to be true.

    Small arrays stand one behind the other in the first frame, from ``at`` on.
    """
    arrays, frame = [], 0
    for kind, shape in table:
        dtype = DTYPES[kind]
        if len(shape) > AXES:
            raise ProtocolError(f"{name} describes an array of {len(shape)} axes; at most {AXES} are read")
        size = dtype.itemsize * math.prod(shape)
        most = size or math.prod(max(length, 1) for length in shape)
        if size <= COPY_BYTES:
            memory, offset = frames[0], -(-at // ALIGNMENT) * ALIGNMENT
            at = offset + size
            fits = at <= len(memory)
        else:
            frame += 1
            memory, offset = frames[frame] if frame < len(frames) else b"", 0
            fits = memoryview(memory).nbytes == size
        if not fits or most > FRAME_BYTES:
            raise ProtocolError(
                f"{name} describes an array {kind, shape!r:.80} and its frame has "
                f"{memoryview(memory).nbytes - offset} bytes for it"
            )
        arrays.append(np.ndarray(shape, dtype, memory, offset) if size else np.empty(shape, dtype))
    if at != len(frames[0]) or frame + 1 != len(frames):
        raise ProtocolError(
            f"{name} describes {len(arrays)} arrays and comes with {len(frames[0]) - at} bytes and "
            f"{len(frames) - 1 - frame} frames more"
        )
    return arrays


class _Form(NamedTuple):
    """How one kind of message is written and read."""

    name: str
    fields: list[str]
    decoder: msgspec.msgpack.Decoder[Any]  # holds every field to its annotation
    arrays: list[tuple[str, frozenset[str]]]  # for each field of arrays their types


@functools.cache
def _form(kind: Any) -> _Form:
    hints = get_type_hints(kind, include_extras=True)
    arrays = [
        (name, frozenset(get_args(hints[name])[1].split()))
        for name in fields_of(kind)
        if get_origin(get_args(hints[name])[0] if get_args(hints[name]) else None) is list
    ]
    return _Form(kind.__name__, fields_of(kind), msgspec.msgpack.Decoder(kind), arrays)


def _refusal(kind: type, body: msgspec.Raw, error: object) -> ProtocolError:
    """Which field of a message is wrong, with its value."""
    name, fields = kind.__name__, fields_of(kind)
    try:
        found = msgspec.msgpack.decode(body)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        return ProtocolError(f"{name} cannot be read: {error!s:.200}")
    if not isinstance(found, dict) or {*found} != {*fields}:
        found = [*found] if isinstance(found, dict) else found
        return ProtocolError(f"{name} has fields {found!r:.200}; its fields are {', '.join(fields)}")
    at = re.search(r"\$\.(\w+)", str(error))
    if at is None:
        return ProtocolError(f"{name}: {error!s:.200}")
    field = at[1]
    return ProtocolError(
        f"{name}.{field} = {found[field]!r:.80} is not of type {kind.__annotations__[field]}"
    )


def send(socket: zmq.Socket[bytes], letter: Letter, flags: int = 0) -> int:
    """Send one letter, of so many bytes; large arrays are shared with ZeroMQ until they are on their way.

    Raises:
        zmq.Again: with ``zmq.NOBLOCK``, where the socket is full.
        InputError: an array is larger than a frame may be.
    """
    frames = encode(letter)
    send_frames(socket, frames, flags)
    return bytes_of(frames)


def send_frames(socket: zmq.Socket[bytes], frames: Sequence[Any], flags: int = 0) -> None:
    """Send the frames of a letter, see ``send``."""
    last = len(frames) - 1
    for k, frame in enumerate(frames):
        copy = memoryview(frame).nbytes <= COPY_BYTES  # of an array len() is the first axis
        socket.send(frame, flags | zmq.SNDMORE if k < last else flags, copy=copy)


def bytes_of(frames: Sequence[Any]) -> int:
    """How many bytes a letter has."""
    return sum(memoryview(frame).nbytes for frame in frames)


def receive(socket: zmq.Socket[Any], kinds: Mapping[str, type], lent: Lent) -> Letter:
    """The next letter, one of ``kinds``, see ``receive_frames``."""
    return decode(receive_frames(socket, lent), kinds)


def receive_frames(socket: zmq.Socket[Any], lent: Lent) -> list[Any]:
    """The frames of the next letter; of one with too many the rest is dropped.

    Small frames are copied; large ones are ``lent`` to the arrays that look at them.

    Raises:
        zmq.Again: nothing came within the socket's time.
    """
    lent.give_back()
    frame: Any = socket.recv(copy=False)
    frames: list[Any] = [bytearray(frame.buffer)]
    while frame.more:
        frame = socket.recv(copy=False)
        if len(frames) <= FRAMES:
            small = len(frame) <= COPY_BYTES
            frames.append(bytearray(frame.buffer) if small else lent.memory(frame))
    return frames
