"""The pulsed update on a CUDA card: the trains of all vectors, then their coincidences with all rows.

The addresses of all draws and the order of all steps are those of ``naive`` and ``cpu``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import triton

from ..arguments import Looks, Status, Update
from ..cpu.exact import update_exactly
from ..parameters import MAX_PULSES
from .steps import step_kernel, stepper
from .trains import train_kernel

__all__ = ["run", "update_exactly"]  # exact weights are on the host


def run(device: Any, order: Update, looks: Looks | None = None) -> Status:
    """The update of ``cpu.update`` for tensors on a card."""
    assert looks is None
    devices, vectors, pulsing = order.devices, order.vectors, order.pulsing
    where, rule = devices.w_TOI.device, pulsing.rule
    tiles, rows, columns = devices.w_TOI.shape
    batch = vectors.batch

    def there(array: Any) -> Any:
        """``array`` on the card; uint32 as the int32 of the same bits."""
        if isinstance(array, np.ndarray):
            array = torch.from_numpy(array.view(np.int32) if array.dtype == np.uint32 else array)
        return array.to(where)

    ticks = torch.tensor([pulsing.tick], dtype=torch.int64, device=where)

    def codes(lines: int) -> Any:
        return torch.empty((tiles, batch, lines), dtype=torch.int32, device=where)

    x_codes, d_codes = codes(columns), codes(rows)
    d_second = codes(rows) if rule.mode == 1 else d_codes
    lengths = torch.empty((tiles, batch), dtype=torch.int32, device=where)
    settings = {"MODE": rule.mode, "BLOCK": min(1024, triton.next_power_of_2(max(rows, columns)))}
    active = there(order.active_TB) if order.active_TB.size else lengths
    train_kernel[(tiles, batch)](
        *(there(each) for each in vectors), active, there(order.train_keys_T2), ticks,
        x_codes, d_codes, d_second, lengths, batch, columns, rows, float(abs(pulsing.rate)),
        float(pulsing.granularity), float(rule.desired), float(rule.grad_scale), float(rule.x_step),
        float(rule.d_step), pulsing.extra, SCALING=rule.scaling, JITTER=bool(rule.jitter),
        HAS_ACTIVE=order.active_TB.size > 0, **settings,
    )  # fmt: skip
    shortest, longest = int(lengths.min()), int(lengths.max())
    if shortest < 0:
        return Status(-shortest)
    if longest > MAX_PULSES:
        return Status.TOO_LONG
    pulses = torch.empty(tiles * rows, dtype=torch.int32, device=where)
    step_kernel[(tiles * rows,)](
        devices.w_TOI, devices.p_TOIP, tuple(float(k) for k in devices.c), devices.seen_TOI,
        float(devices.write_noise), there(devices.keys_T2), ticks, x_codes, d_codes, d_second, lengths,
        pulses, batch, columns, rows, int(pulsing.rate < 0), pulsing.extra, step=stepper(type(device).step),
        PARAMETERS=devices.p_TOIP.shape[3], SIDE=pulsing.side, NOISY=bool(pulsing.noisy),
        AGGREGATES=bool(pulsing.aggregates), WRITE=bool(devices.write_noise > 0),
        **{**settings, "BLOCK": triton.next_power_of_2(columns)},
    )  # fmt: skip
    order.pulses_T[:] += pulses.reshape(tiles, rows).sum(dim=1).cpu().numpy()
    return Status.DONE
