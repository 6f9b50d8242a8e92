"""Long names where room is short: their middle is left out, as what differs stands at their ends."""

from __future__ import annotations

import functools
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.measure import Measurement

#: characters of a name that a table shows where the terminal has room for more
NAME_WIDTH = 48
#: characters below which both ends of a name say nothing: other columns break their lines first
LEAST_WIDTH = 22
#: parts of the room that a name's start is given, the next where two names of a column would read alike
STARTS = (1 / 3, 1 / 2, 2 / 3, 0.0)


def shortened(name: str, width: int = NAME_WIDTH, start: float = STARTS[0]) -> str:
    """``name`` in at most ``width`` characters, its middle left out where it is longer.

    The part ``start`` of the room goes to its start, the rest to its end, where names of one model differ.
    """
    if len(name) <= width:
        return name
    left = int((width - 1) * start)
    return f"{name[:left]}…{name[left + 1 - width :]}"[:width]


@functools.lru_cache(maxsize=1 << 14)  # each row of a column asks for all
def fitting(name: str, cells: int, start: float = STARTS[0]) -> str:
    """``name`` shortened to so many of a terminal's cells, of which some letters take two."""
    from rich.cells import cell_len

    widths = range(min(cells, len(name)), 0, -1)
    shorter = (shortened(name, w, start) for w in widths)
    return next((short for short in shorter if cell_len(short) <= cells), "")


@dataclass(frozen=True, slots=True)
class Name:
    """A name in a terminal's table, shortened to the width that its column gets."""

    text: str
    after: str = ""  # words that follow the name and are never left out
    among: Collection[str] = ()  # the names of its column, which should not read alike

    def __str__(self) -> str:
        return self.text + self.after

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        from rich.measure import Measurement

        whole = min(len(self.text), NAME_WIDTH) + len(self.after)
        return Measurement(min(whole, LEAST_WIDTH + len(self.after)), whole)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        room = max(options.max_width - len(self.after), 1)
        yield Text(self._short(min(room, NAME_WIDTH)) + self.after, no_wrap=True)

    def _short(self, width: int) -> str:
        """The name in ``width`` cells, unlike the others of its column if it can be."""
        others = {other for other in self.among if other != self.text}
        for start in STARTS:
            short = fitting(self.text, width, start)
            if all(fitting(other, width, start) != short for other in others):
                return short
        return fitting(self.text, width)
