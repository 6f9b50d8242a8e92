"""What is done to a device to compare distributions: the same data for aihwkit and for this project."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZE = 64  # outputs and inputs: 4096 crosspoints
UPDATES = 200
LEARNING_RATE = 0.02

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "constant": ("ConstantStepDevice", {}),
    "constant_asymmetric": ("ConstantStepDevice", {"up_down": 0.2, "up_down_dtod": 0.1}),
    "constant_log_normal": ("ConstantStepDevice", {"dw_min_dtod_log_normal": True, "dw_min": 0.005}),
    "constant_corrupt": ("ConstantStepDevice", {"corrupt_devices_prob": 0.3, "corrupt_devices_range": 0.4}),
    "constant_lifetime": ("ConstantStepDevice", {"lifetime": 50.0, "lifetime_dtod": 0.3, "diffusion": 0.003}),
    "linear": ("LinearStepDevice", {"gamma_up": 0.4, "gamma_down": 0.7, "gamma_up_dtod": 0.1}),
    "linear_additive": ("LinearStepDevice", {"gamma_up": 0.4, "gamma_down": 0.7, "mult_noise": False}),
    "linear_write_noise": ("LinearStepDevice", {"write_noise_std": 30.0}),
    "soft_bounds": ("SoftBoundsDevice", {"dw_min": 0.01}),
    "soft_bounds_pmax": ("SoftBoundsPmaxDevice", {"p_max": 100, "alpha": 0.005}),
    "soft_bounds_reference": (
        "SoftBoundsReferenceDevice",
        {"dw_min": 0.01, "subtract_symmetry_point": True, "reference_std": 0.05, "up_down": 0.1},
    ),
    "exp": ("ExpStepDevice", {"dw_min": 0.005}),
    "exp_additive": ("ExpStepDevice", {"dw_min_std_add": 0.0005, "dw_min_std_slope": 0.002}),
    "pow": ("PowStepDevice", {"pow_gamma": 2.0, "dw_min": 0.01}),
    "pow_reference": (
        "PowStepReferenceDevice",
        {"pow_gamma": 1.5, "dw_min": 0.01, "subtract_symmetry_point": True, "up_down": 0.1},
    ),
    "piecewise": (
        "PiecewiseStepDevice",
        {"piecewise_up": [1.0, 0.8, 0.3], "piecewise_down": [0.2, 0.9, 1.0], "dw_min": 0.01},
    ),
}  # fmt: skip


def updates() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """x [updates, in] and d [updates, out], with a bias that drives weights into their bounds."""
    rng = np.random.default_rng(7)
    x = rng.uniform(-1.0, 1.0, (UPDATES, SIZE)) + 0.1
    d = rng.uniform(-1.0, 1.0, (UPDATES, SIZE)) + np.linspace(-0.5, 0.5, SIZE)
    return x.astype(np.float32), d.astype(np.float32)
