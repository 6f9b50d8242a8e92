"""The command ``crossgrid``: that of the emulator, and what stands above it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from crossgrid.emulator.cli.main import COMMANDS, Command
from crossgrid.emulator.cli.main import main as run

PORT = "say what of a script for aihwkit is missing or means something else, and rewrite its imports"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; errors that a user can mend are one line."""
    return run(argv, {**COMMANDS, "port": _port()})


def _port() -> Command:
    from .aihwkit.port import command

    return Command(PORT, command.arguments, command.run)


if __name__ == "__main__":
    sys.exit(main())
