"""What two plans differ in and what that costs, for the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..cost.cost import Cost, cost_of
from ..description.load import load_chip, presets
from ..plan.file import diff_plans
from ..plan.plan import MappingPlan

#: figures of a cost, what they are called, and their unit's size
_FIGURES = (
    ("energy_pj", "energy", "µJ", 1e6), ("latency_ns", "latency", "µs", 1e3),
    ("interval_ns", "interval", "µs", 1e3), ("area_mm2", "area", "mm²", 1.0),
    ("crossing_bits", "bits from chip to chip", "", 1.0),
)  # fmt: skip


def difference(before: MappingPlan, after: MappingPlan) -> Iterator[str]:
    """What changed from ``before`` to ``after`` and what that costs, a line each; nothing for equal plans."""
    lines = list(diff_plans(before, after))
    yield from lines
    costs = [_cost(plan) for plan in (before, after)]
    if not lines:
        return
    if costs[0] is None or costs[1] is None:
        named = next(plan.chip for plan, cost in zip((before, after), costs, strict=True) if cost is None)
        yield f"cost: not compared, no chip '{named}' is described here as it was then"
        return
    yield from _costs(costs[0], costs[1])


def _costs(before: Cost, after: Cost) -> Iterator[str]:
    for key, name, unit, size in _FIGURES:
        old, new = getattr(before, key) / size, getattr(after, key) / size
        if not math.isclose(old, new, rel_tol=1e-9):
            change = f" ({new / old - 1:+.1%})" if old else ""
            yield f"{name}: {old:,.4g} -> {new:,.4g} {unit}".rstrip() + change


def _cost(plan: MappingPlan) -> Cost | None:
    """Of a plan for a preset that is as it was; a plan does not keep its chip."""
    if plan.chip not in presets():
        return None
    chip = load_chip(plan.chip)
    return cost_of(plan, chip) if chip.identity() == plan.chip_identity else None
