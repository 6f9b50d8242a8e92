"""Stores what a thread of every kernel for a card takes, by the Triton that is installed, in two minutes.

A larger number may be right, where a kernel does more; a spill in the default read or step is not.
"""

from __future__ import annotations

import json

from card_registers import SCRIPTS, TABLES, Usage, compiled_by

ARCHITECTURES = (80, 90, 100)


def main() -> None:
    """Compile everything for every architecture."""
    import triton

    kernels: dict[str, dict[str, Usage]] = {}
    for script in SCRIPTS:
        for architecture in ARCHITECTURES:
            for name, taken in compiled_by(script, architecture, "every", seconds=1800).items():
                kernels.setdefault(name, {})[str(architecture)] = taken
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(kernels[name])}" for name in sorted(kernels))
    head = {"columns": Usage._fields}
    table = TABLES / f"{triton.__version__}.json"
    table.write_text(f'{json.dumps(head)[:-1]}, "kernels": {{\n{rows}\n}}}}\n')


if __name__ == "__main__":
    main()
