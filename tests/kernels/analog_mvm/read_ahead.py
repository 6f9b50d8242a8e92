"""Compiles the Triton kernels of the read for an architecture, without a card: read_ahead.py 90 [every]"""

from __future__ import annotations

import sys
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from crossgrid.kernels.analog_mvm import settings
from crossgrid.kernels.analog_mvm.cuda import stages as cuda_stages

TYPES = {
    **dict.fromkeys(("x", "alpha", "scale", "u", "w"), "*fp32"), "largest": "*i32", "keys": "*i32",
    "unscaled": "fp32", "tick": "i64",
    "s": settings.Numbers(*["fp32"] * len(settings.Numbers._fields)),
    "inputs": cuda_stages.Inputs("*i64", "*i64", "*i64"),
    "outputs": cuda_stages.Outputs("*i64", "*i64", "*i64"),
    "spreads": cuda_stages.Spreads("*fp32", "*fp32", "*fp32", "*fp32", "*fp32"),
    "out": cuda_stages.Results("*fp32", "*i32", "*i32"),
    "shape": cuda_stages.Shape("i32", "i32", "i32", "i32", "i32"),
}  # fmt: skip
PLAIN = cuda_stages.Stages(
    stream=16, passes=settings.ONE_PASS, inp_random=False, inp_noisy=False, factor=False, wires=False,
    offset=False, weight_noise=settings.NO_WEIGHT_NOISE, nonlinear=False, out_noisy=True, out_spread=False,
    out_random=False, rows=16, lines=16, terms=32,
)  # fmt: skip
FULL = PLAIN._replace(
    wires=True, offset=True, weight_noise=settings.PCM_READ_NOISE, nonlinear=True, out_spread=True,
    out_random=True,
)  # fmt: skip
READS = {
    "plain": PLAIN, "many": PLAIN._replace(rows=32, lines=64), "full": FULL,
    "additive": PLAIN._replace(weight_noise=settings.ADDITIVE_NOISE),
    "two passes": FULL._replace(passes=settings.ANALOG_SUM, factor=True),
    "digital sum": FULL._replace(passes=settings.DIGITAL_SUM, factor=True),
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
        stages = PLAIN._replace(inp_random=random, inp_noisy=random, rows=4, lines=256)
        done = compiled(cuda_stages.convert_kernel, {"STAGES": stages}, architecture)
        print("convert", random, len(done.asm["cubin"]), flush=True)
    for name, stages in READS.items():
        if not every and name != "full":
            continue
        done = compiled(cuda_stages.read_kernel, {"STAGES": stages}, architecture)
        print(name, len(done.asm["cubin"]), flush=True)


if __name__ == "__main__":
    main()
