"""The sockets of one stage: what its neighbours and the driver give it, and what it gives them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import zmq
from torch import Tensor

from ..actors.addresses import Endpoint, Flow, listen
from ..actors.lent import Lent
from ..actors.wire import Letter, receive, send
from ..errors import ProtocolError
from .letters import LETTERS, Abandon, Values

#: how long a stage listens at once
LISTEN_MS = 1000

#: what may be under way between two stages
FLOW = Flow(high_water=1000, buffer_bytes=1 << 20)


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
        self.inputs.rcvtimeo = LISTEN_MS
        self.endpoint = listen(self.inputs, directory, f"stage-{stage}-{os.getpid()}")
        self.lent = Lent()
        self.onwards: Any = None
        self.backwards: Any = None
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
        while not self._came[back]:
            try:
                content = receive(self.inputs, LETTERS, self.lent).content
            except zmq.Again:
                continue
            match content:
                case Abandon(round=given_up) if given_up == self.round:
                    raise Abandoned
                case Values(round=of_round) if of_round == self.round:
                    self._came[content.back].append(content)
        found = self._came[back].popleft()
        if found.batch != batch:
            raise ProtocolError(f"stage {self.stage} got micro-batch {found.batch} where {batch} is next")
        return found
