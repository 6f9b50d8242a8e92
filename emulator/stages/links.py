"""The sockets of one stage, and what passes through them: letters with the values of a micro-batch."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import zmq
from torch import Tensor

from ..errors import ProtocolError
from ..tiles.messages import Count, Masks, Message
from ..wire.addresses import Endpoint, Flow, listen
from ..wire.lent import Lent
from ..wire.letters import Letter, receive, send

#: how long a stage listens at once
LISTEN_MS = 1000

#: what may be under way between two stages
FLOW = Flow(high_water=1000, buffer_bytes=1 << 20)


#: torch's types of values, by name
KINDS: dict[str, torch.dtype] = {
    name: getattr(torch, name)
    for name in (
        "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64",
        "complex64",
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Values(Message[None]):
    """Tensors of one micro-batch by their names: from the driver, a stage, or the last one's outputs.

    On the way back they are gradients, by the names of the values that they are of.
    """

    round: Count  # of passes: what is left of one that was given up is told apart
    batch: Count  # number of the micro-batch in its round
    back: bool  # whether a stage gives them to the one before it
    learns: tuple[str, ...]  # the names of those whose gradients are asked for
    names: tuple[str, ...]
    kinds: tuple[str, ...]  # types
    shapes: tuple[tuple[Count, ...], ...]
    data: Masks  # bytes of each

    def __post_init__(self) -> None:
        if not set(self.learns) <= set(self.names):
            raise ProtocolError(
                f"Values asks for gradients of {self.learns!r:.80}, and names {self.names!r:.80}"
            )
        if not len(self.names) == len(self.kinds) == len(self.shapes) == len(self.data):
            raise ProtocolError(f"Values names {len(self.names)} tensors and holds {len(self.data)}")

    @classmethod
    def of(
        cls, number: int, batch: int, tensors: Mapping[str, Tensor], back: bool = False,
        learns: Sequence[str] = (),
    ) -> Values:  # fmt: skip
        """The values of micro-batch ``batch`` of round ``number``."""
        kinds = tuple(str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values())
        shapes = tuple(tuple(tensor.shape) for tensor in tensors.values())
        data = [t.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy() for t in tensors.values()]
        return cls(number, batch, back, tuple(learns), tuple(tensors), kinds, shapes, data)

    def tensors(self) -> dict[str, Tensor]:
        """The tensors: copies.

        Raises:
            ProtocolError: their bytes are not what their types and shapes say.
        """
        found = {}
        for name, kind, shape, data in zip(self.names, self.kinds, self.shapes, self.data, strict=True):
            dtype = KINDS.get(kind)
            if dtype is None or math.prod(shape) * dtype.itemsize != data.nbytes:
                raise ProtocolError(f"Values.{name:.40} is {kind!r:.20} {shape!r:.80} of {data.nbytes} bytes")
            flat = (
                torch.from_numpy(np.array(data)).view(dtype) if data.nbytes else torch.empty(0, dtype=dtype)
            )
            found[name] = flat.reshape(shape)
        return found


@dataclass(frozen=True, slots=True)
class Abandon(Message[None]):
    """The driver to a stage: a round is given up, as another stage died or failed."""

    round: Count


#: letters by their names on the wire
LETTERS: dict[str, type] = {"Values": Values, "Abandon": Abandon}


class Abandoned(RuntimeError):
    """Another stage died or failed: the round was given up."""


class Links:
    """Where a stage hears and speaks; passes of one round, told apart by their way and their number."""

    def __init__(self, stage: int, directory: str | None) -> None:
        """Listen in ``directory`` on the driver's node, or, without one, on this node's address."""
        self.stage = stage
        context: Any = zmq.Context.instance()
        self.inputs: Any = context.socket(zmq.PULL)
        FLOW.apply(self.inputs)
        self.inputs.rcvtimeo = LISTEN_MS  # of the rest of a letter
        self.endpoint = listen(self.inputs, directory, f"stage-{stage}-{os.getpid()}")
        self.lent = Lent()
        self.onwards: Any = None
        self.backwards: Any = None
        self._given_up = 0  # the last round that the driver gave up, and with it all before
        self._ahead: list[Values] = []  # of rounds that others have begun
        self.begin(0)

    def connect(self, onwards: Endpoint, backwards: Endpoint | None) -> None:
        """Give what is made to the next stage or the driver, and gradients to the stage before."""
        for old in (self.onwards, self.backwards):
            if old is not None:
                old.close(linger=0)
        self.onwards = onwards.connected(FLOW)
        self.backwards = None if backwards is None else backwards.connected(FLOW)

    def begin(self, number: int) -> None:
        """Hear of round ``number`` alone."""
        self.round = number
        self._came: dict[bool, deque[Values]] = {False: deque(), True: deque()}
        before, self._ahead = self._ahead, []
        for content in before:
            self._sort(content)

    def _sort(self, content: Values) -> None:
        """Put what came where its round is looked for."""
        if content.round == self.round:
            self._came[content.back].append(content)
        elif content.round > self.round:
            self._ahead.append(content)

    def give(self, batch: int, values: Mapping[str, Tensor], learns: Sequence[str] = ()) -> None:
        """Hand on the values of a micro-batch, and say whose gradients are asked for."""
        content = Values.of(self.round, batch, values, learns=learns)
        send(self.onwards, Letter(content, batch, False, self.stage))

    def give_back(self, batch: int, gradients: Mapping[str, Tensor]) -> None:
        """Give the stage before this one, if there is one, the gradients of what it handed on."""
        if self.backwards is not None:
            content = Values.of(self.round, batch, gradients, back=True)
            send(self.backwards, Letter(content, batch, False, self.stage))

    def take(self, batch: int, back: bool = False) -> Values:
        """The values of a micro-batch, or their gradients.

        Raises:
            Abandoned: the driver gave the round up.
        """
        self._hear(0)  # that a round was given up counts before what came in it
        while self.round > self._given_up and not self._came[back]:
            self._hear(LISTEN_MS)
        if self.round <= self._given_up:
            raise Abandoned
        found = self._came[back].popleft()
        if found.batch != batch:
            raise ProtocolError(f"stage {self.stage} got micro-batch {found.batch} where {batch} is next")
        return found

    def _hear(self, milliseconds: int) -> None:
        """Receive what comes first within that time, and all that is there then."""
        while self.inputs.poll(milliseconds):
            content, milliseconds = receive(self.inputs, LETTERS, self.lent).content, 0
            match content:
                case Abandon(round=given_up):
                    self._given_up = max(self._given_up, given_up)
                case Values():
                    self._sort(content)
