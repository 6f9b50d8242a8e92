"""Long names where room is short: their middle is left out, as what differs stands at their ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.measure import Measurement

#: characters of a name that a table shows where the terminal has room for more
NAME_WIDTH = 48
#: characters below which both ends of a name say nothing: other columns break their lines first
LEAST_WIDTH = 22


def shortened(name: str, width: int = NAME_WIDTH) -> str:
    """``name`` in at most ``width`` characters, its middle left out where it is longer.

    A third of the room goes to its start, the rest to its end, where names of one model differ.
    """
    if len(name) <= width:
        return name
    left = (width - 1) // 3
    return f"{name[:left]}…{name[left + 1 - width :]}"[:width]


def fitting(name: str, cells: int) -> str:
    """``name`` shortened to so many of a terminal's cells, of which some letters take two."""
    from rich.cells import cell_len

    widths = range(min(cells, len(name)), 0, -1)
    return next((short for short in (shortened(name, w) for w in widths) if cell_len(short) <= cells), "")


@dataclass(frozen=True, slots=True)
class Name:
    """A name in a terminal's table, shortened to the width that its column gets."""

    text: str
    after: str = ""  # words that follow the name and are never left out

    def __str__(self) -> str:
        return self.text + self.after

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        from rich.measure import Measurement

        whole = min(len(self.text), NAME_WIDTH) + len(self.after)
        return Measurement(min(whole, LEAST_WIDTH + len(self.after)), whole)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        room = max(options.max_width - len(self.after), 1)
        yield Text(fitting(self.text, min(room, NAME_WIDTH)) + self.after, no_wrap=True)
