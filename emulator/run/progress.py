"""A bar in the terminal for what takes long."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

#: seconds after which a bar appears: what is done before needs none
LONG = 2.0


@contextlib.contextmanager
def progress_bar(text: str, total: int | None) -> Iterator[Callable[[], None]]:
    """Call what it gives after each of ``total`` parts (None: nobody knows); silent outside a terminal."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task(text, total=total)
    started = time.monotonic()
    shown = False

    def advance() -> None:
        nonlocal shown
        bar.advance(task)
        if not shown and console.is_terminal and time.monotonic() - started > LONG:
            shown = True
            bar.start()

    try:
        yield advance
    finally:
        if shown:
            bar.stop()
