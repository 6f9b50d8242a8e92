"""Compiles the weight modifiers for an architecture, without a card: modifiers_ahead.py 90 [every]"""

from __future__ import annotations

import sys
from pathlib import Path

from crossgrid.kernels.inference.modifiers import cuda
from crossgrid.kernels.inference.modifiers.plan import Kind

sys.path.insert(0, str(Path(__file__).parents[2] / "golden"))

from card_registers import say, usage

TYPES = {**dict.fromkeys(("out", "weights", "w_maxima", "values", "table"), "*fp32"), "keys": "*i32"}


def main() -> None:
    """One line for every kernel that compiles: its name, registers, bytes of stack and of spills."""
    architecture, every = int(sys.argv[1]), sys.argv[2:] == ["every"]
    for kind in Kind if every else (Kind.ADD_NORMAL,):
        how = cuda.How(int(kind), stochastic=True, dropping=True, keep_last=True)
        constants = {"HOW": how, "block": cuda.BLOCK}
        say(f"modifier {kind.name}", usage(cuda.modify_kernel, TYPES, constants, architecture))


if __name__ == "__main__":
    main()
