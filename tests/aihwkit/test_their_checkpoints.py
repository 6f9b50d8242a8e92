"""A checkpoint that aihwkit 1.1.0 wrote (tests/golden/make_checkpoint.py) goes on here."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from crossgrid.aihwkit import exceptions
from crossgrid.aihwkit.nn import AnalogLinear, AnalogSequential
from crossgrid.aihwkit.simulator.configs import (
    InferenceRPUConfig,
    IOParameters,
    MappingParameter,
    SingleRPUConfig,
)
from crossgrid.aihwkit.utils.checkpoint import load_checkpoint
from crossgrid.kernels.errors import InputError

FILE = Path(__file__).parents[1] / "golden" / "aihwkit_checkpoint.pt"


def model(width: int = 4) -> AnalogSequential:
    perfect = IOParameters(is_perfect=True)
    pulsed = SingleRPUConfig(forward=perfect, mapping=MappingParameter(weight_scaling_omega=0.6))
    mapping = MappingParameter(weight_scaling_omega=1.0, learn_out_scaling=True)
    trained = InferenceRPUConfig(forward=perfect, mapping=mapping)
    trained.pre_post.input_range.enable = True
    first = AnalogLinear(width, 3, rpu_config=pulsed)
    return AnalogSequential(first, AnalogLinear(3, 2, rpu_config=trained))


def state() -> tuple[dict[str, Any], torch.Tensor, torch.Tensor]:
    """The checkpoint, an input and what aihwkit computed of it."""
    found = load_checkpoint(FILE)
    return found, found.pop("test.x"), found.pop("test.y")


@pytest.mark.parametrize("strict", [True, False])
def test_a_checkpoint_of_aihwkit_computes_the_same_here(strict: bool) -> None:
    found, x, y = state()
    ours = model().eval()
    ours.load_state_dict(found, strict=strict)
    assert ours(x).detach() == pytest.approx(y.numpy(), abs=1e-5)
    (tile,) = ours[1].analog_tiles()
    assert tile.input_range.item() == pytest.approx(0.4)
    assert tile.get_learned_out_scales().item() == pytest.approx(1.5)


def test_the_devices_that_were_drawn_there_are_the_devices_here() -> None:
    found, _, _ = state()
    saved = found["0.analog_module.analog_tile_state"]
    names, values = saved["analog_tile_hidden_parameter_names"], saved["analog_tile_hidden_parameters"]
    ours = model()
    ours.load_state_dict(found)
    (tile,) = ours[0].analog_tiles()
    hidden = tile.get_hidden_parameters()
    assert {"max_bound", "min_bound"} <= hidden.keys() & set(names)
    for name in hidden.keys() & set(names):
        assert torch.equal(hidden[name], values[names.index(name)])


def test_another_size_is_refused() -> None:
    found, _, _ = state()
    with pytest.raises(exceptions.TileModuleError, match=r"weights of shape \(3, 4\), the tile is \(3, 5\)"):
        model(5).load_state_dict(found, strict=False)


def test_a_file_with_other_classes_is_refused(tmp_path: Path) -> None:
    class Other:
        pass

    Other.__qualname__ = "Other"
    globals()["Other"] = Other
    torch.save({"x": Other()}, tmp_path / "other.pt")
    with pytest.raises(pickle.UnpicklingError):
        load_checkpoint(tmp_path / "other.pt")


def test_a_pickled_configuration_of_aihwkit_says_how_it_is_read() -> None:
    """``torch.load(..., weights_only=False)`` makes it of the class here, with its fields as a dict."""
    with pytest.raises(InputError, match="load_checkpoint"):
        SingleRPUConfig.__new__(SingleRPUConfig).__setstate__({"runtime": None})
