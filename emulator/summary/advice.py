"""What is likely to be wrong with a model on tiles, each with the way out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from crossgrid.chip import Chip
from crossgrid.chip.description.adc import TYPICAL_SUM, coarse, shortfall
from crossgrid.chip.reports.names import shortened
from crossgrid.kernels.analog_mvm import IOParameters, SlicedIOParameters

from ..analog_matrix.weights import AnalogContext
from ..config.rpu import periphery_of
from ..model.optim import AnalogSGD
from ..nn.matrix import AnalogMatrix
from .rows import AnalogRow

#: of the range of their devices: weights that use less drown in noise that is relative to it
LITTLE = 0.1
#: share of a matrix's devices at a bound from which on its function is another one
CLIPPED = 0.05
#: layers that a warning names
NAMED = 3


@dataclass(frozen=True, slots=True)
class Advice:
    """A warning: what is wrong with which layers, and what to write."""

    problem: str
    way_out: str
    layers: tuple[str, ...] = ()

    def __str__(self) -> str:
        more = f" and {len(self.layers) - NAMED} more" if len(self.layers) > NAMED else ""
        named = ", ".join(shortened(name) for name in self.layers[:NAMED])
        return f"{named}{more}{': ' if named else ''}{self.problem}; {self.way_out}"


def advice_on(
    rows: Sequence[AnalogRow],
    matrices: Sequence[tuple[str, AnalogMatrix]],
    chip: Chip | None,
    optimizer: torch.optim.Optimizer | None,
) -> list[Advice]:
    """All warnings, those that spoil most first."""
    of_matrices = dict(matrices)
    found = [each for row in rows for each in _of_weights(row, of_matrices[row.name])]
    found += [each for row in rows for each in _of_converters(row.name, of_matrices[row.name], chip)]
    if chip is not None and shortfall(chip):
        problem, _, way_out = shortfall(chip).partition("; ")
        found.insert(0, Advice(f"chip '{chip.name}': {problem}", way_out))
    return [*_joined(found), *_of_optimizers(matrices, optimizer)]


def _joined(found: Iterable[Advice]) -> Iterator[Advice]:
    """One warning for all layers that it is said of."""
    layers: dict[tuple[str, str], list[str]] = defaultdict(list)
    for each in found:
        layers[each.problem, each.way_out] += each.layers
    for (problem, way_out), names in layers.items():
        yield Advice(problem, way_out, tuple(names))


def _of_weights(row: AnalogRow, matrix: AnalogMatrix) -> Iterator[Advice]:
    if row.range is None:
        return
    if row.clipped > CLIPPED:
        yield Advice(
            f"more than {CLIPPED:.0%} of the devices are at a bound and clip their weights",
            _wider(row),
            (row.name,),
        )
    elif row.range_used is not None and row.range_used < LITTLE and row.largest > 0.0:
        problem = (
            f"weights use under a tenth of their tiles' range, {row.range:g}, to which noise is relative"
        )
        yield Advice(problem, _narrower(row, matrix), (row.name,))


def _wider(row: AnalogRow) -> str:
    return f"before converting: rpu_config.mapping.weight_scaling_omega = {0.5 * (row.range or 1.0):.2g}"


def _narrower(row: AnalogRow, matrix: AnalogMatrix) -> str:
    """Scale weights up to the range, or up to two thirds of it where bounds differ from device to device."""
    mapping = matrix.rpu_config.mapping
    omega = (row.range or 1.0) * (2.0 / 3.0 if row.device else 1.0)
    if mapping.weight_scaling_omega < 0.9 * omega:
        return f"before converting: rpu_config.mapping.weight_scaling_omega = {omega:.2g}"
    if not mapping.weight_scaling_columnwise:
        return "before converting: rpu_config.mapping.weight_scaling_columnwise = True"
    return "a few weights are far larger than all others: clip them before converting"


def _of_converters(name: str, matrix: AnalogMatrix, chip: Chip | None) -> Iterator[Advice]:
    """Of layers whose converters are not a chip's: steps that leave nothing of a sum."""
    io, rows = periphery_of(matrix.rpu_config)[0], max(tile.shape[1] for tile in matrix.grid.spec.tiles)
    if io.perfect or (chip is not None and shortfall(chip)):
        return
    if isinstance(io, SlicedIOParameters):
        if coarse(io.adc_step, rows, digits=io.cell_bits > 0) and io.cell_bits > 0:
            yield Advice(
                f"codes of the ADC are {io.adc_step:.3g} counts apart, sums of digits are whole numbers",
                "give the chip more adc.bits or fewer crossbar.rows_at_once", (name,),
            )  # fmt: skip
        return
    apart = _step(io)
    if coarse(apart, rows):
        yield Advice(
            f"codes of the ADC are {apart:.3g} apart, a typical sum of {rows} rows is "
            f"{TYPICAL_SUM * rows**0.5:.3g}",
            "give forward.out_res more steps, 1 / (2^bits - 2), or a smaller forward.out_bound", (name,),
        )  # fmt: skip


def _step(io: IOParameters) -> float:
    """Distance of two codes of the ADC, in units of weight times scaled input; 0: continuous."""
    if io.out_res <= 0.0 or io.out_bound <= 0.0:
        return 0.0
    return 2.0 * io.out_bound * (io.out_res if io.out_res <= 1.0 else 1.0 / io.out_res)


def _of_optimizers(
    matrices: Sequence[tuple[str, AnalogMatrix]], optimizer: torch.optim.Optimizer | None
) -> Iterator[Advice]:
    """What of the optimizers that hold the layers does not reach their tiles."""
    held: dict[int, tuple[torch.optim.Optimizer, list[str]]] = {}
    for name, matrix in matrices:
        weight = matrix.parameter
        if not isinstance(weight, AnalogContext):
            continue
        learners = {*weight.learners, *([optimizer] if optimizer and _holds(optimizer, weight) else [])}
        for learner in learners:
            held.setdefault(id(learner), (learner, []))[1].append(name)
    for learner, names in held.values():
        if not isinstance(learner, AnalogSGD):
            yield Advice(
                f"{type(learner).__name__} cannot update weights that learn by pulses: its step is refused",
                "train with cg.AnalogSGD, or convert with an InferenceRPUConfig, whose weights any optimizer "
                "trains",
                tuple(names),
            )  # fmt: skip
        elif ignored := _ignored(learner):
            yield Advice(
                f"AnalogSGD's {ignored} reach digital parameters alone: tiles take pulses, keep no average",
                "set them to 0, or convert with an InferenceRPUConfig, whose weights any optimizer trains",
                tuple(names),
            )  # fmt: skip


def _holds(optimizer: torch.optim.Optimizer, weight: nn.Parameter) -> bool:
    return any(weight is parameter for group in optimizer.param_groups for parameter in group["params"])


def _ignored(optimizer: AnalogSGD) -> str:
    """The settings of ``optimizer`` that do not act on tiles, where they are set for groups with tiles."""
    found: dict[str, Any] = {}
    for group in optimizer.param_groups:
        if any(isinstance(parameter, AnalogContext) for parameter in group["params"]):
            for name in ("momentum", "dampening", "weight_decay", "nesterov"):
                if group[name]:
                    found[name] = group[name]
    return " and ".join(f"{name} = {value}" for name, value in found.items())
