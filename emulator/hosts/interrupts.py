"""Signals that wait until what must be whole is done: half a message would put a protocol out of step."""

from __future__ import annotations

import importlib
import signal
import threading
from types import FrameType
from typing import Any

# What ``signal.signal`` calls, which besides tries to make an enum of every handler: that takes twenty times
# as long, and a block stands around every message.
_plain: Any = importlib.import_module("_signal")

#: signals whose handlers raise: Ctrl-C, and what a user may have set for being terminated; as plain numbers,
#: since an enum's member is converted at every call
DEFERRED = (int(signal.SIGINT), int(signal.SIGTERM))


class Uninterrupted:
    """A block in the main thread that Ctrl-C does not break: its handler is called when the block is left.

    Other threads are never interrupted. Blocks may be nested; the outermost one lets the signal through, and
    those inside it cost nothing.
    """

    __slots__ = ("_arrived", "_handlers")

    def __init__(self) -> None:
        self._arrived: int | None = None
        self._handlers: list[tuple[int, Any]] = []

    def __enter__(self) -> None:
        if getattr(_plain.getsignal(DEFERRED[0]), "__func__", None) is Uninterrupted._note:
            return  # inside another block, or in another thread beside one
        if threading.current_thread() is threading.main_thread():
            for number in DEFERRED:
                handler = _plain.getsignal(number)
                if callable(handler) and getattr(handler, "__func__", None) is not Uninterrupted._note:
                    self._handlers.append((number, _plain.signal(number, self._note)))

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._arrived = number

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._handlers:
            _plain.signal(number, handler)
        if self._arrived is not None:
            signal.raise_signal(self._arrived)
