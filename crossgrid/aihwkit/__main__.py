"""``python -m crossgrid.aihwkit script.py [args]``: run a script for aihwkit over this project, once.

``import aihwkit`` is answered by this package in that process alone; first comes a list of what differs for
the script, on standard error. ``-m MODULE`` runs a module instead.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from . import alias
from .port.report import findings


def main(argv: list[str]) -> int:
    """Run ``argv``: a script, or ``-m`` and a module, with its arguments."""
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if argv else 2
    if argv[0] == "-m":
        if len(argv) < 2:
            print("python -m crossgrid.aihwkit -m needs the name of a module", file=sys.stderr)
            return 2
        alias.install()
        sys.argv = argv[1:]
        runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
        return 0
    script = Path(argv[0])
    if not script.is_file():
        print(
            f"{script} does not exist; give a script: python -m crossgrid.aihwkit script.py", file=sys.stderr
        )
        return 2
    for each in findings(script.read_text(encoding="utf-8")):
        print(f"{script.name}:{each}", file=sys.stderr)
    alias.install()
    sys.argv = argv
    sys.path[0] = str(script.resolve().parent)
    runpy.run_path(str(script), run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
