"""Compiles the Triton kernels of the read for an architecture, without a card: read_ahead.py 90 [every]"""

from __future__ import annotations

import sys
from pathlib import Path

from crossgrid.kernels.analog_mvm import settings
from crossgrid.kernels.analog_mvm.cuda import stages as cuda_stages

sys.path.insert(0, str(Path(__file__).parents[2] / "golden"))

from card_registers import FORBIDDEN, say, usage

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
    "plain": PLAIN, "many": PLAIN._replace(rows=32, lines=64, terms=16), "full": FULL,
    "additive": PLAIN._replace(weight_noise=settings.ADDITIVE_NOISE),
    "two passes": FULL._replace(passes=settings.ANALOG_SUM, factor=True),
    "digital sum": FULL._replace(passes=settings.DIGITAL_SUM, factor=True),
}  # fmt: skip


def main() -> None:
    """One line for every kernel that compiles: its name, registers, bytes of stack and of spills."""
    architecture, every = int(sys.argv[1]), sys.argv[2:] == ["every"]
    for scaling in range(6) if every else (settings.SCALE_NP_SUM,):
        constants = {"SCALING": scaling, "ROWS": 4, "BLOCK": 256}
        say(f"scales {scaling}", usage(cuda_stages.scales_kernel, TYPES, constants, architecture))
    for random in (False, True) if every else (True,):
        stages = PLAIN._replace(inp_random=random, inp_noisy=random, rows=4, lines=256)
        name = "convert at random" if random else "convert"
        say(name, usage(cuda_stages.convert_kernel, TYPES, {"STAGES": stages}, architecture))
    for name, stages in READS.items():
        if every or name in ("many", "full"):
            constants = {"STAGES": stages}
            taken = usage(cuda_stages.read_kernel, TYPES, constants, architecture, forbidden=FORBIDDEN)
            say(f"read {name}", taken)  # a product's terms are fused


if __name__ == "__main__":
    main()
