"""Where commands write: files that are checked before any work, or the terminal in place of the report."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from crossgrid.kernels.errors import ConfigError

#: names of the standard streams: opened anew as files, they would be cut under what was written already
STREAMS = {
    "-": "stdout", "/dev/stdout": "stdout", "/dev/fd/1": "stdout", "/proc/self/fd/1": "stdout",
    "/dev/stderr": "stderr", "/dev/fd/2": "stderr", "/proc/self/fd/2": "stderr",
}  # fmt: skip
#: options that name what a command writes: texts, and what only a file takes
TEXTS = ("json", "html", "neurosim", "zigzag")
FILES = ("save", "png", "gantt", "rows")


def check_outputs(args: argparse.Namespace) -> None:
    """Refuse what cannot be written before anything is computed.

    Raises:
        ConfigError: a name that is empty, a directory's or in none; a stream for what is no text; two texts
            for the terminal.
    """
    for option in (*TEXTS, *FILES):
        target = getattr(args, option, None)
        if target is None:
            continue
        if target in STREAMS:
            if option in FILES:
                raise ConfigError(f"--{option} {target}: what it writes is no text; give a file")
        else:
            _check_file(f"--{option} '{target}'", target, may_be_new=option == "zigzag")
    first, *others = [f"--{option}" for option in _to_terminal(args)] or [""]
    if others:
        raise ConfigError(
            f"{first} and {', '.join(others)} would mix on the terminal: give one of them a file"
        )


def _check_file(said: str, target: str, may_be_new: bool) -> None:
    """``may_be_new``: with a slash at its end it is a directory that is made."""
    if not target:
        raise ConfigError(f"{said} names no file; give one, or leave the option out")
    path = Path(target)
    if may_be_new and target.endswith("/"):
        if path.exists() and not path.is_dir():
            raise ConfigError(f"{said}: that is a file; give a directory, or leave the slash out")
    elif path.is_dir():
        raise ConfigError(f"{said}: that is a directory; give a file in it")
    elif not path.parent.is_dir():
        raise ConfigError(f"{said}: there is no directory '{path.parent}'; make it, or give another")


def _to_terminal(args: argparse.Namespace) -> list[str]:
    return [option for option in TEXTS if STREAMS.get(str(getattr(args, option, None))) == "stdout"]


def is_asked_for(args: argparse.Namespace) -> bool:
    """Whether the terminal is for a report: no text that was asked for takes its place."""
    return not _to_terminal(args)


def write_text(target: str, text: str) -> None:
    """Write a text to a file, or to the stream of that name."""
    stream = STREAMS.get(target)
    if stream is None:
        Path(target).write_text(text, encoding="utf-8")
    else:
        print(text, end="" if text.endswith("\n") else "\n", file=getattr(sys, stream))


def write_json(target: str, data: Any) -> None:
    """Write plain data to a file, or to the stream of that name."""
    write_text(target, json.dumps(data, indent=1) + "\n")
