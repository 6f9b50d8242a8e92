"""Models that read time first: what is a step is no input, in a plan, a run's report, a file, a micro-batch.

The reference is the same network with the batch first: an input makes the same vectors, steps and events.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import crossgrid as cg
from crossgrid.chip import LayerShape
from crossgrid.emulator.cli.main import main
from crossgrid.emulator.model.analog_model import analog_matrices
from crossgrid.emulator.shapes.analog import traced_shapes
from crossgrid.emulator.shapes.digital import shapes_of
from crossgrid.kernels.errors import ConfigError

STEPS, BATCH = 7, 3


class Cells(nn.Module):
    """A cell that is called for each step."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.cell, self.batch_first = nn.GRUCell(8, 6), batch_first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = None
        for step in range(STEPS):
            state = self.cell(x[:, step] if self.batch_first else x[step], state)
        return state


class Tokens(nn.Module):
    """Indices [T, B] or [B, T], an embedding, a recurrent layer, a head over every step."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(20, 8), nn.Linear(5, 20)
        self.read = nn.LSTM(8, 5, batch_first=batch_first)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.read(self.embedding(x))[0])


def encoder(batch_first: bool) -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=batch_first)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


MODELS: dict[str, Callable[[bool], nn.Module]] = {
    "LSTM": lambda first: nn.LSTM(8, 5, 2, batch_first=first),
    "GRU": lambda first: nn.GRU(8, 5, bidirectional=True, batch_first=first),
    "cells": Cells,
    "encoder": encoder,
    "tokens": Tokens,
}


def example(name: str, batch_first: bool, batch: int = BATCH) -> torch.Tensor:
    shape = (batch, STEPS) if batch_first else (STEPS, batch)
    return torch.zeros(shape, dtype=torch.long) if name == "tokens" else torch.zeros(*shape, 8)


def seen(layers: tuple[LayerShape, ...]) -> list[tuple[object, ...]]:
    return [
        (layer.name, layer.out, layer.in_, layer.reuse, layer.steps, layer.sources, layer.joins)
        for layer in layers
    ]


@pytest.mark.parametrize("batch", [1, BATCH, STEPS])
@pytest.mark.parametrize("name", MODELS)
def test_an_input_is_the_same_with_time_first(name: str, batch: int) -> None:
    """As a file's model and as one on tiles; also with one input, and with as many as there are steps."""
    found = []
    for first in (True, False):
        given = example(name, first, batch)
        digital = shapes_of(MODELS[name](first), given)
        model = cg.convert_to_analog(MODELS[name](first), cg.FloatingPointRPUConfig(), seed=1)
        analog = traced_shapes(model, list(analog_matrices(model)), given)
        assert [layer.reuse for layer in digital.layers] == [layer.reuse for layer in analog.layers]
        macs = sum(work.macs or 0.0 for work in digital.digital)
        found.append((seen(digital.layers), seen(analog.layers), macs))
    assert found[0] == found[1]
    assert {layer[3] for layer in found[0][0]} == {STEPS}


@pytest.mark.parametrize("name", ["LSTM", "encoder"])
def test_what_has_no_batch_is_one_input(name: str) -> None:
    for first in (True, False):
        layers = shapes_of(MODELS[name](first), (STEPS, 8)).layers
        assert [layer.reuse for layer in layers] == [STEPS] * len(layers)


def test_who_turns_axes_itself_has_its_batch_first() -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.read, self.head = nn.LSTM(8, 5), nn.Linear(5, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.read(x.transpose(0, 1))[0][-1])

    layers = shapes_of(Turned(), (BATCH, STEPS, 8)).layers
    assert [layer.reuse for layer in layers] == [STEPS, STEPS, 1]


@pytest.mark.parametrize("told", [True, False])
def test_a_run_counts_inputs_as_its_plan_does(told: bool) -> None:
    """Energy of three inputs of seven steps, whether an example told how often layers are read or the run."""
    energies = []
    for first in (True, False):
        model = cg.convert_to_analog(MODELS["LSTM"](first), cg.InferenceRPUConfig(), seed=1).eval()
        given = example("LSTM", first)
        with (
            cg.emulate(model, "demo-128", example_input=given if told else None) as running,
            torch.no_grad(),
        ):
            model(given)
            assert {layer.reuse for layer in running.plan.layers} == {STEPS}
            events = running.report().events()
        energies.append((events.adc_conversion, events.mvm, events.hop_bit, events.static_ns))
    assert energies[0] == energies[1]


def test_samples_trained_on_are_inputs() -> None:
    model = cg.convert_to_analog(MODELS["LSTM"](False), cg.FloatingPointRPUConfig(), seed=1)
    with cg.emulate(model, "demo-128") as running:
        model(example("LSTM", False))[0].sum().backward()
        assert running.totals.samples == BATCH


def test_time_is_not_cut_into_micro_batches() -> None:
    model = cg.convert_to_analog(MODELS["tokens"](False), cg.InferenceRPUConfig(), seed=1)
    x = torch.arange(STEPS * BATCH).reshape(STEPS, BATCH) % 20
    optimizer = cg.AnalogSGD(model.parameters(), lr=0.1)
    words = "first dimension, which 'read' reads as time: give one batch as a whole, or make the layer with"
    with cg.emulate(model, "demo-128") as running:
        whole = running.infer(x)
        assert whole.shape == (STEPS, BATCH, 20)
        for parts, micro_batch in ((x, 4), ([x, x], None)):
            with pytest.raises(ConfigError, match=words):
                running.infer(parts, micro_batch)
        with pytest.raises(ConfigError, match=words):
            running.train_step(x, x, lambda y, target: y.sum(), optimizer, micro_batches=2)
        assert running.train_step(x, x, lambda y, target: y.square().mean(), optimizer) > 0


def test_the_command_and_an_onnx_file_read_time_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command's interval of seven steps; a file whose open first size is time asks for it."""
    text = "from torch import nn\n"
    for name, first in (("batch", True), ("time", False)):
        shape = (1, 7, 8) if first else (7, 1, 8)
        text += f"def {name}():\n    return nn.LSTM(8, 5, batch_first={first}), {shape}\n"
    (tmp_path / "nets.py").write_text(text)
    said = []
    for name in ("batch", "time"):
        assert main(["map", f"{tmp_path}/nets.py:{name}", "--chip", "hermes-64", "--json", "-"]) == 0
        said.append(capsys.readouterr().out.replace(f"nets.py:{name}", "nets.py"))
    assert said[0] == said[1]


@pytest.mark.parametrize("size", ["T", 7])
def test_an_onnx_file_whose_first_size_is_time(
    size: str | int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx = pytest.importorskip("onnx", reason="an extra: pip install 'crossgrid[onnx]'")
    from onnx import TensorProto, helper

    def constant(name: str, *sizes: int) -> object:
        values = [0.0] * torch.Size(sizes).numel()
        return helper.make_tensor(name, TensorProto.FLOAT, sizes, values)

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [size, 1, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [size, 1, 1, 5])
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=5)
    weights = [constant("w", 1, 20, 8), constant("r", 1, 20, 5)]
    file = tmp_path / "time.onnx"
    onnx.save(helper.make_model(helper.make_graph([node], "g", [x], [y], weights)), file)
    command = ["map", str(file), "--chip", "hermes-64", "--json", "-"]
    if size == "T":
        assert main(command) == 2
        said = capsys.readouterr().err
        assert "'x' has a first size that is open ('T') and counts steps of time" in said
        assert "--input x=Nx1x8" in said
        command += ["--input", "x=7x1x8"]
    assert main(command) == 0
    assert '"reuse": 7' in capsys.readouterr().out
