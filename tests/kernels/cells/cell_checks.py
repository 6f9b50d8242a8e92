"""Cells on a card against the processors' kernels, bit by bit. Run as a script for Triton's interpreter:

TRITON_INTERPRET=1 python cell_checks.py NAME...
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import crossgrid as cg
from crossgrid.kernels.arrays.build import build_cell
from crossgrid.kernels.arrays.cell import fetched, give_hidden
from crossgrid.kernels.backends import CUDA
from crossgrid.kernels.pulsed_update.parameters import PulseType, UpdateParameters

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "golden"), str(ROOT / "kernels" / "pulsed_update")]

from stored_runs.cells import CELLS, Policy, vector  # noqa: E402
from update_cases import keys, trained  # noqa: E402

SHORT = UpdateParameters(desired_bl=2)  # the interpreter takes long for each slot of a train
EXACT = UpdateParameters(pulse_type=PulseType.NONE_WITH_DEVICE)

DECAYING = {"lifetime": 20.0, "lifetime_dtod": 0.3, "diffusion": 0.01, "diffusion_dtod": 0.3}
LEVELLED = {"write_noise_std": 2.0, "reset": 0.1, "reset_dtod": 0.05}


def noisy() -> cg.LinearStepDevice:
    """What is seen of it is drawn anew, and a reset leads to a level of its own."""
    return cg.LinearStepDevice(dw_min=0.01, **LEVELLED)


#: what changes devices besides, and cells of cells
OTHERS: dict[str, Callable[[], Any]] = {
    "decay": lambda: cg.ConstantStepDevice(dw_min=0.02, **DECAYING),
    "decay-to-levels": lambda: cg.LinearStepDevice(dw_min=0.02, **DECAYING, **LEVELLED),
    "decay-of-kept-parameters": lambda: cg.PowStepDevice(dw_min=0.02, **DECAYING),
    "reset-to-levels": lambda: cg.TransferCompound(
        unit_cell_devices=[noisy(), cg.ConstantStepDevice()], with_reset_prob=0.5, units_in_mbatch=False
    ),
    "transfer-through-noise": lambda: cg.TransferCompound(
        unit_cell_devices=[noisy(), cg.ConstantStepDevice()], gamma=0.5, transfer_columns=False,
        transfer_forward=cg.IOParameters(inp_noise=0.1),
    ),
    "cell-in-a-transfer": lambda: cg.TransferCompound(
        unit_cell_devices=[vector(Policy.SINGLE_SEQUENTIAL), noisy()], gamma=0.5, units_in_mbatch=False
    ),
    "cell-in-a-cell": lambda: cg.VectorUnitCell(
        unit_cell_devices=[vector(Policy.SINGLE_RANDOM), noisy()],
        update_policy=Policy.SINGLE_SEQUENTIAL,
    ),
    "pair-under-mixed-precision": lambda: cg.MixedPrecisionCompound(
        device=cg.OneSidedUnitCell(
            unit_cell_devices=[cg.ConstantStepDevice(dw_min=0.02, w_min=0.0, w_min_dtod=0.0)]
        ),
        n_rows_per_transfer=1,
    ),
}  # fmt: skip
WITHOUT_PULSES: dict[str, Callable[[], Any]] = {
    "no-pulses": lambda: cg.LinearStepDevice(**DECAYING, **LEVELLED),
    "no-pulses-in-a-cell": lambda: vector(Policy.SINGLE_RANDOM),
}
CASES = {**CELLS, **OTHERS, **WITHOUT_PULSES}


def check_cell(name: str) -> None:
    """The same weights, pulses and state of every member after some updates, with what is read and moved."""
    (w, pulses, cell), (w_there, pulses_there, there) = (
        trained(
            CASES[name](), backend, EXACT if name in WITHOUT_PULSES else SHORT, out_size=2, in_size=4,
            tiles=2, batches=3, batch=2, rate=0.1,
        )
        for backend in ("cpu", "late")
    )  # fmt: skip
    assert (pulses.sum() > 0) == (name not in WITHOUT_PULSES)
    assert np.array_equal(pulses, pulses_there)
    assert np.array_equal(w, w_there)
    assert np.array_equal(cell.saturated(), there.saturated())
    require_equal(cell.state(), there.state())
    require_equal(cell.hidden_parameters(), there.hidden_parameters())
    given = {key: np.full(values.shape, 0.0625, np.float32) for key, values in cell.collected().items()}
    for each in (cell, there):
        give_hidden(each, given)
    require_equal(cell.state(), there.state())
    fresh = build_cell(CASES[name](), SHORT, keys(2), 2, 4, CUDA)
    fresh.load_state(cell.state())
    assert np.array_equal(fetched(cell.weights), fetched(fresh.weights))
    require_equal(cell.state(), fresh.state())


def require_equal(here: dict[str, Any], there: dict[str, Any]) -> None:
    """The same names, bit by bit."""
    assert here.keys() == there.keys()
    for key, values in here.items():
        assert np.array_equal(values, there[key]), key


def main() -> None:
    """The cells that are named."""
    for name in sys.argv[1:]:
        check_cell(name)
        print("agrees:", name, flush=True)


if __name__ == "__main__":
    main()
