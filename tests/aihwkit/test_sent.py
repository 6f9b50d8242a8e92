"""Given devices reach actors, and come home from them."""

from __future__ import annotations

import pytest
import torch

import crossgrid as cg
from crossgrid.aihwkit.nn import AnalogLinear
from crossgrid.aihwkit.simulator.configs import SingleRPUConfig, SoftBoundsDevice


def given(in_size: int) -> AnalogLinear:
    """A layer of devices with bounds that no draw would give."""
    torch.manual_seed(0)
    layer = AnalogLinear(in_size, 2, bias=False, rpu_config=SingleRPUConfig(device=SoftBoundsDevice()))
    (tile,) = layer.analog_tiles()
    bound = torch.full((2, in_size), 0.05)
    tile.set_hidden_parameters({"max_bound": bound, "min_bound": -bound})
    return layer


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("chip", [None, "demo-128"])
def test_actors_pulse_the_devices_that_were_given(chip: str | None) -> None:
    """The bounds hold where the tile lives in an actor, and with the periphery of a chip."""
    layer = given(3)
    with cg.emulate(layer, backend="ray", chip=chip):
        layer.set_weights(torch.ones(2, 3))
        there = layer.get_weights()[0]
    torch.testing.assert_close(there, torch.full((2, 3), 0.05))
    (tile,) = layer.analog_tiles()
    assert tile.get_hidden_parameters()["max_bound"].unique().tolist() == pytest.approx([0.05])


def test_devices_that_were_given_cannot_be_cut_otherwise() -> None:
    layer = given(300)
    with (
        pytest.raises(cg.ConfigError, match="were given, for 1 tiles, not for 3 cut otherwise"),
        cg.emulate(layer, chip="demo-128", backend="local"),
    ):
        pass
    layer(torch.ones(1, 300))
