"""A user's code runs here: whatever it does, it gives a value or one line that says what failed."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from crossgrid.kernels.errors import ConfigError, CrossgridError, InputError

T = TypeVar("T")

#: characters of a foreign error's message that are repeated: torch's name every backend, or C++ frames
MOST_SAID = 240


def attempt(work: Callable[[], T], what: str, way_out: str) -> T:
    """What ``work``, a user's code, gives.

    What it prints goes to the error stream, where it mixes with no result; it may warn without being heard.

    Raises:
        ConfigError: it fails, in whatever way but an interruption by hand; ``what`` and ``way_out`` frame it.
    """
    try:
        with _apart():
            return work()
    except (CrossgridError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a user's own may descend from nothing else
        raise ConfigError(f"{what} ({said(error)}); {way_out}") from error


def on_meta_or_else(work: Callable[[], T]) -> T:
    """What ``work`` gives with the meta device for what it makes, where no memory is taken; or else without.

    Some ask the numbers of small tensors that they make: rates that grow from layer to layer. Analog layers
    hold the numbers of their weights.
    """
    try:
        with torch.device("meta"):
            return work()
    except (RuntimeError, NotImplementedError, TypeError, InputError):
        return work()


def said(error: BaseException) -> str:
    """Kind and message of an error in one line of bounded length."""
    try:
        words = " ".join(str(error).split())
    except Exception:
        words = ""
    kind = type(error).__name__
    if not words:
        return kind
    return f"{kind}: {words if len(words) <= MOST_SAID else words[:MOST_SAID] + '…'}"


@contextlib.contextmanager
def _apart() -> Iterator[None]:
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
