"""Compiles the Triton kernels of cells, resets, decay and diffusion for an architecture: cells_ahead.py 90"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

from crossgrid.kernels.arrays import cuda as changes
from crossgrid.kernels.cells.numbers import cuda as numbers
from crossgrid.kernels.cells.numbers.draws import Purpose
from crossgrid.kernels.cells.transfer.sequential import cuda as sequential
from crossgrid.kernels.devices.base import changes_type, changing_names
from crossgrid.kernels.devices.drawn.cuda import formula_of
from crossgrid.kernels.pulsed_update.cuda import exact
from crossgrid.kernels.pulsed_update.cuda.steps import warps_of
from crossgrid.kernels.rng import Stream

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "golden"), str(ROOT / "kernels" / "pulsed_update")]

from card_registers import Usage, say, usage  # noqa: E402
from update_cases import DEVICES  # noqa: E402

TILE = 512  # inputs of a tile
OUTER = exact.Outer("*fp32", "*i64", "*fp32", "*i64", "fp32", "i32", "i32", "i32")
#: what happens in a launch: diffusion, decay, reset, a level of each device
CHANGES = {
    "decay": (False, True, False, False),
    "diffusion and decay to levels": (True, True, False, True),
    "reset": (False, False, True, False),
    "reset to levels": (False, False, True, True),
}


def change(name: str, how: tuple[bool, bool, bool, bool], architecture: int) -> Usage:
    """A change of all devices outside of pulses."""
    diffuses, decays, _, levelled = how
    device: Any = dataclasses.replace(
        DEVICES[name], diffusion=0.01 * diffuses, lifetime=100.0 * decays, reset=0.1 * levelled
    )
    formula = formula_of(device, changes=True)
    of_kernel = changes.Changed(
        *how, name == "linear", True, 251 if device.write_noise > 0 else -1, formula is not None
    )
    constants = {
        "formula": formula, "KIND": changes_type(changing_names(device)), "HOW": of_kernel,
        "PARAMETERS": len(device.parameters), "BLOCK": TILE,
    }  # fmt: skip
    population = "*fp32" if formula is None else "*i32"
    own = changes.Changing(
        "*fp32", "*fp32", population, "*i32", "*i32", "*fp32", "*fp32", "*fp32", "*u8", "*i32", "*i64"
    )
    sizes = changes.Sizes("i32", "i32", "i32", "i32", "i32", "fp32", "fp32", "fp32")
    types = {"own": own, "sizes": sizes, "outer": OUTER, "findings": "*i64"}
    return usage(changes.change_kernel, types, constants, architecture, warps_of(TILE))


def main() -> None:
    """One line for every kernel: its name, registers, bytes of stack and of spills."""
    architecture = int(sys.argv[1])
    for name in ("constant", "linear", "soft_bounds_reference"):
        for what, how in CHANGES.items():
            say(f"{what} of {name}", change(name, how, architecture))
    drawn = {"out": "*fp32", "keys": "*i32", "clock": "*i64"}
    constants = {"STREAM": int(Stream.TRANSFER), "PURPOSE": int(Purpose.IN_CHOPPER), "BLOCK": TILE}
    say("uniform numbers of lines", usage(numbers.uniforms_kernel, drawn, constants, architecture))
    outer = {"values": "*fp32", "outer": OUTER, "findings": "*i64"}
    say("outer products", usage(exact.collect_kernel, outer, {"BLOCK": TILE}, architecture))
    of_buffer = sequential.Filling("fp32", "fp32", "fp32", "fp32", "fp32", "i32", "i32", "i32")
    filled = {
        "buffer": "*fp32", "read": "*fp32", "lines": "*i64", "gain": "*fp32", "steps": "*fp32",
        "numbers": of_buffer,
    }  # fmt: skip
    width = {"WIDTH": sequential.BLOCK}
    say("buffer of a transfer", usage(sequential.fill_kernel, filled, width, architecture))
    rates = {
        "x_max": "*fp32", "d_max": "*fp32", "x_of_T": "*i64", "d_of_T": "*i64", "sizes": "*fp32",
        "rate": "*fp32", "follow": "fp32", "top": "fp32",
    }  # fmt: skip
    say("rates of a chopped transfer", usage(sequential.rates_kernel, rates, {}, architecture))


if __name__ == "__main__":
    main()
