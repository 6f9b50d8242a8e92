"""The pulsed update on a CUDA card: the trains of all vectors, then their coincidences with all rows.

The addresses of all draws and the order of all steps are those of ``naive`` and ``cpu``. Updates of several
arrays wait for each other and are made in two launches, trains and steps; nobody waits for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
import triton

from ...devices.base import parameters_type
from ...machine.cuda.clock import Clock
from ...machine.cuda.findings import KINDS, Findings
from ...machine.cuda.pool import Pool
from ...machine.programs import programs
from ...rng.cuda import jitted
from ..arguments import DrawnAnew, Looks, Pulsing, Status, Update
from ..cpu.exact import update_exactly
from .steps import Alike, Stepped, Stepping, step_kernel, vectors_of, warps_of
from .trains import Codes, Scaling, Shape, Trained, Trains, train_kernel

__all__ = ["run", "update_exactly"]  # exact weights are on the host

MOST_LAYERS = 8  # of a launch: each is compiled into it


class Place(NamedTuple):
    """Where an array's updates go."""

    clock: Clock
    pulses_T: Any  # int64, which they are added to
    saturated_TO: Any  # int32, devices at a bound, of each row
    finding: int  # what their findings are called, see ``Findings.place``
    kept: dict[Any, Any]  # indices and keys that are on the card already


class Waiting(NamedTuple):
    """An update that was not made yet."""

    device: Any
    order: Update
    place: Place
    mask_TBO: Any  # uint8, 1 where a gradient is none; None: none is


class Updates:
    """Updates of arrays that share a card: made together, before anybody looks at one of the arrays."""

    def __init__(self, findings: Findings) -> None:
        self.findings, self.pool = findings, Pool()
        self._waiting: list[Waiting] = []
        self._behind: list[tuple[Place, Callable[[Any], None]]] = []

    def add(self, waiting: Waiting) -> None:
        """Make an update later."""
        if any(place.pulses_T is waiting.place.pulses_T for place in self._places()):
            self.make()  # those of one array are made one after the other
        self._waiting.append(waiting)

    def forget(self) -> None:
        """Make nothing of what waits."""
        self._waiting.clear()
        self._behind.clear()

    def then(self, place: Place, change: Callable[[Any], None]) -> None:
        """Change an array behind its updates so far, when they are made; ``change`` takes the findings."""
        self._behind.append((place, change))

    def _places(self) -> list[Place]:
        """Of all arrays that something is to be done to."""
        return [*(each.place for each in self._waiting), *(place for place, _ in self._behind)]

    def raise_found(self) -> None:
        """Make what waits, wait for the card, and say what its kernels found wrong.

        Raises:
            InputError: the layer, the step, and what it was.
        """
        self.make()
        self.findings.raise_found()

    def make(self, ends_step: bool = False) -> None:
        """Make all that wait: the trains of all of them first, so that one finding stops all steps.

        ``ends_step``: they are the last ones of a step of training, which findings count.
        """
        waiting, self._waiting = self._waiting, []
        behind, self._behind = self._behind, []
        if waiting:
            self._make_pulses(waiting, ends_step)
        elif ends_step:
            self.findings.end_step()
        for _, change in behind:
            change(self.findings.word)

    def _make_pulses(self, waiting: list[Waiting], ends_step: bool) -> None:
        self.findings.counts_steps |= ends_step
        alike: dict[Any, list[Waiting]] = {}
        for each in waiting:
            alike.setdefault(_kind(each), []).append(each)
        groups = [
            group[start : start + MOST_LAYERS]
            for group in alike.values()
            for start in range(0, len(group), MOST_LAYERS)
        ]
        codes = [self._make_trains(group) for group in groups]
        for group, of_group in zip(groups, codes, strict=True):
            self._make_steps(group, of_group, steps=int(ends_step and group is groups[-1]))

    def _make_trains(self, group: list[Waiting]) -> list[tuple[Codes, torch.Tensor]]:
        """Launch the trains of some updates; the codes of each, and its clock."""
        layers, blocks, made, first = [], [], [], 0
        for each in group:
            tiles, rows, columns = each.order.devices.w_TOI.shape
            vectors, batch = each.order.vectors, each.order.vectors.batch
            codes = self._codes(tiles, batch, rows, columns, each.order.pulsing.rule.mode)
            clock = each.place.clock.at(each.order.pulsing.tick, batch)
            stop = first + tiles * batch
            masked, active = each.mask_TBO is not None, each.order.some_rest
            layers.append(
                Trains(
                    vectors.x_XBI, _there(each, vectors.x_of_T), vectors.d_DBO, _there(each, vectors.d_of_T),
                    each.mask_TBO if masked else codes.lengths,
                    _there(each, each.order.active_TB) if active else codes.lengths,
                    _there(each, each.order.train_keys_T2), clock, codes,
                    Shape(batch, columns, rows, first, stop), each.order.pulsing.extra, each.place.finding,
                )
            )  # fmt: skip
            blocks.append(min(1024, triton.next_power_of_2(max(rows, columns))))
            made.append((codes, clock))
            first = stop
        one = group[0].order
        how = Trained(
            one.pulsing.rule.scaling, one.pulsing.rule.mode, bool(one.pulsing.rule.jitter),
            one.some_rest, group[0].mask_TBO is not None, one.pulsing.rule.parts,
        )  # fmt: skip
        train_kernel[programs("trains of an update", first)](  # the second axis is short
            tuple(layers), self.findings.word, _scaling(one.pulsing), BLOCKS=tuple(blocks), HOW=how,
            enable_fp_fusion=False,
        )  # fmt: skip
        return made

    def _make_steps(self, group: list[Waiting], codes: list[tuple[Codes, torch.Tensor]], steps: int) -> None:
        """Launch the steps of some updates whose trains are made."""
        layers, blocks, first = [], [], 0
        for each, (of_layer, clock) in zip(group, codes, strict=True):
            devices, batch, pulsing = each.order.devices, each.order.vectors.batch, each.order.pulsing
            tiles, rows, columns = devices.w_TOI.shape
            drawn, stop = isinstance(devices.p_TOIP, DrawnAnew), first + tiles * rows
            layers.append(
                Stepping(
                    devices.w_TOI, devices.seen_TOI, devices.p_TOIP.keys_T2 if drawn else devices.p_TOIP,
                    devices.keys_T2, clock, of_layer, each.place.pulses_T,
                    each.place.saturated_TO,
                    Shape(batch, columns, rows, first, stop), pulsing.extra, tiles * rows, batch,
                )
            )  # fmt: skip
            blocks.append(triton.next_power_of_2(columns))
            first = stop
        devices, pulsing = group[0].order.devices, group[0].order.pulsing
        kind: Any = type(group[0].device)
        drawn, batch = isinstance(devices.p_TOIP, DrawnAnew), max(each.order.vectors.batch for each in group)
        how = Stepped(
            pulsing.rule.mode, pulsing.side, bool(pulsing.noisy), bool(pulsing.aggregates),
            bool(devices.write_noise > 0), drawn, vectors_of(blocks, batch),
        )  # fmt: skip
        formula = devices.p_TOIP.formula if drawn else None
        alike = Alike(
            tuple(float(k) for k in devices.c), float(devices.write_noise),
            int(pulsing.rate < 0), steps,
        )  # fmt: skip
        step_kernel[programs("rows of an update", first)](
            tuple(layers), self.findings.word, alike, step=jitted(kind.step), formula=formula,
            KIND=parameters_type(kind), PARAMETERS=len(kind.parameters), BLOCKS=tuple(blocks),
            HOW=how, enable_fp_fusion=False, num_warps=max(map(warps_of, blocks)),
        )  # fmt: skip

    def _codes(self, tiles: int, batch: int, rows: int, columns: int, mode: int) -> Codes:
        """Room for the codes of an update."""
        x, d, lengths = (
            self.pool.empty(shape, torch.int32)
            for shape in ((tiles, batch, columns), (tiles, batch, rows), (tiles, batch))
        )
        return Codes(x, d, self.pool.empty((tiles, batch, rows), torch.int32) if mode == 1 else d, lengths)


def _kind(each: Waiting) -> Any:
    """What must be equal in updates that are made in one launch."""
    devices, pulsing = each.order.devices, each.order.pulsing
    formula = devices.p_TOIP.formula if isinstance(devices.p_TOIP, DrawnAnew) else None
    same = (
        pulsing.rule, float(pulsing.rate), float(pulsing.granularity), pulsing.side, pulsing.noisy,
        each.order.some_rest, each.mask_TBO is None,
    )  # fmt: skip
    return type(each.device), formula, tuple(devices.c.tolist()), float(devices.write_noise), same


def _scaling(pulsing: Pulsing) -> Scaling:
    rule = pulsing.rule
    return Scaling(
        float(abs(pulsing.rate)), float(pulsing.granularity), float(rule.desired), float(rule.grad_scale),
        float(rule.x_step), float(rule.d_step), float(rule.longest),
    )  # fmt: skip


def _there(each: Waiting, array: Any) -> Any:
    """A small array that is the same in many updates, on the card; uint32 as the int32 of the same bits."""
    if not isinstance(array, np.ndarray):
        return array
    name = array.shape, array.dtype.str, array.tobytes()
    if name not in each.place.kept:
        if len(each.place.kept) > 64:
            each.place.kept.clear()  # which vectors take part changes all the time
        same = np.ascontiguousarray(array.view(np.int32) if array.dtype == np.uint32 else array)
        where = each.order.devices.w_TOI.device
        each.place.kept[name] = torch.from_numpy(same.copy()).to(where)
    return each.place.kept[name]


def run(device: Any, order: Update, looks: Looks | None = None) -> Status:
    """The update of ``cpu.update`` for tensors on a card: made at once, and waited for."""
    assert looks is None
    tiles, where = len(order.devices.w_TOI), order.devices.w_TOI.device
    pulses_T = torch.zeros(tiles, dtype=torch.int64, device=where)
    updates = Updates(Findings())
    saturated_TO = torch.zeros(order.devices.w_TOI.shape[:2], dtype=torch.int32, device=where)
    updates.add(Waiting(device, placed(order), Place(Clock(), pulses_T, saturated_TO, 0, {}), None))
    updates.make()
    found = int(updates.findings.word[0].item())
    order.pulses_T[:] += pulses_T.cpu().numpy()
    return Status(found % KINDS)


def placed(order: Update) -> Update:
    """An update of x and d that are tensors on the card: of arrays, which others may write to, copies."""
    vectors, where = order.vectors, order.devices.w_TOI.device
    x_XBI, d_DBO = (on_card(values, where) for values in (vectors.x_XBI, vectors.d_DBO))
    return order._replace(vectors=vectors._replace(x_XBI=x_XBI, d_DBO=d_DBO))


def on_card(values: Any, where: Any) -> torch.Tensor:
    """A tensor on the card: of an array, which others may write to, a copy."""
    if isinstance(values, np.ndarray):
        return torch.from_numpy(values).to(where, copy=True)
    there: torch.Tensor = values.to(where)
    return there
