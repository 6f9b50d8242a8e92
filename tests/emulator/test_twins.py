"""One training step of a layer as aihwkit does it (tests/golden/make_twins.py), with every scale and bound.

Rounding aside, all is exact here: perfect or bounded reads, exact or expected updates. Where this project
differs on purpose, the test says by what.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from twin_cases import CASES, IN_SIZE, OUT_SIZE, RATE, configuration, numbers

import crossgrid as cg

GOLDEN_FOLDER = Path(__file__).parents[1] / "golden"

GOLDEN = json.loads((GOLDEN_FOLDER / "twins.json").read_text(encoding="utf-8"))["cases"]
CLOSE = {"rtol": 1e-5, "atol": 2e-6}  # float32 sums of six products of order one


def stepped(case: dict[str, Any]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """What aihwkit's script records, here; and the weights before the step."""
    w, x, d = (torch.from_numpy(values) for values in numbers())
    layer = cg.AnalogLinear(IN_SIZE, OUT_SIZE, bias=False, rpu_config=configuration(cg, case))
    layer.set_weights(w)
    optimizer = cg.AnalogSGD(layer.parameters(), lr=RATE)
    y = layer(x.requires_grad_())
    y.backward(d)
    found = {"y": y.detach(), "x_grad": x.grad}
    tiles = layer.analog_tile
    if case.get("input_range"):
        found["range_grad"] = tiles.input_range.value.grad.clone()
    optimizer.step()
    if tiles.out_scale is not None and tiles.out_scale.learned is not None:
        found["learned"] = tiles.out_scale.learned.detach()
    return {**found, "weights": layer.get_weights()[0]}, w


def masked(y: torch.Tensor) -> torch.Tensor:
    """dL/dy without the outputs at the bound, of which a change of the weight or the input moves none."""
    at_bound = y.abs() >= y.abs().max() * (1 - 1e-5)
    return torch.from_numpy(numbers()[2]).masked_fill(at_bound, 0.0)


@pytest.mark.parametrize("name", CASES)
def test_a_step_is_that_of_aihwkit(name: str) -> None:
    case, golden = CASES[name], {k: torch.tensor(v) for k, v in GOLDEN[name].items()}
    found, w = stepped(case)
    assert found.keys() == golden.keys()
    if "input_range" in case:  # aihwkit's weight gradient is that of x / r: 1 / r of the derivative
        r = case["input_range"]["init_value"]
        golden["weights"] = w + (golden["weights"] - w) * r
    if "clipped" in name:  # aihwkit's update takes d as it came, its backward pass none of a clipped output
        golden["weights"] = w - RATE * masked(golden["y"]).T @ torch.from_numpy(numbers()[1])
    for part, theirs in golden.items():
        torch.testing.assert_close(found[part], theirs, **CLOSE, msg=lambda m, part=part: f"{part}: {m}")


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "clipped" in name])
def test_clipped_outputs_are_there_to_be_compared(name: str) -> None:
    """The cases of the ADC's bound have results on both sides of it; at the bound no gradient passes."""
    found, _ = stepped(CASES[name])
    held = torch.tensor(GOLDEN[name]["y"]).abs()
    at_bound = held >= held.max() * (1 - 1e-5)
    assert 0 < at_bound.sum() < at_bound.numel()
    assert found["y"].abs()[at_bound].numpy() == pytest.approx(held.max().item(), rel=1e-5)
