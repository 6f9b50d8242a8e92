"""Everything that a device, a cell or a read keeps, carried over to a layer of other devices."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import crossgrid as cg

from .cells import CELLS
from .inputs import BATCH, IN, OUT, SEED, Results, held, new_tile, numbers, pulsed, trained, with_weights

STATES: dict[str, Callable[[], Any]] = {
    "write-noise": lambda: cg.SoftBoundsDevice(dw_min=0.01, write_noise_std=1.5),
    "device-drift": lambda: cg.ConstantStepDevice(dw_min=0.01, drift=cg.DriftParameter(nu=0.1, nu_dtod=0.1)),
    **{
        name: CELLS[name]
        for name in (
            "vector-cell-SingleSequential", "one-sided-cell", "mixed-precision-binned",
            "transfer-rows-at-random", "buffered-transfer", "chopped-transfer-automatic", "dynamic-transfer",
        )
    },
}  # fmt: skip


def new_layer(make: Callable[[], Any], key: int) -> Any:
    """A layer on four tiles whose reads keep a running average."""
    average = cg.IOParameters(noise_management=cg.NoiseManagementType.AVERAGE_ABS_MAX)
    kind = cg.SingleRPUConfig if hasattr(make(), "dw_min") else cg.UnitCellRPUConfig
    mapping = cg.MappingParameter(max_input_size=12, max_output_size=8)
    config = kind(device=make(), forward=average, mapping=mapping)
    return with_weights(cg.AnalogLinear(IN, OUT, bias=False, rpu_config=config, seed=SEED + key))


def carried_over(make: Callable[[], Any]) -> Results:
    """Training in one layer, then in another one that took over its state."""
    first, second = new_layer(make, 0), new_layer(make, 1)
    trained(first, numbers(BATCH, IN, start=151), steps=5)
    second.load_state_dict(first.state_dict())
    return trained(second, numbers(BATCH, IN, start=161), steps=5)


def cell_left_alone(make: Callable[[], Any]) -> Results:
    """A cell whose devices are reset, pulsed, and drift."""
    law = cg.DriftParameter(nu=0.1, nu_dtod=0.1)
    cell = make()
    for device in getattr(cell, "unit_cell_devices", None) or [cell.device]:
        device.drift, device.reset_dtod = law, 0.05
    tile = new_tile(cg.UnitCellRPUConfig(device=cell))
    tile.reset()
    pulsed(tile, batches=4)
    tile.drift_weights(10.0)
    tile.drift_weights(1000.0)
    return held(tile)


ALONE = ("vector-cell-All", "one-sided-cell", "mixed-precision", "transfer")

RUNS = {
    **{f"carried-over-{name}": partial(carried_over, make) for name, make in STATES.items()},
    **{f"left-alone-{name}": partial(cell_left_alone, CELLS[name]) for name in ALONE},
}
