"""How x and d become pulses: every pulse type and every way to scale the trains."""

from __future__ import annotations

from functools import partial
from typing import Any

import crossgrid as cg

from .inputs import RATE, Results, new_tile, numbers, pulsed

Pulse = cg.PulseType

UPDATES: dict[str, dict[str, Any]] = {
    **{f"pulses-{pulse.value}": {"pulse_type": pulse} for pulse in Pulse},
    "pulses-implicit-with-steps": {
        "pulse_type": Pulse.DETERMINISTIC_IMPLICIT, "x_res_implicit": 0.05, "d_res_implicit": 0.1,
    },
    "trains-of-ten": {"desired_bl": 10, "update_bl_management": False},
    "trains-unmanaged": {"update_management": False, "update_bl_management": False},
    "trains-as-long-as-the-rate-asks": {
        "fixed_bl": False, "update_management": False, "update_bl_management": False, "desired_bl": 8,
    },
    "trains-with-scaled-gradients": {"um_grad_scale": 0.5, "update_bl_management": False},
    "trains-rounded": {"res": 0.05},
    "trains-rounded-at-random": {"res": 0.05, "sto_round": True},
    "two-passes-rounded-at-random": {"pulse_type": Pulse.STOCHASTIC, "res": 0.05, "sto_round": True},
}  # fmt: skip


def update(fields: dict[str, Any]) -> Results:
    """A device whose step depends on the weight, and one whose steps are taken together."""
    found: Results = {}
    for device in (cg.SoftBoundsDevice(dw_min=0.01), cg.ConstantStepDevice(dw_min=0.01)):
        config = cg.SingleRPUConfig(device=device, update=cg.UpdateParameters(**fields))
        found[type(device).__name__] = pulsed(new_tile(config)).get_weights()
    return found


def update_of_a_large_tile() -> Results:
    """Enough rows and vectors for several threads; long trains and the longest of rates."""
    tile = new_tile(cg.SingleRPUConfig(device=cg.SoftBoundsDevice(dw_min=0.005)), out_size=200, in_size=170)
    tile.update(numbers(48, 170, start=7), numbers(48, 200, start=77), 2.0 * RATE)
    tile.update(numbers(48, 170, start=17, scale=2.0**-9), numbers(48, 200, start=177), -RATE)
    return {"weights": tile.get_weights()}


RUNS = {
    **{name: partial(update, fields) for name, fields in UPDATES.items()},
    "update-of-a-large-tile": update_of_a_large_tile,
}
