"""Reads in both directions, each with one group of imperfections, and the sliced reads of chips."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

import crossgrid as cg

from .inputs import SEED, Results, both_reads, new_tile, numbers, with_weights

Noise, Bounds = cg.NoiseManagementType, cg.BoundManagementType

#: without noise and management
PLAIN: dict[str, Any] = {
    "out_noise": 0.0, "noise_management": Noise.NONE, "bound_management": Bounds.NONE,
}  # fmt: skip
LINES: dict[str, Any] = {
    "out_noise_std": 0.3, "out_nonlinearity": 0.1, "out_nonlinearity_std": 0.2, "slope_calibration": 0.5,
    "v_offset_std": 0.05, "r_series": 0.01, "out_asymmetry": 0.05, "inp_asymmetry": 0.05, "lines_per_adc": 4,
}  # fmt: skip

#: of digits by digits
NOISY: dict[str, Any] = {
    "inp_noise": 0.01, "inp_sto_round": True, "out_noise": 0.02, "out_sto_round": True, "w_noise": 0.01,
    "w_noise_type": cg.WeightNoiseType.ADDITIVE_CONSTANT,
}  # fmt: skip

READS: dict[str, dict[str, Any]] = {
    "read-perfect": {"is_perfect": True, "out_scale": 0.5},
    "read-quantised": {**PLAIN},
    "read-continuous": {**PLAIN, "inp_res": 0.0, "out_res": 0.0, "out_bound": 0.0, "out_scale": 1.5},
    "read-with-noise": {**PLAIN, "inp_noise": 0.05, "out_noise": 0.1},
    "read-rounded-at-random": {**PLAIN, "inp_sto_round": True, "out_sto_round": True},
    "read-with-defaults": {},
    "read-with-weight-noise": {
        **PLAIN, "w_noise": 0.05, "w_noise_type": cg.WeightNoiseType.ADDITIVE_CONSTANT,
    },
    "read-with-pcm-noise": {**PLAIN, "w_noise": 0.05, "w_noise_type": cg.WeightNoiseType.PCM_READ},
    "read-again-at-half": {"out_bound": 1.0, "bound_management": Bounds.ITERATIVE},
    "read-again-worst-case": {"out_bound": 1.0, "bound_management": Bounds.ITERATIVE_WORST_CASE},
    "read-again-above-the-bound-only": {"out_bound": 0.5, "bm_test_negative_bound": False},
    **{
        f"noise-management-{kind.value}": {
            "noise_management": kind, "nm_thres": 0.75, "out_bound": 1.0, "bound_management": Bounds.NONE,
        }
        for kind in Noise
    },
    "read-through-wires": {**PLAIN, "ir_drop": 2.0, "ir_drop_g_ratio": 2000.0},
    "read-through-uneven-lines": {**PLAIN, **LINES, "out_noise": 0.05},
    "read-signs-apart": {
        **PLAIN, "mv_type": cg.AnalogMVMType.POS_NEG_SEPARATE, "w_read_asymmetry_dtod": 0.1,
    },
    "read-signs-converted-apart": {
        **PLAIN, "mv_type": cg.AnalogMVMType.POS_NEG_SEPARATE_DIGITAL_SUM, "out_noise": 0.05, "ir_drop": 1.0,
    },
    # the network's solver is another project's, in float64: the ADC's steps hide what its last bits are
    "read-through-a-network-of-wires": {
        **PLAIN, "ir_drop": "nodal", "ir_drop_wire_ohm": 500.0, "out_bound": 2.0,
    },
}  # fmt: skip


def read(fields: dict[str, Any]) -> Results:
    """Two reads in each direction: noise depends on the tick, a running average on the first."""
    own = cg.IOParameters(**fields)
    return both_reads(new_tile(cg.SingleRPUConfig(device=cg.IdealDevice(), forward=own, backward=own)))


def read_of_a_large_tile() -> Results:
    """Enough vectors and lines for several threads."""
    tile = new_tile(cg.SingleRPUConfig(device=cg.IdealDevice()), out_size=200, in_size=170)
    x, d = numbers(96, 170, start=3), numbers(96, 200, start=33)
    return {"forward": tile.forward(x), "backward": tile.backward(d)}


def read_on_chip(chip: str, fields: dict[str, Any]) -> Results:
    """Weights over several cells and inputs in several passes, as the chip has them."""
    own = cg.IOParameters(**fields)
    config = cg.SingleRPUConfig(device=cg.IdealDevice(), forward=own, backward=own)
    layer = with_weights(cg.AnalogLinear(40, 30, bias=False, rpu_config=config, seed=SEED))
    with cg.emulate(layer, chip):
        x = numbers(5, 40, start=19).requires_grad_(True)
        y = layer(x)
        y.backward(numbers(5, 30, start=29))
        with torch.no_grad():
            return {"forward": y.detach(), "backward": x.grad, "again": layer(x)}


CHIPS = ("isaac", "neurosim-128", "neurosim-one-cell", "hermes-64")
RUNS = {
    **{name: partial(read, fields) for name, fields in READS.items()},
    "read-of-a-large-tile": read_of_a_large_tile,
    **{f"read-on-{chip}": partial(read_on_chip, chip, {}) for chip in CHIPS},
    "read-on-isaac-with-noise": partial(read_on_chip, "isaac", NOISY),
}
