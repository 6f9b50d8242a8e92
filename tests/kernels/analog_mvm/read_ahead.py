"""Compiles the Triton kernels of the read for an architecture, without a card: read_ahead.py 90 [every]"""

from __future__ import annotations

import sys
from pathlib import Path

from crossgrid.kernels.analog_mvm import settings
from crossgrid.kernels.analog_mvm.cuda import kernel
from crossgrid.kernels.analog_mvm.cuda import stages as cuda_stages

sys.path.insert(0, str(Path(__file__).parents[2] / "golden"))

from card_registers import FORBIDDEN, say, usage

TYPES = {
    "w": "*fp32", "keys": "*i32", "scale": "*fp32", "average": "*fp32",
    "s": settings.Numbers(*["fp32"] * len(settings.Numbers._fields)),
    "inputs": cuda_stages.Inputs("*fp32", "*i64", "*fp32", "*u8"),
    "outputs": cuda_stages.Outputs("*i64", "*i64", "*i64"),
    "spreads": cuda_stages.Spreads("*fp32", "*fp32", "*fp32", "*fp32", "*fp32"),
    "out": cuda_stages.Results("*fp32", "*u8", "*i32", "*i32", "*i64", "*i64"),
    "shape": cuda_stages.Shape(*["i32"] * 9, "fp32", "fp32"),
    "shared": cuda_stages.Shared("*i64", "*i64", "i32"),
}  # fmt: skip
PLAIN = cuda_stages.Stages(
    stream=16, passes=settings.ONE_PASS, inp_random=False, inp_noisy=False, factor=False, wires=False,
    offset=False, weight_noise=settings.NO_WEIGHT_NOISE, nonlinear=False, out_noisy=True, out_spread=False,
    out_random=False, scaling=settings.SCALE_ABS_MAX, scaled=False, attempts=14, worst=False, twice=False,
    below_too=True, bounded=True, masked=False, per_row=False, rows=16, lines=16, terms=16, look=64,
)  # fmt: skip
FULL = PLAIN._replace(
    wires=True, offset=True, weight_noise=settings.PCM_READ_NOISE, nonlinear=True, out_spread=True,
    out_random=True,
)  # fmt: skip
BACK = PLAIN._replace(attempts=1, bounded=False, masked=True)
READS = {
    "plain": PLAIN, "many": PLAIN._replace(lines=32), "full": FULL,
    "back": BACK, "back many": BACK._replace(rows=32, lines=32, look=32),
    "sums of inputs": PLAIN._replace(scaling=settings.SCALE_NP_SUM, worst=True, twice=True),
    "random inputs": PLAIN._replace(inp_random=True, inp_noisy=True),
    "additive": PLAIN._replace(weight_noise=settings.ADDITIVE_NOISE),
    "two passes": FULL._replace(passes=settings.ANALOG_SUM, factor=True),
    "digital sum": FULL._replace(passes=settings.DIGITAL_SUM, factor=True),
}  # fmt: skip
DEFAULT = ("many", "back many", "full")  # the default read's, and the largest


def main() -> None:
    """One line for every kernel that compiles: its name, registers, bytes of stack and of spills."""
    architecture, every = int(sys.argv[1]), sys.argv[2:] == ["every"]
    constants = {"MASKED": True, "LOOK": 1024}
    say("average", usage(kernel.average_kernel, TYPES, constants, architecture))
    for name, stages in READS.items():
        if every or name in DEFAULT:
            constants = {"STAGES": stages}
            taken = usage(kernel.read_kernel, TYPES, constants, architecture, forbidden=FORBIDDEN)
            say(f"read {name}", taken)  # a product's terms are fused


if __name__ == "__main__":
    main()
