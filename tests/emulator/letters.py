"""Samples of every message and reply, and ways to spoil the frames of one."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np

from crossgrid.emulator.actors.wire import ENVELOPE, MAGIC, Letter, encode
from crossgrid.emulator.tiles.messages import (
    Backward,
    Counters,
    Done,
    Drift,
    Failed,
    Forget,
    Forward,
    LetPass,
    LoadSnapshot,
    LoadState,
    Process,
    Program,
    ReadSnapshot,
    ReadState,
    ReadWeights,
    Snapshot,
    State,
    Stats,
    Stop,
    Sums,
    Update,
    Usage,
    Weights,
    WriteWeights,
)

X = np.arange(12, dtype=np.float32).reshape(2, 6)
D = np.arange(8, dtype=np.float32).reshape(2, 4)
W = np.arange(24, dtype=np.float32).reshape(4, 6) / 100
NAMES = ((0, "cell.kept"), (0, "cell.writes"))
HELD = [W, np.array(3, np.int64)]

REQUESTS: list[Any] = [
    Forward(0, 5, None, False, None, None, 1.0, [X]),
    Forward(0, 5, 3, True, 7, (0, 2), 1.0, [X, X[:, :3]]),
    Backward(0, 5, 3, 4, True, [D], [D[0]]),
    Backward(0, 5, 3, None, False, [D], []),
    Update(0, 5, 0.1, ((3, 4), (5, 6))),
    Forget(0, ((3, None), (4, 5))),
    ReadWeights(0),
    WriteWeights(0, (0,), [W]),
    Program(0, (0,), [W], 2),
    Drift(0, (0,), [W], 2, 1e4, 1),
    LetPass(0, 2, 10.0),
    ReadState(0),
    LoadState(0, NAMES, HELD),
    ReadSnapshot(0),
    LoadSnapshot(0, NAMES, HELD, ("pass/3/x/0",), [X]),
    Stats(0),
    Process(),
    Stop(),
]
REPLIES: list[Any] = [
    Done(),
    Failed("InputError", "x holds NaN"),
    Sums((0, 1), (-1, 3), [D, D], (2,), [np.ones((2, 4), np.uint8)]),
    Weights((0, 7), [W, W[:1]]),
    State(NAMES, HELD),
    Snapshot(NAMES, HELD, ("stats/0/pulses",), [np.ones(2, np.int64)]),
    Counters({0: {"pulses": 3.0, "forward_seconds": 0.5}}),
    Usage(4321, 0.25),
]


def letter(content: Any, number: int = 1) -> Letter:
    """A letter that wants a reply, or is one."""
    return Letter(content, number, True)


def with_header(frames: list[Any], change: Callable[[list[Any]], Any]) -> list[Any]:
    """The frames with another header: ``change`` gets [name, fields] as lists."""
    head = bytes(frames[0])
    body = msgpack.unpackb(head[ENVELOPE.size :], strict_map_key=False)
    return [head[: ENVELOPE.size] + msgpack.packb(change(body) or body), *frames[1:]]


def with_field(frames: list[Any], name: str, value: Any) -> list[Any]:
    """The frames with another value of a field."""
    return with_header(frames, lambda body: body[1].__setitem__(name, value))


def without_field(frames: list[Any], name: str) -> list[Any]:
    """The frames without a field."""
    return with_header(frames, lambda body: body[1].__delitem__(name) or None)


def malformed(number: int) -> dict[str, tuple[list[Any], str]]:
    """Spoiled forward reads with that number: the frames, and words of the refusal."""
    good = encode(letter(REQUESTS[0], number))
    update = encode(letter(REQUESTS[4], number))
    state = encode(letter(LoadState(0, NAMES, HELD), number))
    envelope = bytes(good[0])[: ENVELOPE.size]
    return {
        "unknown operation": (with_header(good, lambda b: ["Explode", b[1]]), "unknown message 'Explode'"),
        "a reply": (encode(letter(Done(), number)), "unknown message 'Done'"),
        "no map": (with_header(good, lambda b: [b[0], 7]), "unknown message"),
        "a name that is none": (with_header(good, lambda b: [[1], b[1]]), "unhashable|unknown message"),
        "missing field": (without_field(good, "tick"), "has fields .*its fields are layer, tick"),
        "extra field": (with_field(good, "gain", 2.0), "has fields .*gain"),
        "a float for a number": (with_field(good, "tick", 1.5), "Forward.tick = 1.5 is not of type Count"),
        "a negative tick": (with_field(good, "tick", -1), "Forward.tick = -1"),
        "a tick of 64 bits": (with_field(good, "tick", 1 << 63), "Forward.tick = 9223372036854775808"),
        "true for a number": (with_field(good, "layer", True), "Forward.layer = True"),
        "a number for a truth": (with_field(good, "learn", 1), "Forward.learn = 1 is not of type bool"),
        "a rate that is none": (with_field(update, "learning_rate", float("nan")), "learning_rate = nan"),
        "passes that are no pairs": (with_field(update, "passes", [[3]]), "Update.passes"),
        "passes by name": (with_field(update, "passes", "all"), "Update.passes = 'all'"),
        "frame missing": (good[:1], "describes .* and has 0 frames"),
        "frame too many": ([*good, b"1234"], "describes 1 arrays and comes with 2"),
        "frame too short": ([good[0], bytes(good[1])[:-4]], "its frame has 44 bytes"),
        "a shape that lies": (with_field(good, "x", [["f4", [1 << 40]]]), "its frame has 48 bytes"),
        "a shape of nothing": (with_field([good[0], b""], "x", [["f4", [1 << 62, 0]]]), "its frame has 0"),
        "a negative shape": (with_field(good, "x", [["f4", [-2, -6]]]), r"has an array \('f4', \(-2, -6\)\)"),
        "another type": (with_field(good, "x", [["i4", [2, 6]]]), r"takes one of \['f4'\]"),
        "a type of objects": (with_field(good, "x", [["O", [2, 6]]]), r"takes one of \['f4'\]"),
        "no description": (with_field(good, "x", [[]]), "has an array"),
        "names without arrays": (with_field(state, "names", [[0, "a"]]), "names 1 arrays and holds 2"),
        "no header": ([envelope], "a header of 0 bytes cannot be read"),
        "half a header": ([bytes(good[0])[:-9], good[1]], "cannot be read"),
        "more than a header": ([bytes(good[0]) + b"\x01", good[1]], "cannot be read"),
        "a header that lies": ([envelope + b"\xdd\xff\xff\xff\xff", good[1]], "cannot be read"),
        "a header too deep": ([envelope + b"\x91" * 100_000, good[1]], "cannot be read"),
        "an unknown layer": (with_field(good, "layer", 9), "layer 9 is not hosted here"),
        "a wider input": (
            encode(letter(Forward(0, 0, None, False, None, None, 1.0, [D]), number)),
            r"\(2, 4\)",
        ),
        "a flat input": (
            encode(letter(Forward(0, 0, None, False, None, None, 1.0, [X[0]]), number)),
            r"\(6,\)",
        ),
        "an input too many": (
            encode(letter(Forward(0, 0, None, False, None, None, 1.0, [X, X]), number)),
            "must be 1 arrays of 2 axes",
        ),
        "columns that are elsewhere": (
            encode(letter(Forward(0, 0, None, False, None, (3,), 1.0, [X]), number)),
            r"columns \[3\] of blocks are read, \[0\] are here",
        ),
        "columns alone to learn from": (
            encode(letter(Forward(0, 0, 5, True, None, (0,), 1.0, [X]), number)),
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
            encode(letter(Forward(0, 0, None, False, 1, None, 1.0, [X]), number)),
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
