"""The command ``crossgrid port``."""

from __future__ import annotations

import argparse
from pathlib import Path

from crossgrid.kernels.errors import ConfigError

from .report import findings, scripts


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "path", type=Path, metavar="FILE|DIR", help="a script for aihwkit, or a folder of them"
    )
    parser.add_argument("--write", action="store_true", help="rewrite the imports in place")


def run(args: argparse.Namespace) -> int:
    """Print what is missing and what differs, by file and line; 1 where something is missing."""
    if not args.path.exists():
        raise ConfigError(f"{args.path} does not exist; give a script or a folder of scripts")
    missing = False
    for path in scripts(args.path):
        source = path.read_text(encoding="utf-8")
        try:
            found = findings(source)
        except SyntaxError as error:
            raise ConfigError(f"{path}:{error.lineno}: {error.msg}: this is no Python script") from error
        for each in found:
            print(f"{path}:{each}")
            missing |= each.kind == "missing"
        if args.write:
            _write(path, source)
    return int(missing)


def _write(path: Path, source: str) -> None:
    try:
        from .edit import edited
    except ImportError as error:
        raise ConfigError("--write needs LibCST: pip install 'crossgrid[port]'") from error
    after = edited(source)
    if after != source:
        path.write_text(after, encoding="utf-8")
        print(f"{path}: imports rewritten")
