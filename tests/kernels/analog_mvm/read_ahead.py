"""Compiles the Triton kernels of the read for an architecture, without a card: read_ahead.py 90 [every]"""

from __future__ import annotations

import sys
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from crossgrid.kernels.analog_mvm import settings
from crossgrid.kernels.analog_mvm.cuda import stages as cuda_stages

POINTERS = {
    "*fp32": (
        "x", "alpha", "numbers", "scale", "u", "w", "factor", "out_noise", "curvature", "slope", "offset",
        "y",
    ),
    "*i64": ("source", "tile", "vector", "first_row", "input_first"),
    "*i32": ("largest", "keys", "above", "below"),
    "fp32": ("unscaled",),
    "i64": ("tick",),
}  # fmt: skip
TYPES = {name: kind for kind, names in POINTERS.items() for name in names}
PLAIN = {
    "STREAM": 16, "PASSES": settings.ONE_PASS, "FACTOR": False, "WIRES": False, "OFFSET": False, "NOISE": 0,
    "NONLINEAR": False, "NOISY": True, "SPREAD": False, "RANDOM": False, "ROWS": 16, "LINES": 16, "TERMS": 32,
}  # fmt: skip
FULL = {
    "WIRES": True, "OFFSET": True, "NOISE": settings.PCM_READ_NOISE, "NONLINEAR": True, "SPREAD": True,
    "RANDOM": True,
}  # fmt: skip
READS = {
    "plain": {}, "many": {"ROWS": 32, "LINES": 64}, "full": FULL,
    "additive": {"NOISE": settings.ADDITIVE_NOISE},
    "two passes": {**FULL, "PASSES": settings.ANALOG_SUM, "FACTOR": True},
    "digital sum": {**FULL, "PASSES": settings.DIGITAL_SUM, "FACTOR": True},
}  # fmt: skip


def compiled(kernel: Any, constants: dict[str, Any], architecture: int) -> Any:
    """``kernel`` for the architecture."""
    known = {**TYPES, **dict.fromkeys(constants, "constexpr")}
    signature = {name: known.get(name, "i32") for name in kernel.arg_names}
    values = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=values)
    options = {"enable_fp_fusion": False}
    return triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options)


def main() -> None:
    """One line for every kernel that compiles: its name and the bytes of its machine code."""
    architecture, every = int(sys.argv[1]), sys.argv[2:] == ["every"]
    for scaling in range(6) if every else (settings.SCALE_NP_SUM,):
        constants = {"SCALING": scaling, "ROWS": 4, "BLOCK": 256}
        done = compiled(cuda_stages.scales_kernel, constants, architecture)
        print("scales", scaling, len(done.asm["cubin"]), flush=True)
    for random in (False, True) if every else (True,):
        constants = {"STREAM": 16, "RANDOM": random, "NOISY": random, "ROWS": 4, "BLOCK": 256}
        done = compiled(cuda_stages.convert_kernel, constants, architecture)
        print("convert", random, len(done.asm["cubin"]), flush=True)
    for name, constants in READS.items():
        if not every and name != "full":
            continue
        done = compiled(cuda_stages.read_kernel, {**PLAIN, **constants}, architecture)
        print(name, len(done.asm["cubin"]), flush=True)


if __name__ == "__main__":
    main()
