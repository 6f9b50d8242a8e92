"""Sensitivity: one cause at one layer alone, held to configurations that are written by hand."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

import crossgrid as cg
from crossgrid.emulator.cli.main import main
from crossgrid.emulator.config.causes import CAUSES, OFF, OneCause, alone
from crossgrid.kernels.analog_mvm import IOParameters, SlicedIOParameters

#: fields of a periphery that belong to no cause: how a read is done
HOW = {
    "is_perfect", "mv_type", "out_scale", "bound_management", "noise_management", "max_bm_factor",
    "max_bm_res", "nm_thres", "bm_test_negative_bound", "ir_drop_g_ratio", "ir_drop_wire_ohm",
    "ir_drop_g_max_microsiemens", "v_offset_w_min",
}  # fmt: skip


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5)).eval()


def data(count: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    x = 2 * torch.randn(count, 1, 6, 6, generator=torch.Generator().manual_seed(2))
    return x, network()(x).argmax(1)  # what the digital model says


def study(**given: Any) -> dict[str, Any]:
    return {"model": network(), "data": data(), **given}


def by_hand(layer: str, config: cg.InferenceRPUConfig, drift_s: float | None = None) -> float:
    """The accuracy with ``config`` at one layer, exact products at the other, tiles cut as on demo-128."""
    exact = cg.InferenceRPUConfig(forward=IOParameters(is_perfect=True))
    for each in (exact, config):
        each.mapping = cg.MappingParameter(max_input_size=128, max_output_size=128)
    x, labels = data()
    model = cg.convert_to_analog(
        network(),
        exact,
        seed=0,
        specific_rpu_config_fun=lambda name, _, __: config if name == layer else exact,
    ).eval()
    torch.manual_seed(0)
    with cg.emulate(model) as running:
        if drift_s is not None:
            programmed = model.get_submodule(layer)
            programmed.program_analog_weights()
            programmed.drift_analog_weights(drift_s)
        return float((running.infer(x, 250).argmax(1) == labels).double().mean())


def test_every_field_of_a_periphery_belongs_to_one_cause_or_to_how_it_is_read() -> None:
    named = [name for off in OFF.values() for name in off]
    assert len(set(named)) == len(named)
    assert set(named) | HOW == {spec.name for spec in fields(IOParameters)}
    assert not set(named) & HOW


@pytest.mark.parametrize("layer", ["0", "3"])
def test_two_bits_at_one_layer_cost_what_a_configuration_by_hand_says(layer: str) -> None:
    """demo-128 with 2 bits: y is -b, 0 or b, b the ADC's bound; nothing else is wrong."""
    found = cg.sensitivity(study(), causes=["adc"], settings={"chip.adc.bits": 2})
    adc = cg.load_chip("demo-128").adc
    assert adc is not None
    assert adc.bound is not None
    io = IOParameters(inp_res=0.0, out_noise=0.0, out_bound=adc.bound, out_res=0.5, lines_per_adc=8)
    accuracy = by_hand(layer, cg.InferenceRPUConfig(forward=io))
    assert found.exact == 1.0  # the labels are the digital model's own
    assert found.loss(layer, "adc") == 1.0 - accuracy
    assert accuracy < 0.9


def test_an_adc_of_one_bit_costs_accuracy_where_the_chip_leaves_the_configuration_alone() -> None:
    """A resolution of 1 / (2^1 - 2) has no meaning; a step of the whole bound is what one bit tells."""
    coarse = {"config.forward.out_res": 1.0, "config.forward.out_bound": 2.0}
    found = cg.sensitivity(study(chip="ideal"), causes=["adc", "dac"], settings=coarse)
    for layer in ("0", "3"):
        loss = found.loss(layer, "adc")
        assert loss is not None
        assert loss > 0.1


def test_drift_alone_is_programming_without_noise_and_time() -> None:
    found = cg.sensitivity(study(drift_s=1e8), causes=["drift", "programming"])
    noiseless = cg.PCMLikeNoiseModel(prog_noise_scale=0.0)
    exact_read = IOParameters(is_perfect=True)
    for layer in ("0", "3"):
        config = cg.InferenceRPUConfig(forward=exact_read, noise_model=noiseless)
        assert found.loss(layer, "drift") == 1.0 - by_hand(layer, config, 1e8)
        still = cg.PCMLikeNoiseModel(drift_scale=0.0, read_noise_scale=0.0)
        config = cg.InferenceRPUConfig(forward=exact_read, noise_model=still)
        assert found.loss(layer, "programming") == 1.0 - by_hand(layer, config, 1e8)
    assert found.loss("all", "drift") > 0


def test_where_nothing_is_wrong_nothing_is_lost() -> None:
    """Noise of none, converters that round nothing, a fraction of faults that stucks no device: 0 exactly."""
    perfect = {"config.forward.out_noise": 0.0, "config.forward.is_perfect": True}
    found = cg.sensitivity(study(), settings=perfect)
    assert found.causes == ("adc", "dac", "read", "all")
    assert {loss for row in found.losses.values() for loss in row.values()} == {0.0}
    assert "no cause at one layer alone costs an input" in str(found)


def test_all_causes_at_all_layers_are_the_emulation_itself() -> None:
    """The sweep's ordinary point, which no cause is taken from, has the same numbers."""
    found = cg.sensitivity(study(), settings={"chip.adc.bits": 3})
    (row,) = cg.sweep(study(parameters={"chip.adc.bits": [3]})).rows
    assert found.loss("all", "all") == 1.0 - row["accuracy"]
    assert found.loss("all", "all") > 0


def test_equal_numbers_are_emulated_once() -> None:
    """Two layers and all of them, three causes and all of them, and one exact model: 3 x 4 + 1."""
    found = cg.sensitivity(study())
    assert len(found.sweep.rows) == 16
    assert found.sweep.emulations == 13


def test_stuck_devices_are_as_many_as_asked_for() -> None:
    """Half of a fraction p has no conductance, half the largest; n p of n devices within five deviations."""
    model = OneCause.of(cg.PCMLikeNoiseModel(g_max=25.0), False, False, 0.1)
    from crossgrid.kernels.inference.draws import Draws

    g = np.full((200, 300), 5.0, np.float32)
    draws = Draws(np.array([1, 2], np.uint32), 0, 0, 0, g.shape)
    left = model.apply_programming_noise_to_conductance(g, draws)
    assert set(np.unique(left)) == {0.0, 5.0, 25.0}
    spread = 5 * np.sqrt(g.size * 0.05 * 0.95)
    assert abs((left == 0.0).sum() - 0.05 * g.size) < spread
    assert abs((left == 25.0).sum() - 0.05 * g.size) < spread


def test_faults_cost_more_where_there_are_more() -> None:
    few, many = (
        cg.sensitivity(study(faults=fraction), causes=["faults"]).loss("all", "faults")
        for fraction in (1e-6, 0.4)
    )
    assert few == 0.0
    assert many > 0.1


def test_a_sweep_may_have_faults() -> None:
    accuracies = [row["accuracy"] for row in cg.sweep(study(parameters={"faults": [0.0, 0.5]})).rows]
    assert accuracies[1] < accuracies[0]
    with pytest.raises(cg.ConfigError, match=r"must be a fraction of the devices"):
        cg.sensitivity(study(faults=1.5))


def test_on_a_chip_that_slices_coding_alone_is_its_periphery_with_an_adc_that_rounds_nothing() -> None:
    io = SlicedIOParameters(weight_bits=4, cell_bits=1, slices=3, input_bits=4, dac_bits=1, phases=2)
    config = cg.InferenceRPUConfig(forward=io)
    assert type(alone(config, ["read"]).forward) is IOParameters
    coding, converted = (alone(config, [cause]).forward for cause in ("dac", "adc"))
    assert (coding.weight_bits, coding.adc_limit) == (4, 2.0**30)
    assert converted == replace(io, **{**OFF["read"], "inp_sto_round": False, "inp_asymmetry": 0.0})
    found = cg.sensitivity(study(chip="isaac"), causes=["adc", "dac"])
    assert not found.sweep.errors
    assert found.loss("all", "dac") <= 0.05


def test_rows_are_kept_and_a_layer_of_many_matrices_is_one(tmp_path: Path) -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.read, self.say = nn.LSTM(6, 8, batch_first=True), nn.Linear(8, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.say(self.read(x)[0][:, -1])

    torch.manual_seed(0)
    model = Reader().eval()
    x = torch.randn(50, 4, 6)
    asked = {"model": model, "data": (x, model(x).argmax(1)), "drift_s": 3e7}
    first = cg.sensitivity(asked, tmp_path / "rows.csv", causes=["drift"])
    assert first.layers == ("read", "say")
    again = cg.sensitivity(asked, tmp_path / "rows.csv", causes=["drift"])
    assert (again.sweep.emulations, again.losses) == (0, first.losses)
    assert first.sweep.emulations == 4


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"layers": ["4"]}, "unknown layer '4'"),
        ({"layers": "0"}, "layers = '0' must be a list of names"),
        ({"causes": ["adcs"]}, "unknown cause 'adcs': did you mean 'adc'"),
        ({"causes": ["drift"]}, "cause 'drift' needs a time: give drift_s"),
        ({"causes": ["faults"]}, "cause 'faults' needs a fraction"),
        ({"settings": {"chip.adc.bit": 4}}, "unknown .*'bit'.*bits"),
        ({"settings": {"layer": "0"}}, "is what a sensitivity varies"),
        ({"settings": {"config": "FloatingPointRPUConfig"}}, "FloatingPointRPUConfig is exact"),
    ],
)
def test_what_cannot_be_is_named(given: dict[str, Any], error: str) -> None:
    with pytest.raises(cg.ConfigError, match=error):
        cg.sensitivity(study(), **given)


def test_several_values_analog_models_and_halves_are_named() -> None:
    with pytest.raises(cg.ConfigError, match=r"'chip.adc.bits' has 2 values.*--set chip.adc.bits=VALUE"):
        cg.sensitivity(study(parameters={"chip.adc.bits": [4, 9]}))
    analog = cg.convert_to_analog(network(), cg.InferenceRPUConfig())
    with pytest.raises(cg.ConfigError, match="is analog and keeps its configuration: give a digital one"):
        cg.sensitivity(study(model=analog))
    (row,) = cg.sweep(study(parameters={"layer": ["0"]})).rows
    assert "the study has no 'cause': layer and cause go together" in row["error"]
    assert CAUSES == ("adc", "dac", "read", "programming", "drift", "faults")


def test_the_command_prints_draws_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    examples = Path(__file__).parents[2] / "examples"
    path = tmp_path / "study.yaml"
    settings = {"model": f"{examples}/digits_cnn.py:net", "data": f"{examples}/digits_cnn.py:test_set"}
    parameters = {"chip.adc.bits": [4, 9]}
    path.write_text(yaml.safe_dump({**settings, "parameters": parameters, "samples": 100}))
    files = [tmp_path / name for name in ("rows.csv", "page.html", "bars.png", "losses.json")]
    options = [
        part for name, file in zip(("--rows", "--html", "--png", "--json"), files, strict=True)
        for part in (name, str(file))
    ]  # fmt: skip
    chosen = ["--set", "chip.adc.bits=3", "--set", "drift_s=86400", "--causes", "adc,drift,all"]
    assert main(["sensitivity", str(path), *options, *chosen]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"│ all +│ +[\d.]+", printed)
    losses = json.loads(files[3].read_text())
    assert set(losses["losses"]) == {"0", "2", "5", "all"}
    assert losses["losses"]["all"]["adc"] > 0.1
    page = files[1].read_text()
    assert "http" not in page
    assert page.count('class="bar"') == 12
    assert files[2].read_bytes().startswith(b"\x89PNG")
    assert main(["sensitivity", str(path)]) == 2
    assert "--set chip.adc.bits=VALUE" in capsys.readouterr().err
