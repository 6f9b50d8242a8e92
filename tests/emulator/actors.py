"""Tile actors that behave badly on purpose."""

from __future__ import annotations

import random
import sys
import time
from typing import Any

import ray.cloudpickle

from crossgrid.emulator.actors.actor import TileActor
from crossgrid.emulator.tiles.messages import Reply

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Ray's processes cannot import it


class DelayedActor(TileActor):
    """Starts and answers after random delays: actors come up in shuffled order, replies at odd times."""

    def __init__(self, number: int, *args: Any) -> None:
        self.random = random.Random(number)
        time.sleep(self.random.uniform(0.0, 0.3))
        super().__init__(number, *args)

    def answer(self, message: Any) -> Reply:
        """The reply, a few milliseconds late."""
        time.sleep(self.random.expovariate(1 / 0.003))
        return super().answer(message)


class ForgetfulActor(TileActor):
    """Loses half of what other actors give it to add."""

    def __init__(self, number: int, *args: Any) -> None:
        super().__init__(number, *args)
        take, drawn = self.gathering.take, random.Random(number)

        def sometimes(message: Any) -> None:
            if drawn.random() < 0.5:
                take(message)

        self.gathering.take = sometimes  # type: ignore[method-assign]
