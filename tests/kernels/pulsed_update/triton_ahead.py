"""Compiles the Triton kernels of the pulsed update for an architecture, without a card: triton_ahead.py 90"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from crossgrid.kernels.pulsed_update.cuda.steps import step_kernel, stepper
from crossgrid.kernels.pulsed_update.cuda.trains import train_kernel
from crossgrid.kernels.pulsed_update.rule import MODES

sys.path.insert(0, str(Path(__file__).parent))

from update_cases import DEVICES

TYPES = {
    "x": "*fp32", "d": "*fp32", "w": "*fp32", "p": "*fp32", "seen": "*fp32", "x_of": "*i64", "d_of": "*i64",
    "tick_of_first": "*i64", "keys": "*i32", "x_codes": "*i32", "d_codes": "*i32", "d_second": "*i32",
    "lengths": "*i32", "pulses": "*i32", "active": "*u8", "rate": "fp32", "granularity": "fp32",
    "desired": "fp32", "grad_scale": "fp32", "x_step": "fp32", "d_step": "fp32", "write_noise": "fp32",
}  # fmt: skip


def cubin(kernel: Any, constants: dict[str, Any], architecture: int, **types: Any) -> bytes:
    """The machine code of ``kernel``."""
    known = {**TYPES, **types, **dict.fromkeys(constants, "constexpr")}
    signature = {name: known.get(name, "i32") for name in kernel.arg_names}
    values = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=values)
    return triton.compile(source, target=GPUTarget("cuda", architecture, 32)).asm["cubin"]


def main() -> None:
    """One line for every kernel that compiles."""
    architecture = int(sys.argv[1])
    for kind, mode in MODES.items():
        constants = {"SCALING": 6, "MODE": mode, "JITTER": True, "HAS_ACTIVE": True, "BLOCK": 256}
        print(kind.name, len(cubin(train_kernel, constants, architecture)), flush=True)
    for name, device in DEVICES.items():
        constants = {
            "step": stepper(type(device).step), "PARAMETERS": len(device.parameters), "MODE": 0,
            "SIDE": 0, "NOISY": True, "AGGREGATES": device.aggregates, "WRITE": device.write_noise > 0,
            "BLOCK": 128,
        }  # fmt: skip
        c = tuple("fp32" for _ in device.constants())
        print(name, len(cubin(step_kernel, constants, architecture, c=c)), flush=True)


if __name__ == "__main__":
    main()
