"""The protocol between front-end and hosts, as bytes: what is sent arrives, what is spoiled is refused."""

from __future__ import annotations

import random
import re
import tracemalloc
from dataclasses import fields
from typing import Any

import letters
import numpy as np
import pytest

from crossgrid.emulator.tiles import messages
from crossgrid.emulator.tiles.messages import VERSION, Failed
from crossgrid.emulator.wire.letters import FRAME_BYTES, Letter, decode, encode

ALL = letters.REQUESTS + letters.REPLIES
KINDS = messages.REQUESTS | messages.REPLIES


def same(a: Any, b: Any) -> bool:
    """Whether two messages are equal in type, in every field and in every bit of their arrays."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if type(a) in KINDS.values():
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    return bool(a == b)


def received(frames: list[Any], kinds: dict[str, type] = messages.REQUESTS) -> Letter:
    return decode([bytes(frame) for frame in frames], kinds)


def test_every_message_and_reply_has_a_sample() -> None:
    assert {type(sample) for sample in ALL} == set(KINDS.values())


@pytest.mark.parametrize("content", ALL, ids=lambda content: type(content).__name__)
def test_what_is_sent_arrives(content: Any) -> None:
    """Types, values and bits; the arrays are views of what was received, not copies."""
    frames = [bytes(frame) for frame in encode(Letter(content, 17, True, 3))]
    got = decode(frames, KINDS)
    assert (got.number, got.wanted, got.sender) == (17, True, 3)
    assert same(got.content, content)
    for value in (getattr(got.content, f.name) for f in fields(content)):
        if isinstance(value, list) and value and value[0].size:
            assert any(np.shares_memory(value[0], np.frombuffer(frame, np.uint8)) for frame in frames)
            assert all(array.flags.aligned for array in value)


def test_every_message_names_its_sender_its_reader_and_its_reply() -> None:
    for kind in messages.REQUESTS.values():
        assert kind.__doc__ is not None
        assert re.match(r"``[A-Z]\w+\.\w+`` .*-> ``[A-Z]\w+\.\w+``", kind.__doc__), kind.__name__
    assert {messages.answer_to(m) for m in letters.REQUESTS} == {*messages.REPLIES.values()} - {Failed}


@pytest.mark.parametrize("case", [*letters.spoiled_fields(1), *letters.spoiled_frames(1)])
def test_a_malformed_message_is_read_as_a_refusal(case: str) -> None:
    """With the number of the message, so that its sender is told; nothing is raised."""
    frames, words = letters.malformed(23)[case]
    got = received(frames)
    assert isinstance(got.content, Failed)
    assert got.content.error == "ProtocolError"
    assert (got.number, got.wanted) == (23, True)
    assert re.search(words, got.content.text), got.content.text
    assert len(got.content.text) < 500


@pytest.mark.parametrize("version", [0, VERSION + 1, 65535])
def test_a_message_of_another_version_is_refused_by_its_version(version: int) -> None:
    got = received(letters.of_version(version, 5))
    assert isinstance(got.content, Failed)
    assert got.content.error == "ProtocolError"
    assert f"version {version} cannot be read here" in got.content.text
    assert (got.number, got.wanted) == (5, True)


def test_foreign_bytes_are_refused_and_want_no_reply() -> None:
    for frames in [[], *letters.foreign()]:
        got = received(frames)
        assert isinstance(got.content, Failed)
        assert "no message of crossgrid" in got.content.text
        assert (got.number, got.wanted) == (0, False)


def test_whatever_happens_to_a_message_it_is_read_or_refused() -> None:
    """4,000 accidents with all kinds: a typed message or a refusal, no exception."""
    assert refused_of(4000) > 2000  # most accidents are seen; the others changed a number


@pytest.mark.slow
@pytest.mark.fuzz
def test_whatever_happens_to_many_messages() -> None:
    assert refused_of(20_000) > 10_000


def refused_of(accidents: int) -> int:
    """How many of so many spoiled messages are refused; each is read or refused."""
    drawn, refused = random.Random(1), 0
    for _ in range(accidents):
        frames = encode(letters.letter(drawn.choice(ALL)))
        got = decode(letters.mutated(frames, drawn), KINDS)
        assert type(got.content) in KINDS.values()
        refused += isinstance(got.content, Failed) and got.content.error == "ProtocolError"
    return refused


def test_sizes_that_lie_take_no_memory() -> None:
    """Headers promise terabytes, nested lists, four billion entries: refused before they get them."""
    spoiled = [frames for frames, _ in letters.malformed(1).values()]
    tracemalloc.start()
    for frames in spoiled:
        received(frames)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4e6


def test_an_array_that_no_frame_may_hold_is_not_sent() -> None:
    """Zeros of more than the limit take no memory until they are touched."""
    huge = np.zeros((FRAME_BYTES // 4 + 1,), np.float32)
    with pytest.raises(ValueError, match="use smaller batches"):
        encode(letters.letter(messages.WriteWeights(0, (0,), [huge])))


def test_an_array_of_a_type_that_the_field_has_not_is_not_sent() -> None:
    with pytest.raises(messages.ProtocolError, match=r"WriteWeights.w takes arrays of \['f4'\]"):
        encode(letters.letter(messages.WriteWeights(0, (0,), [letters.W.astype(np.float64)])))
