"""Hooks that stay behind when a model is copied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Listener:
    """A hook that somebody else has on a model; in copies and pickles of the model it does nothing."""

    __slots__ = ("hear",)

    def __init__(self, hear: Callable[..., None]) -> None:
        self.hear = hear

    def __call__(self, *args: Any) -> None:
        self.hear(*args)

    def __reduce__(self) -> Any:
        return Listener, (hear_nothing,)


def hear_nothing(*_: Any) -> None:
    """What a copy's hook does."""
