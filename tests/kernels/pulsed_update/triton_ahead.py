"""Compiles the Triton kernels of the pulsed update for an architecture, without a card:

triton_ahead.py 90         every device
triton_ahead.py 90 few     devices that differ most
triton_ahead.py 90 every   every device, and other widths of tiles
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from crossgrid.kernels.devices.base import parameters_type
from crossgrid.kernels.devices.drawn.cuda import formula_of, population_kernel
from crossgrid.kernels.pulsed_update.cuda import steps, trains
from crossgrid.kernels.pulsed_update.rule import MODES
from crossgrid.kernels.rng.cuda import jitted

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "golden")]

from card_registers import Usage, say, usage  # noqa: E402
from update_cases import DEVICES, FEW  # noqa: E402

CODES = trains.Codes("*i32", "*i32", "*i32", "*i32")
SHAPE = trains.Shape("i32", "i32", "i32", "i32", "i32")
TRAINS = trains.Trains(
    "*fp32", "*i64", "*fp32", "*i64", "*u8", "*u8", "*i32", "*i64", CODES, SHAPE, "i32", "i32"
)
TYPES = {
    "findings": "*i64", "scaling": trains.Scaling("fp32", "fp32", "fp32", "fp32", "fp32", "fp32", "fp32"),
}  # fmt: skip
LAYERS = 4  # of a launch, as LeNet5 has
TILE = 512  # inputs of a tile where nobody says otherwise
WIDE = (32, 1024, 4096)  # other tiles, of the default device


def step(name: str, columns: int, architecture: int, given: bool = False, layers: int = 1) -> Usage:
    """The step of a device, for tiles of this many columns; ``given``: of a population that is kept."""
    device: Any = DEVICES[name]
    formula = None if given else formula_of(device)
    drawn = formula is not None
    how = steps.Stepped(
        mode=0, side=0, noisy=True, aggregates=device.aggregates, write=device.write_noise > 0, drawn=drawn,
        vectors=steps.vectors_of((columns,) * layers, 4608),
    )  # fmt: skip
    constants = {
        "step": jitted(type(device).step), "formula": formula, "KIND": parameters_type(type(device)),
        "PARAMETERS": len(device.parameters),
        "BLOCKS": (columns,) * layers,
        "HOW": how,
    }  # fmt: skip
    population = "*i32" if drawn else "*fp32"
    layer = steps.Stepping(
        "*fp32", "*fp32", population, "*i32", "*i64", CODES, "*i64", "*i32", SHAPE, "i32", "i32", "i32"
    )
    alike = steps.Alike(tuple("fp32" for _ in device.constants()), "fp32", "i32", "i32")
    types = {**TYPES, "layers": (layer,) * layers, "alike": alike}
    return usage(steps.step_kernel, types, constants, architecture, steps.warps_of(columns))


def population(name: str, architecture: int) -> Usage:
    """The kernel that writes the population of a device."""
    device: Any = DEVICES[name]
    constants = {
        "formula": formula_of(device), "KIND": parameters_type(type(device)),
        "PARAMETERS": len(device.parameters), "BLOCK": 256,
    }  # fmt: skip
    types = {"p_TOIP": "*fp32", "keys_T2": "*i32"}
    return usage(population_kernel, types, constants, architecture)


def main() -> None:
    """One line for every kernel that compiles: its name, registers, bytes of stack and of spills."""
    architecture = int(sys.argv[1])
    for kind, mode in MODES.items():
        how = trains.Trained(scaling=6, mode=mode, jitter=True, has_active=True, masked=True, parts=4)
        types = {**TYPES, "layers": (TRAINS,)}
        say(
            f"train {kind.name}",
            usage(trains.train_kernel, types, {"BLOCKS": (TILE,), "HOW": how}, architecture),
        )
    say(f"step constant in {LAYERS} layers", step("constant", TILE, architecture, layers=LAYERS))
    for name in FEW if sys.argv[2:] == ["few"] else DEVICES:
        say(f"step {name}", step(name, TILE, architecture))
        if formula_of(DEVICES[name]) is not None:
            say(f"step given {name}", step(name, TILE, architecture, given=True))
            say(f"population {name}", population(name, architecture))
    for columns in WIDE if sys.argv[2:] == ["every"] else ():
        say(f"step constant {columns}", step("constant", columns, architecture))


if __name__ == "__main__":
    main()
