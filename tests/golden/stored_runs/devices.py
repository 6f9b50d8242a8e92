"""Single devices: how a population is drawn, pulsed, and what happens to it beside pulses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import crossgrid as cg

from .inputs import Results, held, new_tile, pulsed

DEVICES: dict[str, Callable[[], Any]] = {
    "constant-step": lambda: cg.ConstantStepDevice(dw_min=0.01, up_down=0.1),
    "log-normal-steps": lambda: cg.ConstantStepDevice(dw_min=0.01, dw_min_dtod_log_normal=True),
    "inconsistent-devices": lambda: cg.ConstantStepDevice(
        dw_min=0.01, dw_min_dtod=1.5, w_max_dtod=1.5, w_min_dtod=1.5, enforce_consistency=False
    ),
    "linear-step": lambda: cg.LinearStepDevice(dw_min=0.01, gamma_up=0.4, gamma_down=0.6),
    "linear-step-reversed": lambda: cg.LinearStepDevice(
        dw_min=0.01, gamma_up=0.4, gamma_down=0.6, reverse_up=True, mean_bound_reference=False
    ),
    "soft-bounds": lambda: cg.SoftBoundsDevice(dw_min=0.01),
    "soft-bounds-pmax": lambda: cg.SoftBoundsPmaxDevice(p_max=200, alpha=0.01),
    "soft-bounds-reference": lambda: cg.SoftBoundsReferenceDevice(
        dw_min=0.01, reference_std=0.05, subtract_symmetry_point=True, slope_up_dtod=0.1, slope_down_dtod=0.1
    ),
    "exp-step": lambda: cg.ExpStepDevice(dw_min=0.01, dw_min_std_add=0.1, dw_min_std_slope=0.2),
    "pow-step": lambda: cg.PowStepDevice(dw_min=0.01, pow_gamma=1.3, pow_up_down=0.1, pow_up_down_dtod=0.05),
    "pow-step-reference": lambda: cg.PowStepReferenceDevice(
        dw_min=0.01, pow_gamma=1.3, reference_std=0.05, subtract_symmetry_point=True
    ),
    "piecewise-step": lambda: cg.PiecewiseStepDevice(
        dw_min=0.01, piecewise_up=[1.0, 0.5, 0.25], piecewise_down=[0.25, 0.5, 1.0]
    ),
    "neurosim-device": lambda: cg.NeuroSimDevice(d2d_vari=0.05),
    "floating-point-device": cg.FloatingPointDevice,
    "ideal-device": cg.IdealDevice,
    "preset-reram-es": cg.ReRamESPresetDevice,
    "preset-ecram": cg.EcRamPresetDevice,
    "corrupt-devices": lambda: cg.ConstantStepDevice(
        dw_min=0.01, corrupt_devices_prob=0.3, corrupt_devices_range=0.4, perfect_bias=True
    ),
    "write-noise": lambda: cg.SoftBoundsDevice(dw_min=0.01, write_noise_std=1.5),
    "decay-and-diffusion": lambda: cg.ConstantStepDevice(
        dw_min=0.01, lifetime=50.0, lifetime_dtod=0.2, diffusion=0.01, diffusion_dtod=0.2
    ),
    "drawn-by-construction-seed": lambda: cg.SoftBoundsDevice(dw_min=0.01, construction_seed=7),
}


def device(make: Callable[[], Any]) -> Results:
    """The population, and the weights after some updates."""
    return held(pulsed(new_tile(cg.SingleRPUConfig(device=make()))))


def device_reset() -> Results:
    """Devices with a reset level of their own, reset, pulsed and reset."""
    own = cg.ConstantStepDevice(dw_min=0.01, reset=0.1, reset_dtod=0.05, reset_std=0.02)
    tile = new_tile(cg.SingleRPUConfig(device=own))
    tile.reset()
    found: Results = {"once": tile.get_weights()}
    pulsed(tile).reset()
    return {**found, **held(tile)}


def device_drift() -> Results:
    """Weights that drift by a power law, some of them written in between."""
    law = cg.DriftParameter(nu=0.1, nu_dtod=0.1, nu_std=0.05, nu_k=0.02, g_offset=0.5, w_noise_std=0.01)
    tile = new_tile(cg.SingleRPUConfig(device=cg.ConstantStepDevice(dw_min=0.01, drift=law)))
    tile.drift_weights(10.0)
    found: Results = {"first": tile.get_weights()}
    pulsed(tile, batches=1).drift_weights(100.0)
    return {**found, **held(tile)}


RUNS = {
    **{name: partial(device, make) for name, make in DEVICES.items()},
    "device-reset": device_reset,
    "device-drift": device_drift,
}
