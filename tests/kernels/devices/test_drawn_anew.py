"""A card draws devices from their address: what a device's draw does becomes a function of a kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossgrid.kernels.config import config
from crossgrid.kernels.devices import ConstantStepDevice, PowStepReferenceDevice
from crossgrid.kernels.devices.base import PulsedDevice, evaluated
from crossgrid.kernels.devices.drawn.traced import formula_text


def test_a_card_has_the_processors_populations_and_keeps_none_of_them() -> None:
    pytest.importorskip("triton", reason="Triton is an extra: pip install 'crossgrid[cuda]'")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("drawn_checks.py"))],
        env={**os.environ, "TRITON_INTERPRET": "1"}, check=False, capture_output=True, text=True, timeout=560,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "agrees"


@pytest.mark.gpu
def test_a_card_that_is_there_does_too() -> None:
    from drawn_checks import main

    main()


def _decides(up: Any) -> Any:
    return up if up[0] > 0 else -up


REFUSED = {
    "exponential of numpy": np.exp,
    "power": lambda up: up**2,
    "decision": lambda up: up if up > 0 else -up,
    "part": _decides,
    "sum": lambda up: up + np.sum(up),
    "double": lambda up: np.float64(0.1) * up,
    "infinite": lambda up: up + np.inf,
    "copied": lambda up: np.asarray(up, np.float64),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_draw_that_does_more_is_left_to_numpy(name: str) -> None:
    @config
    class Own(ConstantStepDevice):
        def draw(self, draws: Any) -> Any:
            drawn = PulsedDevice.draw(self, draws)
            return {**drawn, "dwmin_up": REFUSED[name](drawn["dwmin_up"])}

    assert formula_text(Own()) is None
    assert formula_text(ConstantStepDevice()) is not None


def test_the_text_draws_each_word_once() -> None:
    traced = formula_text(ConstantStepDevice())
    assert traced is not None
    assert traced.text.count("philox4x32(") == 1
    assert traced.text.count("normal_pair(") == 2
    assert traced.formulas == ()


def twice(x: Any, y: Any) -> Any:
    return x + y


def test_the_text_calls_a_formula_once_for_the_same_values_and_with_values_of_all_devices_alone() -> None:
    @config
    class Own(ConstantStepDevice):
        def draw(self, draws: Any) -> Any:
            drawn = PulsedDevice.draw(self, draws)
            up, down = (evaluated(twice, drawn["dwmin_up"], 2.0) for _ in range(2))
            return {**drawn, "dwmin_up": up, "dwmin_down": down}

    traced = formula_text(Own())
    assert traced is not None
    assert traced.formulas == (("twice_0", twice),)
    assert traced.text.count("twice_0(") == 1
    assert "tl.full(column.shape, (2.0), tl.float32)" in traced.text
    assert evaluated(twice, np.float32(0.5), np.float32(2.0)) == np.float32(2.5)


def test_a_long_draw_is_left_to_numpy() -> None:
    """Each pair of steps towards a symmetry point is ten lines."""
    few, many = (
        PowStepReferenceDevice(subtract_symmetry_point=True, n_estimation_steps=steps) for steps in (3, 3000)
    )
    assert formula_text(few) is not None
    assert formula_text(many) is None
