"""The backend "cuda" against the readable one. Run as a script for Triton's interpreter:

TRITON_INTERPRET=1 python triton_checks.py
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import triton
import triton.language as tl

from crossgrid.kernels.card import card
from crossgrid.kernels.devices import PiecewiseStepDevice
from crossgrid.kernels.pulsed_update.parameters import UpdateParameters
from crossgrid.kernels.rng.cuda import philox4x32

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "rng")]

from philox_vectors import KNOWN_ANSWERS  # noqa: E402
from update_cases import DEVICES, PULSED, trained  # noqa: E402


@triton.jit
def words_kernel(counters, key, words, n, BLOCK: tl.constexpr):
    """Words [4, n] of counters [4, n]."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    here = at < n
    c0 = tl.load(counters + at, here, 0).to(tl.uint32, bitcast=True)
    c1 = tl.load(counters + n + at, here, 0).to(tl.uint32, bitcast=True)
    c2 = tl.load(counters + 2 * n + at, here, 0).to(tl.uint32, bitcast=True)
    c3 = tl.load(counters + 3 * n + at, here, 0).to(tl.uint32, bitcast=True)
    k0 = tl.load(key).to(tl.uint32, bitcast=True)
    k1 = tl.load(key + 1).to(tl.uint32, bitcast=True)
    w0, w1, w2, w3 = philox4x32(k0, k1, c0, c1, c2, c3)
    tl.store(words + at, w0.to(tl.int32, bitcast=True), here)
    tl.store(words + n + at, w1.to(tl.int32, bitcast=True), here)
    tl.store(words + 2 * n + at, w2.to(tl.int32, bitcast=True), here)
    tl.store(words + 3 * n + at, w3.to(tl.int32, bitcast=True), here)


def check_known_answers() -> None:
    """Random123's vectors."""
    import torch

    for counter, key, wanted in KNOWN_ANSWERS:
        arrays = [np.array(values, np.uint32).view(np.int32) for values in (counter, key)]
        tensors = [torch.from_numpy(array).to(card()) for array in arrays]
        words = torch.empty(4, dtype=torch.int32, device=card())
        words_kernel[(1,)](*tensors, words, 1, BLOCK=1)
        assert words.cpu().numpy().view(np.uint32).tolist() == list(wanted)


def check_update(device: Any, parameters: UpdateParameters, **arguments: Any) -> None:
    """The bits of the processors' kernels, and nearly the readable ones'; the tick's lower word overflows."""
    arguments = {"first_tick": (1 << 32) - 2, **arguments}
    naive, naive_pulses, _ = trained(device, "naive", parameters, **arguments)
    weights, pulses, there = trained(device, "late", parameters, **arguments)
    compiled, compiled_pulses, cell = trained(device, "cpu", parameters, **arguments)
    assert np.array_equal(there.saturated(), cell.saturated())
    assert pulses.sum() > 0
    assert np.array_equal(naive_pulses, pulses), (naive_pulses, pulses)
    assert np.abs(naive - weights).max() <= 1e-6
    assert np.array_equal(compiled_pulses, pulses), (compiled_pulses, pulses)
    if isinstance(device, PiecewiseStepDevice):  # numba makes a node's number, a whole one, a double
        assert np.abs(compiled - weights).max() <= 1e-9
    else:
        assert np.array_equal(compiled, weights), np.abs(compiled - weights).max()


def main() -> None:
    """Every device, and every pulse type, on shapes that the interpreter bears."""
    small = {"out_size": 3, "in_size": 5, "tiles": 1, "batches": 1, "batch": 3}
    check_known_answers()
    for name, device in DEVICES.items():
        rate = 0.3 if name == "neurosim" else 0.01
        check_update(device, UpdateParameters(), **small, rate=rate)
        print("agrees:", name, flush=True)
    for kind in PULSED:
        check_update(DEVICES["constant"], UpdateParameters(pulse_type=kind), **small, rate=0.02)
        print("agrees:", kind.name, flush=True)
    rounding = UpdateParameters(res=0.1, sto_round=True)
    check_update(DEVICES["constant"], rounding, **small, rate=0.02)
    print("agrees: rounding", flush=True)
    long = UpdateParameters(desired_bl=40, update_bl_management=False)
    check_update(DEVICES["constant"], long, **small, rate=0.02)
    print("agrees: trains in parts", flush=True)


if __name__ == "__main__":
    main()
