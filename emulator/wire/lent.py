"""Memory of ZeroMQ that arrays look at without a copy, given back where signals wait.

A frame that is let go calls a function that asks for signals, and what a handler raises there is dropped by
Python, as in every destructor: a Ctrl-C would be lost. So a frame is held until its array is gone, and let go
by whoever receives next, in a block in which signals wait.
"""

from __future__ import annotations

import weakref
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Lent:
    """The frames that arrays still look at."""

    def __init__(self) -> None:
        self._frames: dict[int, tuple[Any, Any]] = {}
        self._gone: deque[Any] = deque()

    def memory(self, frame: Any) -> NDArray[np.uint8]:
        """The bytes of a frame; every array made of them keeps them alive."""
        memory: NDArray[np.uint8] = np.frombuffer(frame.buffer, np.uint8)
        reference = weakref.ref(memory, self._gone.append)
        self._frames[id(reference)] = reference, frame
        return memory

    def __len__(self) -> int:
        """How many frames are held."""
        return len(self._frames)

    def give_back(self) -> None:
        """Let go of the frames whose arrays are gone."""
        while self._gone:
            del self._frames[id(self._gone.popleft())]
