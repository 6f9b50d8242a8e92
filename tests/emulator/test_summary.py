"""``cg.analog_summary``: what tiles hold, what stays digital and why, warnings whose way out works."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.cells import cell_len
from torch import nn

import crossgrid as cg
from crossgrid.emulator.cli.main import main
from crossgrid.emulator.model.kinds import digital_because
from crossgrid.emulator.summary.bounds import weight_range


class Mixed(nn.Module):
    """A convolution, a linear layer, a table, a norm, an attention product, weights of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 6)
        self.conv = nn.Conv1d(6, 4, 3, padding=1)
        self.norm = nn.LayerNorm(4)
        self.own = nn.Parameter(torch.randn(4, 4))
        self.out = nn.Linear(4, 2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.conv(self.table(tokens).mT).mT
        x = self.norm(x) @ self.own
        return self.out(nn.functional.scaled_dot_product_attention(x, x, x))


TOKENS = torch.zeros(3, 5, dtype=torch.long)
WEIGHTS = {"table": 42, "conv": 72, "norm": 8, "own": 16, "out": 8, "biases": 4 + 2}


def converted(model: nn.Module, config: Any = None) -> nn.Module:
    return cg.convert_to_analog(model, config or cg.InferenceRPUConfig(), seed=1)


def test_shares_of_weights_are_those_of_the_parameters() -> None:
    summary = cg.analog_summary(converted(Mixed()))
    total = sum(WEIGHTS.values())
    assert summary.weights == total == sum(p.numel() for p in Mixed().parameters())
    assert {row.name: row.weights for row in summary.analog} == {"conv": 72, "out": 8}
    digital = {row.name: row for row in summary.digital}
    assert digital["table"].weights_share == pytest.approx(42 / total)
    assert digital[""].weights_share == pytest.approx(16 / total)
    assert digital["(in analog layers)"].weights == WEIGHTS["biases"]
    assert summary.analog_share == pytest.approx(80 / total)


def test_multiplications_of_an_example_are_those_of_the_formulas() -> None:
    """Of five tokens: each matrix once a token; queries by keys, weights by values."""
    tokens = 5
    macs = {"conv": 72 * tokens, "out": 8 * tokens, "": 16 * tokens + 2 * tokens * tokens * 4}
    summary = cg.analog_summary(converted(Mixed()), TOKENS)
    assert summary.counted
    rows = {row.name: row for row in (*summary.analog, *summary.digital)}
    for name, count in macs.items():
        assert rows[name].macs == count
        assert rows[name].macs_share == pytest.approx(count / sum(macs.values()))


def test_without_an_example_one_vector_passes_each_layer() -> None:
    summary = cg.analog_summary(converted(Mixed()))
    assert not summary.counted
    assert {row.name: row.macs for row in summary.digital if row.macs} == {"": 16.0}
    assert {row.name: row.macs for row in summary.analog} == {"conv": 72.0, "out": 8.0}
    assert "one vector through each layer" in str(summary)


def test_reasons_are_those_of_the_conversion() -> None:
    model = nn.Sequential(
        nn.Linear(4, 4), nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), nn.Bilinear(4, 4, 2)
    )
    with pytest.warns(UserWarning, match="stay digital"):
        model = cg.convert_to_analog(model, cg.SingleRPUConfig(), exclude_modules=["0"])
    reasons = {row.name: row.why for row in cg.analog_summary(model).digital}
    decided = digital_because(model)
    assert decided
    assert {name: reasons[name] for name in decided} == decided


def test_weights_that_two_modules_share_count_once() -> None:
    model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 9, bias=False))
    model[1].weight = model[0].weight
    summary = cg.analog_summary(converted(model))
    assert summary.weights == 36
    assert [row.weights for row in summary.analog] == [36]


def relative_error(config: Any, model: nn.Module, x: torch.Tensor) -> float:
    """Of the converted model's outputs."""
    with torch.no_grad():
        wanted = model(x)
        found = converted(model, config).eval()(x)
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("make", [cg.SingleRPUConfig, cg.InferenceRPUConfig])
def test_who_follows_the_line_that_is_told_gets_a_model_that_works(make: Any) -> None:
    """Weights of language models have a standard deviation of 0.02; converters' noise is 0.06 a read.

    Outputs of 256 inputs of about 0.4 of the largest are 0.02 sqrt(256) 0.4 = 0.13: as large as two noises,
    after two layers as one.
    """
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(256, 256), nn.Linear(256, 64)), torch.randn(32, 256)
    for layer in model:
        nn.init.normal_(layer.weight, std=0.02)
    summary = cg.analog_summary(converted(model, make()))
    (warning,) = summary.warnings
    assert warning.layers == ("0", "1")
    assert all(row.range_used is not None and row.range_used < 0.1 for row in summary.analog)
    (omega,) = re.findall(r"rpu_config\.mapping\.weight_scaling_omega = ([0-9.]+)", warning.way_out)
    better = make(mapping=cg.MappingParameter(weight_scaling_omega=float(omega)))
    assert cg.analog_summary(converted(model, better)).warnings == ()
    assert relative_error(better, model, x) < 0.4 * relative_error(make(), model, x)


def test_the_range_is_used_by_all_but_one_in_a_hundred_weights() -> None:
    weight = torch.full((10, 100), 0.3)
    weight[0, :10] = 0.6
    layer = cg.AnalogLinear(100, 10, rpu_config=cg.SingleRPUConfig(device=cg.IdealizedPresetDevice()), seed=1)
    layer.set_weights(weight)
    (row,) = cg.analog_summary(layer).analog
    assert row.range == 1.0
    assert row.range_used == pytest.approx(0.3, abs=0.01)
    assert row.largest == pytest.approx(0.6)


def test_devices_that_clip_are_told_with_a_scale_that_fits() -> None:
    """Half the weights lie beyond mean bounds of 0.6."""
    model = nn.Sequential(nn.Linear(50, 40))
    nn.init.uniform_(model[0].weight, -1.2, 1.2)
    (warning,) = cg.analog_summary(converted(model, cg.SingleRPUConfig())).warnings
    assert "at a bound and clip" in warning.problem
    (row,) = cg.analog_summary(converted(model, cg.SingleRPUConfig())).analog
    assert row.clipped == pytest.approx(0.5, abs=0.05)
    (omega,) = re.findall(r"weight_scaling_omega = ([0-9.]+)", warning.way_out)
    better = cg.SingleRPUConfig(mapping=cg.MappingParameter(weight_scaling_omega=float(omega)))
    assert cg.analog_summary(converted(model, better)).warnings == ()


DEVICE = cg.SoftBoundsDevice(w_min=-0.5, w_max=0.8)
PAIR = cg.ReferenceUnitCell(unit_cell_devices=[DEVICE, DEVICE])
CELLS = [
    (cg.FloatingPointDevice(), None),
    (DEVICE, (-0.5, 0.8, 1)),
    (cg.VectorUnitCell(unit_cell_devices=[DEVICE, DEVICE]), (-0.5, 0.8, 2)),
    (cg.TransferCompound(unit_cell_devices=[PAIR, PAIR]), (-0.5, 0.8, 4)),
    (cg.VectorUnitCell(unit_cell_devices=[DEVICE, PAIR], gamma_vec=[1.0, 2.0]), (-1.5, 2.4, 3)),
    (cg.VectorUnitCell(unit_cell_devices=[DEVICE, DEVICE], gamma_vec=[2.0, -1.0]), (-1.8, 2.1, 2)),
    (cg.ReferenceUnitCell(unit_cell_devices=[DEVICE, DEVICE]), (-0.5, 0.8, 2)),
    (cg.OneSidedUnitCell(unit_cell_devices=[DEVICE]), (-0.8, 0.8, 2)),
    (cg.TransferCompound(unit_cell_devices=[DEVICE, DEVICE]), (-0.5, 0.8, 2)),
    (cg.MixedPrecisionCompound(device=DEVICE), (-0.5, 0.8, 1)),
]


@pytest.mark.parametrize(("device", "ends"), CELLS, ids=lambda value: type(value).__name__)
def test_a_range_is_what_can_be_written(device: Any, ends: Any) -> None:
    """Tiles whose devices do not differ hold the ends of the range, and nothing beyond."""
    found = weight_range(device)
    if ends is None:
        assert found is None
        return
    assert found is not None
    assert (found.low, found.high, found.devices) == pytest.approx(ends)
    for each in (*getattr(device, "unit_cell_devices", ()), getattr(device, "device", device)):
        if isinstance(each, cg.SoftBoundsDevice):
            each.w_min_dtod = each.w_max_dtod = 0.0
    config = cg.SingleRPUConfig if isinstance(device, cg.SoftBoundsDevice) else cg.UnitCellRPUConfig
    tile = cg.AnalogTile(1, 2, config(device=device), seed=1)
    tile.set_weights(torch.tensor([[-9.0, 9.0]]))
    held = tile.get_weights().numpy()[0]
    opposed = min(getattr(device, "gamma_vec", []) or [1.0]) < 0 and not isinstance(
        device, cg.ReferenceUnitCell
    )
    if not opposed:  # whose members are all written the same
        assert held == pytest.approx([found.low, found.high], abs=1e-6)


def test_converters_that_lose_what_they_read_are_told() -> None:
    model = nn.Sequential(nn.Linear(256, 10))
    nn.init.uniform_(model[0].weight, -1, 1)
    assert cg.analog_summary(converted(model), chip="demo-128").warnings == ()
    (of_chip,) = cg.analog_summary(converted(model), chip="neurosim-one-cell").warnings
    assert "neurosim-one-cell" in str(of_chip)
    assert "adc.bits" in of_chip.problem
    coarse = cg.InferenceRPUConfig(
        forward=cg.IOParameters(out_res=1 / (2**3 - 2))
    )  # codes 4 apart, sums are 2
    (of_config,) = cg.analog_summary(converted(model, coarse)).warnings
    assert "codes of the ADC are 4 apart" in of_config.problem
    with (
        pytest.warns(UserWarning, match="adc.bits"),
        cg.emulate(converted(model), "neurosim-one-cell") as run,
    ):
        (of_run,) = cg.analog_summary(run.model).warnings
    assert "counts apart" in of_run.problem


def test_what_an_optimizer_does_not_do_to_tiles_is_told() -> None:
    model = converted(nn.Sequential(nn.Linear(20, 10)), cg.FloatingPointRPUConfig())
    optimizer = cg.AnalogSGD(model.parameters(), lr=0.1)
    assert cg.analog_summary(model, optimizer=optimizer).warnings == ()
    held = cg.AnalogSGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    (warning,) = cg.analog_summary(model).warnings  # found by the layers that it holds
    assert "momentum = 0.9 and weight_decay = 0.01" in warning.problem
    del held
    adam = torch.optim.Adam(model.parameters())
    (warning,) = cg.analog_summary(model, optimizer=adam).warnings
    assert "Adam cannot update weights that learn by pulses" in warning.problem
    model(torch.rand(2, 20)).sum().backward()
    with pytest.raises(cg.CrossgridError):  # what the warning says
        adam.step()
    digital = converted(nn.Sequential(nn.Linear(20, 10)))
    assert cg.analog_summary(digital, optimizer=torch.optim.Adam(digital.parameters())).warnings == ()


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        for part in ("q_proj", "k_proj", "v_proj"):
            self.add_module(part, nn.Linear(12, 12))
        self.act = nn.GELU()


def language_model(layers: int) -> nn.Module:
    model = nn.Module()
    model.model = nn.Module()
    model.model.layers = nn.ModuleList()
    for _ in range(layers):
        layer = nn.Module()
        layer.self_attention_of_this_layer = Block()
        model.model.layers.append(layer)
    return converted(model)


@pytest.mark.parametrize("layers", [2, 30])
def test_text_fits_80_columns_and_keeps_both_ends_of_names(layers: int) -> None:
    text = str(cg.analog_summary(language_model(layers)))
    assert max(map(cell_len, text.splitlines())) <= 80
    first = "*" if layers == 30 else "0"
    for end in ("q_proj", "k_proj", "v_proj"):
        (line,) = [line for line in text.splitlines() if re.match(rf"model\S*{end} ", line)][:1]
        assert line.split()[0].startswith("model")
    assert ("×30" in text) == (layers == 30)
    assert f"model.layers.{first}" in text or "…" in text
    named = [line.split()[0] for line in text.splitlines() if "_proj" in line]
    assert len(set(named)) == len(named)  # no two rows read alike


def test_plain_data_is_json_and_holds_every_row() -> None:
    summary = cg.analog_summary(language_model(30))
    data = json.loads(json.dumps(summary.as_dict()))
    assert len(data["analog"]) == 90
    assert data["analog"][0]["name"] == "model.layers.0.self_attention_of_this_layer.q_proj"
    assert {row["why"] for row in data["digital"]} >= {"no matrix of weights"}
    assert data["warnings"] == []


def test_html_escapes_names_and_holds_them_whole() -> None:
    model = nn.Sequential()
    model.add_module("<script>alert(1)</script>" * 3, nn.Linear(2, 2))
    shown = cg.analog_summary(converted(model))._repr_html_()
    assert "<script>" not in shown
    assert html.escape("<script>alert(1)</script>" * 3) in shown


def odd(name: str) -> nn.Module:
    """Models that have little or are not quite themselves."""
    linear = nn.Linear(4, 4)
    if name == "nothing":
        return nn.Module()
    if name == "no weights":
        return nn.Sequential(nn.ReLU())
    if name == "not converted":
        return nn.Sequential(linear)
    if name == "shared":
        return converted(nn.Sequential(linear, nn.ReLU(), linear))
    if name == "dictionary":
        return converted(nn.ModuleDict({"a": linear, "b[red]": nn.ModuleList([nn.Linear(4, 4)])}))
    if name == "parametrized":
        return nn.Sequential(nn.utils.parametrizations.weight_norm(linear))
    if name == "meta":
        with torch.device("meta"):
            return nn.Sequential(nn.Linear(4, 4))
    if name == "quantised":
        packed = nn.Module()  # as torch.ao keeps a layer whose weight is packed
        packed._packed_params = nn.Module()
        return nn.Sequential(packed)
    if name == "compiled":
        return torch.compile(converted(nn.Sequential(linear)), backend="eager")
    if name == "lazy":
        return nn.Sequential(nn.LazyLinear(4))
    return cg.AnalogLinear(4, 4, seed=1)


@pytest.mark.parametrize(
    "name",
    ["nothing", "no weights", "not converted", "shared", "dictionary", "parametrized", "meta", "quantised",
     "compiled", "lazy", "layer"],
)  # fmt: skip
def test_odd_models_have_a_summary(name: str) -> None:
    model = odd(name)
    summary = cg.analog_summary(model)
    matrices = {"shared": 1, "dictionary": 2, "compiled": 1, "layer": 1}.get(name, 0)
    assert len(summary.analog) == matrices
    assert all(row.why for row in summary.digital)
    assert json.dumps(summary.as_dict())
    assert summary._repr_html_()
    assert max(map(cell_len, str(summary).splitlines())) <= 80
    if not matrices:
        assert "no layer is on tiles" in summary.line


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(cg.ConfigError, match=r"takes a torch\.nn\.Module, not a list"):
        cg.analog_summary([nn.Linear(2, 2)])  # type: ignore[arg-type]
    with pytest.raises(cg.ConfigError, match="does not pass through the model"):
        cg.analog_summary(converted(nn.Sequential(nn.Linear(2, 2))), torch.rand(1, 3))


@pytest.mark.parametrize("backend", ["local", "ray"])
def test_a_run_says_one_line_and_its_summary_is_that_of_the_model(backend: Any, capsys: Any) -> None:
    model = converted(nn.Sequential(nn.Linear(20, 10), nn.ReLU(), nn.Linear(10, 4)), cg.SingleRPUConfig())
    before = cg.analog_summary(model)
    with cg.emulate(model, backend=backend, tiles_per_actor="auto"):
        inside = cg.analog_summary(model)
    told = capsys.readouterr().out.splitlines()
    assert told.count(before.line) == 1
    assert inside == before


MODELS = """
import crossgrid as cg
from torch import nn, rand
def plain(): return nn.Sequential(nn.Linear(30, 4), nn.Tanh()), rand(2, 30)
def analog(): return cg.AnalogSequential(cg.AnalogLinear(30, 4))
"""


def test_the_command_looks_at_a_users_model(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "models.py").write_text(MODELS)
    assert main(["doctor", f"{tmp_path}/models.py:plain", "--json", f"{tmp_path}/s.json"]) == 0
    assert "1 analog matrix on 1 tile holds 96.8% of 124 weights" in " ".join(capsys.readouterr().out.split())
    data = json.loads((tmp_path / "s.json").read_text())
    assert data["counted"]
    assert data["analog"][0]["config"] == "SingleRPUConfig"
    assert main(["doctor", f"{tmp_path}/models.py:analog", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["analog"][0]["macs"] == 120
    arguments = ["--config", "InferenceRPUConfig", "--chip", "neurosim-one-cell"]
    assert main(["doctor", f"{tmp_path}/models.py:plain", *arguments]) == 0
    assert "warning: chip 'neurosim-one-cell'" in capsys.readouterr().out
    assert main(["doctor", f"{tmp_path}/models.py:plane"]) == 2
    assert "did you mean 'plain'" in capsys.readouterr().err
    assert main(["doctor", "--json", "-"]) == 2
    assert "belong to a model" in capsys.readouterr().err
