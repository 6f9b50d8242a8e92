"""Samples of every message and reply, and ways to spoil the frames of one."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np

from crossgrid.emulator.disk.arrays import StoredArray
from crossgrid.emulator.tiles.messages import (
    Backward,
    Counters,
    Done,
    Drift,
    Failed,
    Forget,
    Forward,
    Largest,
    LetPass,
    Loaded,
    LoadSnapshot,
    LoadState,
    LoadStored,
    LookAtStored,
    Parts,
    Peers,
    Process,
    Program,
    ReadParts,
    ReadSnapshot,
    ReadState,
    ReadWeights,
    Saved,
    SaveState,
    Snapshot,
    State,
    Stats,
    Stop,
    Sums,
    Totals,
    Update,
    Usage,
    Weights,
    WriteStored,
    WriteWeights,
)
from crossgrid.emulator.tiles.stored import Stored
from crossgrid.emulator.wire.letters import ENVELOPE, LENGTH, MAGIC, Letter, encode

X = np.arange(12, dtype=np.float32).reshape(2, 6)
D = np.arange(8, dtype=np.float32).reshape(2, 4)
W = np.arange(24, dtype=np.float32).reshape(4, 6) / 100
LARGE = np.ones((200, 100), np.float32)  # too large for the first frame
NAMES = ((0, "cell.kept"), (0, "cell.writes"))
STORED = Stored("/data/model.safetensors", 4096, 128, "BF16", (4, 6))
HELD = [W, np.array(3, np.int64)]
DIGEST = bytes(range(32))
PLACES = (
    StoredArray("/data/run", DIGEST, 104, 0, "<f4", (4, 6)),
    StoredArray("/r", DIGEST, 104, 96, "<i8", ()),
)

REQUESTS: list[Any] = [
    Forward(0, 5, None, False, None, None, 1.0, None, [X]),
    Forward(0, 5, 3, True, 7, (0, 2), 1.0, None, [X, X[:, :3]]),
    Backward(0, 5, 3, 4, True, None, [D], [D[0]]),
    Backward(0, 5, 3, None, False, None, [D], []),
    Update(0, 5, 0.1, ((3, 4), (5, 6))),
    Forget(0, ((3, None), (4, 5))),
    ReadWeights(0),
    WriteWeights(0, (0,), [W]),
    Program(0, (0,), [W], 2),
    Drift(0, (0,), [W], 2, 1e4, 1),
    LookAtStored(0, STORED, None),
    WriteStored(0, STORED, STORED, 2, (1e4, 1), [D[0]]),
    WriteStored(0, STORED, None, None, None, []),
    LetPass(0, 2, 10.0),
    ReadState(0),
    LoadState(0, NAMES, HELD),
    SaveState(0, "/data/run", ".writing-1"),
    LoadStored(0, NAMES, PLACES, (DIGEST,)),
    ReadSnapshot(0),
    LoadSnapshot(0, NAMES, HELD, ("pass/3/x/0",), [X]),
    Stats(0),
    Forward(0, 5, None, False, None, None, 1.0, (7, 5), [X]),
    Peers(0, ((0, 2, 3), (1, 0, 3)), ((0, 1, 2),), ((0, "ipc:///a", b""), (1, "tcp://10.0.0.1:5", b"key"))),
    Parts(0, 7, True, (0, 0), (1, 2), [D, D]),
    ReadParts(0, 7),
    Process(),
    Stop(),
    WriteWeights(0, (0, 1, 2), [W, LARGE, W[:0]]),
]
REPLIES: list[Any] = [
    Done(),
    Failed("InputError", "x holds NaN"),
    Sums((0, 1), (-1, 3), [D, D], (2,), [np.ones((2, 4), np.uint8)]),
    Totals((0, 1), [D, D]),
    Weights((0, 7), [W, W[:1]]),
    State(NAMES, HELD),
    Saved(NAMES, ("<f4", "<i8"), ((4, 6), ()), DIGEST, 104),
    Loaded(True),
    Snapshot(NAMES, HELD, ("stats/0/pulses",), [np.ones(2, np.int64)]),
    Counters({0: {"pulses": 3.0, "forward_seconds": 0.5}}),
    Largest((0, 3), [D[0], D[1]]),
    Usage(4321, 0.25),
]


def letter(content: Any, number: int = 1) -> Letter:
    """A letter that wants a reply, or is one."""
    return Letter(content, number, True)


def with_header(frames: list[Any], change: Callable[[list[Any]], Any]) -> list[Any]:
    """The frames with another header: ``change`` gets [name, fields, arrays] as lists."""
    body = msgpack.unpackb(header_of(frames), strict_map_key=False)
    return [with_raw_header(frames, msgpack.packb(change(body) or body)), *frames[1:]]


def header_of(frames: list[Any]) -> bytes:
    """The header in msgpack: [name, fields, arrays]."""
    head, start = bytes(frames[0]), ENVELOPE.size + LENGTH.size
    return head[start : start + LENGTH.unpack_from(head, ENVELOPE.size)[0]]


def with_raw_header(frames: list[Any], header: bytes) -> bytes:
    """The first frame with these bytes as its header; the arrays stand behind it as before."""
    head = bytes(frames[0])
    end = ENVELOPE.size + LENGTH.size + len(header_of(frames))
    start = head[: ENVELOPE.size] + LENGTH.pack(len(header)) + header
    arrays = head[-(-end // 16) * 16 :]
    return start + bytes(-len(start) % 16) + arrays if arrays else start


def with_field(frames: list[Any], name: str, value: Any) -> list[Any]:
    """The frames with another value of a field."""
    return with_header(frames, lambda body: body[1].__setitem__(name, value))


def with_array(frames: list[Any], kind: str, shape: list[Any]) -> list[Any]:
    """The frames with another description of their only array."""
    return with_header(frames, lambda body: body[2].__setitem__(0, [kind, shape]))


def without_field(frames: list[Any], name: str) -> list[Any]:
    """The frames without a field."""
    return with_header(frames, lambda body: body[1].__delitem__(name) or None)


def malformed(number: int) -> dict[str, tuple[list[Any], str]]:
    """Spoiled messages with that number: the frames, and words of the refusal."""
    return spoiled_fields(number) | spoiled_frames(number) | unfitting(number)


def spoiled_fields(number: int) -> dict[str, tuple[list[Any], str]]:
    """Messages whose header can be read, and is not what the protocol says."""
    good = encode(letter(REQUESTS[0], number))
    update = encode(letter(REQUESTS[4], number))
    state = encode(letter(LoadState(0, NAMES, HELD), number))
    return {
        "unknown operation": (with_header(good, lambda b: ["Explode", *b[1:]]), "unknown message 'Explode'"),
        "a reply": (encode(letter(Done(), number)), "unknown message 'Done'"),
        "no map": (with_header(good, lambda b: [b[0], 7, b[2]]), r"Forward has fields 7; its fields are"),
        "a name that is none": (with_header(good, lambda b: [[1], *b[1:]]), "cannot be read: Expected `str`"),
        "missing field": (without_field(good, "tick"), "has fields .*its fields are layer, tick"),
        "extra field": (with_field(good, "gain", 2.0), "has fields .*gain"),
        "a float for a number": (with_field(good, "tick", 1.5), "Forward.tick = 1.5 is not of type Count"),
        "a negative tick": (with_field(good, "tick", -1), "Forward.tick = -1"),
        "a tick of 64 bits": (with_field(good, "tick", 1 << 63), "Forward.tick = 9223372036854775808"),
        "true for a number": (with_field(good, "layer", True), "Forward.layer = True"),
        "a number for a truth": (with_field(good, "learn", 1), "Forward.learn = 1 is not of type bool"),
        "a rate that is none": (with_field(update, "learning_rate", float("nan")), "learning_rate = nan"),
        "a rate beyond all": (with_field(update, "learning_rate", float("-inf")), "learning_rate = -inf"),
        "passes that are no pairs": (with_field(update, "passes", [[3]]), "Update.passes"),
        "passes by name": (with_field(update, "passes", "all"), "Update.passes = 'all'"),
        "a shape that lies": (with_array(good, "f4", [1 << 40]), "its frame has 0 bytes"),
        "a shape of nothing": (with_array(good, "f4", [1 << 62, 0]), "its frame has 48 bytes"),
        "a shape of too much": (with_array(good, "f4", [1 << 62, 1 << 62]), "its frame has 0 bytes"),
        "a shape of many axes": (with_array(good, "f4", [2] * 100_000), "an array of 100000 axes; at most 8"),
        "a negative shape": (with_array(good, "f4", [-2, -6]), "cannot be read: Expected `int` >= 0"),
        "another type": (with_array(good, "i4", [2, 6]), r"Forward.x .*it takes \['f4'\]"),
        "a type of objects": (with_array(good, "O", [2, 6]), "cannot be read: Invalid enum value 'O'"),
        "no description": (with_header(good, lambda b: [*b[:2], [[]]]), "cannot be read: Expected `array`"),
        "an array too few": (with_header(good, lambda b: [*b[:2], []]), r"comes with \d\d bytes"),
        "an array in a field": (with_field(good, "x", [[1.0]]), r"Forward.x holds \[\[1.0\]\] for arrays"),
        "a field of more arrays": (with_field(good, "x", [None] * 2), "has fields for 2 arrays"),
        "names without arrays": (with_field(state, "names", [[0, "a"]]), "names 1 arrays and holds 2"),
    }


def spoiled_frames(number: int) -> dict[str, tuple[list[Any], str]]:
    """Messages of which something is missing, or to which something was added."""
    good = encode(letter(REQUESTS[0], number))
    large = encode(letter(WriteWeights(0, (0,), [LARGE]), number))
    head = bytes(good[0])
    envelope = head[: ENVELOPE.size]
    begun = head[: ENVELOPE.size + LENGTH.size + 9]
    return {
        "frame missing": (large[:1], "describes an array .* and its frame has 0 bytes"),
        "frame too many": ([*good, b"1234"], "comes with 0 bytes and 1 frames more"),
        "frame too short": ([large[0], bytes(large[1])[:-4]], f"its frame has {LARGE.nbytes - 4} bytes"),
        "array too short": ([head[:-4]], "its frame has 44 bytes"),
        "array too long": ([head + b"1234"], "comes with 4 bytes and 0 frames more"),
        "no header": ([envelope], "a header of 0 bytes cannot be read"),
        "half a header": ([begun], r"cannot be read in a frame of 33"),
        "less than a header": ([with_raw_header(good, begun[-9:])], "a header of 9 bytes cannot be read"),
        "more than a header": ([with_raw_header(good, header_of(good) + b"\x01")], "cannot be read"),
        "a header that lies": ([with_raw_header(good, b"\xdd\xff\xff\xff\xff")], "cannot be read"),
        "a map that lies": ([with_raw_header(good, b"\x93\xa7Forward\xdf" + b"\xff" * 4)], "cannot be read"),
        "a header too deep": ([with_raw_header(good, b"\x91" * 100_000)], "cannot be read"),
        "a field too deep": (
            [with_raw_header(good, b"\x93\xa7Forward\x87" + b"\xa1a" + b"\x91" * 100_000)], "cannot be read",
        ),
    }  # fmt: skip


def unfitting(number: int) -> dict[str, tuple[list[Any], str]]:
    """Messages that a layer of pulsed tiles 6 -> 4 refuses."""
    good = encode(letter(REQUESTS[0], number))
    return {
        "an unknown layer": (with_field(good, "layer", 9), "layer 9 is not hosted here"),
        "a wider input": (
            encode(letter(Forward(0, 0, None, False, None, None, 1.0, None, [D]), number)),
            r"\(2, 4\)",
        ),
        "a flat input": (
            encode(letter(Forward(0, 0, None, False, None, None, 1.0, None, [X[0]]), number)),
            r"\(6,\)",
        ),
        "an input too many": (
            encode(letter(Forward(0, 0, None, False, None, None, 1.0, None, [X, X]), number)),
            "must be 1 arrays of 2 axes",
        ),
        "columns that are elsewhere": (
            encode(letter(Forward(0, 0, None, False, None, (3,), 1.0, None, [X]), number)),
            r"columns \[3\] of blocks are read, \[0\] are here",
        ),
        "columns alone to learn from": (
            encode(letter(Forward(0, 0, 5, True, None, (0,), 1.0, None, [X]), number)),
            "some columns alone is not recorded",
        ),
        "an unknown record": (encode(letter(REQUESTS[2], number)), "record 3 is not kept here"),
        "an unknown update": (encode(letter(REQUESTS[4], number)), "record 3 is not kept here"),
        "blocks that are elsewhere": (encode(letter(WriteWeights(0, (5,), [W]), number)), "blocks .5"),
        "weights of another shape": (encode(letter(WriteWeights(0, (0,), [W.T]), number)), r"\(6, 4\)"),
        "a state of less": (
            encode(letter(LoadState(0, NAMES[:1], HELD[:1]), number)),
            "the state of",
        ),
        "programming of pulsed tiles": (encode(letter(REQUESTS[8], number)), "pulsed, not programmed"),
        "modifying of pulsed tiles": (
            encode(letter(Forward(0, 0, None, False, 1, None, 1.0, None, [X]), number)),
            "not modified",
        ),
    }


def of_version(version: int, number: int) -> list[Any]:
    """A message of another version of the protocol, of which nothing is known but the envelope."""
    return [
        ENVELOPE.pack(MAGIC, version, True, 0, 0, number) + b"whatever it may be",
        b"in as many",
        b"frames",
    ]


def foreign() -> list[list[bytes]]:
    """What somebody else may send: nothing, random bytes, other protocols."""
    drawn = random.Random(0)
    return [
        [b""],
        [b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"],
        [b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00."],
        [struct.pack("<Q", 1 << 60)],
        [msgpack.packb({"op": "forward", "layer": 0, "id": 1, "wanted": True, "arrays": []})],
        *[
            [drawn.randbytes(drawn.randrange(1, 200)) for _ in range(drawn.randrange(1, 5))]
            for _ in range(40)
        ],
    ]


def mutated(frames: list[Any], drawn: random.Random) -> list[bytes]:
    """The frames after one accident: bytes changed, cut off or added, frames lost, doubled or exchanged."""
    spoiled = [bytes(frame) for frame in frames]
    k = drawn.randrange(len(spoiled))
    at = drawn.randrange(max(len(spoiled[k]), 1))
    match drawn.randrange(6):
        case 0:
            flipped = bytes([drawn.randrange(256)])
            spoiled[k] = spoiled[k][:at] + flipped + spoiled[k][at + 1 :]
        case 1:
            spoiled[k] = spoiled[k][:at]
        case 2:
            spoiled[k] = spoiled[k][:at] + drawn.randbytes(drawn.randrange(1, 9)) + spoiled[k][at:]
        case 3 if len(spoiled) > 1:
            del spoiled[k]
        case 4:
            spoiled.insert(k, spoiled[k])
        case _:
            drawn.shuffle(spoiled)
    return spoiled
