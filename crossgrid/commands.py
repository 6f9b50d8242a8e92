"""The command ``crossgrid``: that of the emulator, and what stands above it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

PORT = "say what of a script for aihwkit is missing or means something else, and rewrite its imports"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; errors that a user can mend are one line."""
    from .emulator.hosts.interrupts import Uninterrupted

    try:
        with Uninterrupted():  # while it imports; what follows sees to it itself
            from .aihwkit.port import command
            from .emulator.cli.main import COMMANDS, Command
            from .emulator.cli.main import main as run
        return run(argv, {**COMMANDS, "port": Command(PORT, command.arguments, command.run)})
    except KeyboardInterrupt:
        print("crossgrid: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
