"""The pulsed update on a CUDA card: the trains of all vectors, then their coincidences with all rows.

The addresses of all draws and the order of all steps are those of ``naive`` and ``cpu``.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
import triton

from ...devices.base import parameters_type
from ...machine.programs import programs
from ...rng.cuda import jitted
from ..arguments import DrawnAnew, Looks, Status, Update, Vectors
from ..cpu.exact import update_exactly
from .steps import Stepped, step_kernel, warps_of
from .trains import Codes, Scaling, Shape, Trained, train_kernel

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

    def codes_of(lines: int) -> Any:
        return torch.empty((tiles, batch, lines), dtype=torch.int32, device=where)

    d_codes = codes_of(rows)
    codes = Codes(
        codes_of(columns), d_codes, codes_of(rows) if rule.mode == 1 else d_codes,
        torch.empty((tiles, batch), dtype=torch.int32, device=where),
    )  # fmt: skip
    shape, lengths = Shape(batch, columns, rows), codes.lengths
    scaling = Scaling(
        float(abs(pulsing.rate)), float(pulsing.granularity), float(rule.desired), float(rule.grad_scale),
        float(rule.x_step), float(rule.d_step), float(rule.longest),
    )  # fmt: skip
    has_active = order.active_TB.size > 0
    trained = Trained(
        rule.scaling, rule.mode, bool(rule.jitter), has_active, rule.parts,
        min(1024, triton.next_power_of_2(max(rows, columns))),
    )  # fmt: skip
    train_kernel[programs("trains of an update", tiles * batch)](  # the second axis is short
        Vectors(*(there(each) for each in vectors)), there(order.active_TB) if has_active else lengths,
        there(order.train_keys_T2), ticks, codes, shape, scaling, pulsing.extra, HOW=trained,
        enable_fp_fusion=False,
    )  # fmt: skip
    shortest = int(lengths.min())
    if shortest < 0:
        return Status(-shortest)
    drawn, formula = isinstance(devices.p_TOIP, DrawnAnew), None
    if drawn:
        p_TOIP, formula = devices.p_TOIP
        devices = devices._replace(p_TOIP=p_TOIP)
    pulses = torch.empty(tiles * rows, dtype=torch.int32, device=where)
    stepped = Stepped(
        rule.mode, pulsing.side, bool(pulsing.noisy), bool(pulsing.aggregates), bool(devices.write_noise > 0),
        drawn, triton.next_power_of_2(columns),
    )  # fmt: skip
    kind: Any = type(device)
    step_kernel[programs("rows of an update", tiles * rows)](
        devices._replace(
            c=tuple(float(k) for k in devices.c), write_noise=cast(Any, float(devices.write_noise)),
            keys_T2=there(devices.keys_T2),
        ),
        ticks, codes, pulses, shape, int(pulsing.rate < 0), pulsing.extra, step=jitted(kind.step),
        formula=formula, KIND=parameters_type(kind), PARAMETERS=len(kind.parameters), HOW=stepped,
        enable_fp_fusion=False, num_warps=warps_of(stepped.block),
    )  # fmt: skip
    order.pulses_T[:] += pulses.reshape(tiles, rows).sum(dim=1).cpu().numpy()
    return Status.DONE
