"""The parts of a model as rows: what tiles hold of it, and what stays digital."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from crossgrid.chip import LayerShape
from crossgrid.chip.plan.digital import DigitalWork
from crossgrid.kernels.analog_mvm import SlicedIOParameters

from ..config.rpu import FloatingPointRPUConfig, InferenceRPUConfig, RPUConfig, periphery_of
from ..model.analog_model import analog_layers
from ..model.kinds import multiplies, why_digital
from ..nn.base import AnalogLayer
from ..nn.matrix import AnalogMatrix
from ..tiles.bank import Floats
from .bounds import WeightRange, weight_range

#: weights of a matrix that are looked at to tell how much of the range they use
LOOKED_AT = 1 << 16
#: the share of a matrix's weights that are within what it is said to use of the range: a few stand out
MOST = 0.99


@dataclass(frozen=True, slots=True)
class AnalogRow:
    """A weight matrix on tiles. Shares are fractions."""

    name: str
    kind: str  # class of its layer
    config: str  # class of its configuration
    device: str  # class of its devices or cell; "" where it is trained digitally
    out: int
    in_: int
    tiles: int
    weights: int
    weights_share: float  # of all weights of the model
    macs: float  # multiplications for one input
    macs_share: float  # of all
    range: float | None  # largest magnitude that the tiles hold in the mean; None: no limit
    range_used: float | None  # of it, by all but one in a hundred of its weights; None: no numbers yet
    largest: float  # magnitude that the tiles hold
    clipped: float  # share of its devices that stand at a bound


@dataclass(frozen=True, slots=True)
class DigitalRow:
    """A module, or the model's own part, that no tile computes."""

    name: str  # "" is the model itself
    kind: str  # class of the module
    weights: int
    weights_share: float
    macs: float
    macs_share: float
    why: str


def analog_rows(
    matrices: Sequence[tuple[str, AnalogMatrix]], shapes: Mapping[str, LayerShape]
) -> list[AnalogRow]:
    """A row for each matrix; shares are 0 yet."""
    return [_analog_row(name, matrix, shapes.get(name)) for name, matrix in matrices]


def _analog_row(name: str, matrix: AnalogMatrix, shape: LayerShape | None) -> AnalogRow:
    spec, config = matrix.grid.spec, matrix.rpu_config
    limit = range_of(config)
    held_OI = np.zeros((1, 1), np.float32) if not matrix.has_numbers else matrix.held_weights()
    most = np.quantile(np.abs(held_OI.ravel()[:: -(-held_OI.size // LOOKED_AT)]), MOST)
    weights = spec.out_size * spec.in_size
    vectors = 1.0 if shape is None else shape.vectors
    return AnalogRow(
        name, type(matrix.layer).__name__, type(config).__name__,
        "" if isinstance(config, InferenceRPUConfig) else type(config.device).__name__,
        spec.out_size, spec.in_size, len(spec.tiles), weights, 0.0, weights * vectors, 0.0,
        limit.magnitude if limit else None,
        float(most) / limit.magnitude if limit and limit.magnitude and matrix.has_numbers else None,
        float(max(held_OI.max(), -held_OI.min())), _clipped(matrix, limit, held_OI) if limit else 0.0,
    )  # fmt: skip


def range_of(config: RPUConfig) -> WeightRange | None:
    """The range of the weights that tiles of ``config`` hold.

    Where weights are trained digitally, it ends at 1: the converters' bounds and noises are given for
    weights of at most 1.
    """
    if isinstance(config, FloatingPointRPUConfig):
        return None
    if isinstance(config, InferenceRPUConfig):
        return WeightRange(-1.0, 1.0)
    return weight_range(config.device)


def _clipped(matrix: AnalogMatrix, limit: WeightRange, held_OI: Floats) -> float:
    """The share of devices at a bound, or of weights that a read in slices clips to 1."""
    devices = limit.devices * held_OI.size
    if not matrix.has_numbers:
        return 0.0
    saturated = sum(counters["saturated"] for counters in matrix.grid.stats().values())
    beyond = 0.0
    if any(isinstance(io, SlicedIOParameters) for io in periphery_of(matrix.rpu_config)):
        beyond = float((np.abs(held_OI) > 1.0).mean())
    return max(saturated / devices, beyond)


def digital_rows(model: nn.Module, works: Sequence[DigitalWork], counted: bool) -> list[DigitalRow]:
    """A row for each module that no tile computes; what analog layers keep beside their tiles is one more."""
    modules, seen = dict(model.named_modules()), _on_tiles(model)
    macs: dict[str, float] = defaultdict(float)
    for work in works:
        macs[work.name] += work.macs or 0.0
    rows = []
    for name, told in macs.items():
        if name not in modules:
            continue
        within = isinstance(modules[name], AnalogLayer)
        own = [] if within else [p for p in modules[name].parameters(recurse=False) if id(p) not in seen]
        seen |= {id(p) for p in own}
        each = told if counted else _macs_of_one_vector(modules[name], own)
        rows.append(_digital_row(name, modules[name], sum(map(size_of, own)), each))
    layers = [layer for _, layer in analog_layers(model)]
    left = {id(p): size_of(p) for layer in layers for p in layer.parameters() if id(p) not in seen}
    if left:
        why = "biases and scales: applied to outputs in digital"
        rows.append(DigitalRow("(in analog layers)", "", sum(left.values()), 0.0, 0.0, 0.0, why))
    return rows


def size_of(parameter: Tensor) -> int:
    """How many numbers a parameter has; of one whose shape is not known yet, none."""
    return 0 if isinstance(parameter, nn.parameter.UninitializedParameter) else parameter.numel()


def _on_tiles(model: nn.Module) -> set[int]:
    """The parameters that stand for what tiles hold."""
    layers = [layer for _, layer in analog_layers(model)]
    matrices = [matrix for layer in layers for matrix in layer.matrices().values()]
    held = [matrix.parameter for matrix in matrices]
    held += [matrix.bias for matrix in matrices if matrix.grid.spec.bias_column and matrix.bias is not None]
    for layer in layers:  # what such a weight is computed from
        held += layer.parametrizations.parameters() if is_parametrized(layer) else []  # type: ignore[operator,union-attr]
    return {id(parameter) for parameter in held}


def _digital_row(name: str, module: nn.Module, weights: int, macs: float) -> DigitalRow:
    why = "products of results, no weights" if macs and not weights else why_of(module)
    return DigitalRow(name, type(module).__name__, weights, 0.0, macs, 0.0, why)


def _macs_of_one_vector(module: nn.Module, own: Sequence[Tensor]) -> float:
    """Multiplications of a vector with a module's own matrices."""
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        return 0.0
    return float(sum(p.numel() for p in own if size_of(p) and p.dim() > 1))


def why_of(module: nn.Module) -> str:
    """Why a module is not on tiles; of layers that multiply by weights, what the conversion decided by."""
    if isinstance(module, AnalogLayer):
        return "what it computes besides its matrices"
    if multiplies(module):
        return why_digital(module) or "it was left digital"
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        return "a table: rows are looked up, nothing is multiplied"
    if hasattr(module, "_packed_params"):
        return "its weights are packed (quantised): convert the model before"
    if any(size_of(p) and p.dim() > 1 for p in module.parameters(recurse=False)):
        return why_digital(module) or "it was left digital"
    return "no matrix of weights"


def with_shares(
    analog: Sequence[AnalogRow], digital: Sequence[DigitalRow]
) -> tuple[tuple[AnalogRow, ...], tuple[DigitalRow, ...]]:
    """The rows with their shares of all weights and multiplications."""
    rows: list[AnalogRow | DigitalRow] = [*analog, *digital]
    weights, macs = sum(row.weights for row in rows) or 1, sum(row.macs for row in rows) or 1.0
    return tuple(_shared(analog, weights, macs)), tuple(_shared(digital, weights, macs))


def _shared(rows: Sequence[Any], weights: float, macs: float) -> Iterator[Any]:
    for row in rows:
        yield replace(row, weights_share=row.weights / weights, macs_share=row.macs / macs)
