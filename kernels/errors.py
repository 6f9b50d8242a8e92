"""The errors that crossgrid raises, and the help that they give.

Every message names the value, the limit and the way out. All of them are a ``CrossgridError``;
each also is the built-in error that a caller of ordinary Python code would expect.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from difflib import get_close_matches


class CrossgridError(Exception):
    """Base of every error that crossgrid raises on purpose."""


class ConfigError(CrossgridError, ValueError):
    """A configuration, chip file or argument has a value that cannot be used."""


class UnknownNameError(ConfigError, AttributeError, TypeError, KeyError):
    """A field, key or name does not exist; the message gives the nearest one that does."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class InputError(CrossgridError, ValueError):
    """A tensor that cannot be computed with: wrong shape, wrong type, NaN or infinite."""


def shown(value: object) -> str:
    """``value`` in an error: its beginning, however large it is and whatever it holds."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother, short.maxlong = 3, 80, 80, 40
    try:
        return short.repr(value)
    except ValueError:  # Python does not print whole numbers of thousands of digits
        return f"a {type(value).__name__} too large to print"


def nearest(name: str, known: Iterable[str]) -> str:
    """The words that end an unknown-name message: the nearest known name, else all of them."""
    names = sorted(known)
    by_lower = {candidate.lower(): candidate for candidate in names}
    found = get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.5)
    if found:
        return f"did you mean '{by_lower[found[0]]}'?"
    return f"known are: {', '.join(names)}" if names else "none is known"


def unknown(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """An error for ``name``, an unknown ``kind`` ("field of ConstantStepDevice", "chip key")."""
    return UnknownNameError(f"unknown {kind} '{name}': {nearest(name, known)}")
