"""Cells on a card against the processors' kernels, bit by bit. Run as a script for Triton's interpreter:

TRITON_INTERPRET=1 python cell_checks.py NAME...
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from crossgrid.kernels.pulsed_update.parameters import UpdateParameters

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "golden"), str(ROOT / "kernels" / "pulsed_update")]

from stored_runs.cells import CELLS  # noqa: E402
from update_cases import trained  # noqa: E402

SHORT = UpdateParameters(desired_bl=2)  # the interpreter takes long for each slot of a train


def check_cell(name: str) -> None:
    """The same weights, pulses and state of every member after some updates, with what is read and moved."""
    (w, pulses, cell), (w_there, pulses_there, there) = (
        trained(
            CELLS[name](), backend, SHORT, out_size=2, in_size=4, tiles=2, batches=3, batch=2, rate=0.1
        )
        for backend in ("cpu", "late")
    )  # fmt: skip
    assert pulses.sum() > 0
    assert np.array_equal(pulses, pulses_there)
    assert np.array_equal(w, w_there)
    assert np.array_equal(cell.saturated(), there.saturated())
    state, state_there = cell.state(), there.state()
    assert state.keys() == state_there.keys()
    for key, values in state.items():
        assert np.array_equal(values, state_there[key]), key


def main() -> None:
    """The cells that are named."""
    for name in sys.argv[1:]:
        check_cell(name)
        print("agrees:", name, flush=True)


if __name__ == "__main__":
    main()
