"""One training step of one layer, in aihwkit and here: the cases, and how each side makes its configuration.

A case is plain data; ``configuration`` builds it from either library's classes, which have the same names.
"""

from __future__ import annotations

from typing import Any

import numpy as np

BATCH, IN_SIZE, OUT_SIZE = 5, 6, 4
RATE = 0.1

PERFECT = {"is_perfect": True}
#: exact but for the ADC's bound, which some results pass
BOUNDED = {
    "inp_res": -1.0, "out_res": -1.0, "out_noise": 0.0, "inp_bound": 100.0, "out_bound": 0.5,
    "noise_management": "NONE", "bound_management": "NONE",
}  # fmt: skip
RANGE = {"enable": True, "init_value": 1.0, "init_from_data": 0, "decay": 0.0}

CASES: dict[str, dict[str, Any]] = {
    "exact": {"kind": "floating"},
    "exact, omega": {"kind": "floating", "mapping": {"weight_scaling_omega": 0.6}},
    "exact, omega columnwise": {
        "kind": "floating", "mapping": {"weight_scaling_omega": 0.6, "weight_scaling_columnwise": True},
    },
    "pulsed, omega": {"kind": "pulsed", "mapping": {"weight_scaling_omega": 0.6}},
    "pulsed, omega columnwise": {
        "kind": "pulsed", "mapping": {"weight_scaling_omega": 0.6, "weight_scaling_columnwise": True},
    },
    "pulsed, clipped outputs": {"kind": "pulsed", "forward": BOUNDED},
    "pulsed, clipped outputs, omega": {
        "kind": "pulsed", "forward": BOUNDED, "mapping": {"weight_scaling_omega": 0.6},
    },
    "inference, omega": {"kind": "inference", "mapping": {"weight_scaling_omega": 0.6}},
    "inference, omega columnwise": {
        "kind": "inference", "mapping": {"weight_scaling_omega": 0.6, "weight_scaling_columnwise": True},
    },
    "inference, remapped layerwise": {"kind": "inference", "remap": "LAYERWISE_SYMMETRIC"},
    "inference, remapped channelwise": {"kind": "inference", "remap": "CHANNELWISE_SYMMETRIC"},
    "inference, learned scale": {
        "kind": "inference", "mapping": {"weight_scaling_omega": 0.6, "learn_out_scaling": True},
    },
    "inference, learned scale columnwise": {
        "kind": "inference",
        "mapping": {"weight_scaling_omega": 0.6, "learn_out_scaling": True, "out_scaling_columnwise": True},
    },
    "inference, input range": {"kind": "inference", "input_range": {**RANGE, "gradient_relative": False}},
    "inference, input range relative": {"kind": "inference", "input_range": {**RANGE, "init_value": 0.7}},
    "inference, clipped outputs": {"kind": "inference", "forward": BOUNDED},
    "inference, clipped outputs, omega": {
        "kind": "inference", "forward": BOUNDED, "mapping": {"weight_scaling_omega": 0.6},
    },
}  # fmt: skip


def numbers() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """W[out, in], x[B, in] and d = dL/dy[B, out]: sines of the index, alike on every machine."""
    sizes = (OUT_SIZE, IN_SIZE), (BATCH, IN_SIZE), (BATCH, OUT_SIZE)
    w, x, d = (
        np.sin(np.arange(1, np.prod(size) + 1) * step).reshape(size).astype(np.float32)
        for size, step in zip(sizes, (2.3, 1.7, 3.1), strict=True)
    )
    return w * 0.25, x * 1.5, d


def configuration(api: Any, case: dict[str, Any]) -> Any:
    """The case as an RPU configuration of the classes in ``api``."""
    forward = dict(case.get("forward", PERFECT))
    for name, enum in (
        ("noise_management", api.NoiseManagementType), ("bound_management", api.BoundManagementType),
    ):  # fmt: skip
        if name in forward:
            forward[name] = enum[forward[name]]
    mapping = api.MappingParameter(**case.get("mapping", {}))
    if case["kind"] == "floating":
        return api.FloatingPointRPUConfig(mapping=mapping)
    io = api.IOParameters(**forward)
    if case["kind"] == "pulsed":
        config = api.SingleRPUConfig(device=api.ConstantStepDevice(w_max=5.0, w_min=-5.0, w_max_dtod=0.0))
        config.device.w_min_dtod = 0.0
        config.forward, config.backward, config.mapping = io, api.IOParameters(**PERFECT), mapping
        config.update = api.UpdateParameters(pulse_type=api.PulseType.NONE_WITH_DEVICE)
        return config
    config = api.InferenceRPUConfig(forward=io, mapping=mapping)
    if "remap" in case:
        config.remap = api.WeightRemapParameter(type=api.WeightRemapType[case["remap"]])
    if "input_range" in case:
        config.pre_post.input_range = api.InputRangeParameter(**case["input_range"])
    return config
