"""Compiles the Triton kernels of the pulsed update for an architecture, without a card: triton_ahead.py 90"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from crossgrid.kernels.devices.base import parameters_type
from crossgrid.kernels.pulsed_update.arguments import Devices, Vectors
from crossgrid.kernels.pulsed_update.cuda import steps, trains
from crossgrid.kernels.pulsed_update.rule import MODES
from crossgrid.kernels.rng.cuda import jitted

sys.path.insert(0, str(Path(__file__).parent))

from update_cases import DEVICES

CODES = trains.Codes("*i32", "*i32", "*i32", "*i32")
TYPES = {
    "vectors": Vectors("*fp32", "*i64", "*fp32", "*i64"), "active": "*u8", "keys": "*i32", "pulses": "*i32",
    "tick_of_first": "*i64", "codes": CODES, "shape": trains.Shape("i32", "i32", "i32"),
    "scaling": trains.Scaling("fp32", "fp32", "fp32", "fp32", "fp32", "fp32", "fp32"),
}  # fmt: skip


# what would give a card other bits than a processor: fused products, functions of its own, flushed denormals
FORBIDDEN = ("fma.rn", "ex2.approx", "lg2.approx", "sqrt.approx", "div.full", "div.approx", ".ftz")


def cubin(kernel: Any, constants: dict[str, Any], architecture: int, **types: Any) -> bytes:
    """The machine code of ``kernel``, in whose assembly nothing is forbidden."""
    known = {**TYPES, **types, **dict.fromkeys(constants, "constexpr")}
    signature = {name: known.get(name, "i32") for name in kernel.arg_names}
    values = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=values)
    options = {"enable_fp_fusion": False}
    code = triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options).asm
    found = [word for word in FORBIDDEN if word in code["ptx"]]
    assert not found, f"{kernel.__name__} {constants}: {found} in its assembly"
    return code["cubin"]


def main() -> None:
    """One line for every kernel that compiles."""
    architecture = int(sys.argv[1])
    for kind, mode in MODES.items():
        how = trains.Trained(scaling=6, mode=mode, jitter=True, has_active=True, parts=4, block=256)
        print(kind.name, len(cubin(trains.train_kernel, {"HOW": how}, architecture)), flush=True)
    for name, device in DEVICES.items():
        how = steps.Stepped(
            mode=0, side=0, noisy=True, aggregates=device.aggregates, write=device.write_noise > 0, block=128
        )
        constants = {
            "step": jitted(type(device).step), "KIND": parameters_type(type(device)),
            "PARAMETERS": len(device.parameters), "HOW": how,
        }  # fmt: skip
        c = tuple("fp32" for _ in device.constants())
        devices = Devices("*fp32", "*fp32", c, "*fp32", "fp32", "*i32")
        print(name, len(cubin(steps.step_kernel, constants, architecture, devices=devices)), flush=True)


if __name__ == "__main__":
    main()
