"""Models as others hand them over: ONNX, a Hugging Face configuration, NetWork.csv, inputs by name."""

from __future__ import annotations

import copy
import json
import socket
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import crossgrid as cg
from crossgrid.emulator.cli.main import main
from crossgrid.emulator.readers.named import read_model
from crossgrid.emulator.shapes.digital import shapes_of


class Image(nn.Module):
    """A border, groups, a shortcut, pooling, a transposed convolution, a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.bn = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.c2, self.pool = nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.MaxPool2d(2)
        self.up, self.fc = nn.ConvTranspose2d(8, 4, 2, 2), nn.Linear(4 * 256, 10)

    def forward(self, x: Tensor) -> Tensor:
        a = torch.relu(self.bn(self.c1(x)))
        made: Tensor = self.fc(self.up(self.pool(self.c2(a) + a)).flatten(1))
        return made


class Text(nn.Module):
    """A transformer's layer and a recurrent one in both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(100, 16)
        self.enc = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
        self.lstm, self.out = nn.LSTM(16, 12, bidirectional=True, batch_first=True), nn.Linear(24, 5)

    def forward(self, ids: Tensor) -> Tensor:
        made: Tensor = self.out(self.lstm(self.enc(self.emb(ids)))[0])
        return made


class Parts(nn.Module):
    """Results side by side, slices, a mean: shapes that the file computes."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(1, 4, 3), nn.Conv2d(1, 2, 3, stride=2), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        whole, half = self.a(x)[:, :, ::2, ::2], self.b(x)
        made: Tensor = self.c(torch.cat([whole, half], 1).permute(0, 2, 3, 1).mean((1, 2)))
        return made


def exported(model: nn.Module, example: Tensor, path: Path, **options: Any) -> str:
    pytest.importorskip("onnx", reason="an extra: pip install 'crossgrid[onnx]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model.eval(), (example,), str(path), dynamo=False, opset_version=17, **options)
    return str(path)


@pytest.mark.parametrize(
    ("make", "example"),
    [
        (Image, torch.rand(2, 3, 16, 16)),
        (Text, torch.zeros(1, 7, dtype=torch.long)),
        (Parts, torch.rand(1, 1, 9, 9)),
    ],
)
def test_an_exported_model_has_the_layers_of_the_model(
    make: Callable[[], nn.Module], example: Tensor, tmp_path: Path
) -> None:
    """Sizes, vectors, who reads whom, what joins, pooling and digital products: as torch's own are traced."""
    model = make()
    path = exported(copy.deepcopy(model), example, tmp_path / "model.onnx")
    found, expected = read_model(path), shapes_of(model.eval(), example)
    place = {shape.name: str(k) for k, shape in enumerate(found.layers)}
    other = {shape.name: str(k) for k, shape in enumerate(expected.layers)}

    def told(layers: Any, names: dict[str, str]) -> list[Any]:
        return [
            (
                s.out, s.in_, s.reuse, s.groups, s.convolution, s.in_step, s.concatenated,
                [names.get(source, "") for source in s.sources],
                [(names.get(join.name, ""), join.values) for join in s.joins],
            )
            for s in layers
        ]  # fmt: skip

    assert told(found.layers, place) == told(expected.layers, other)
    macs = [sum(work.macs or 0 for work in works) for works in (found.digital, expected.digital)]
    assert macs[0] == macs[1]
    assert not found.notes
    named = {shape.name for shape in found.layers} & set(other)
    assert len(named) > len(other) / 2 or make is Text  # called as in the model where the file says it


def graph(
    nodes: list[Any], inputs: list[Any], shapes: dict[str, list[int]], path: Path, **values: Any
) -> str:
    onnx = pytest.importorskip("onnx", reason="an extra: pip install 'crossgrid[onnx]'")
    kind, helper = onnx.TensorProto.FLOAT, onnx.helper
    weights = [onnx.numpy_helper.from_array(torch.zeros(size).numpy(), name) for name, size in shapes.items()]
    outputs = [helper.make_tensor_value_info("y", kind, None)]
    infos = [helper.make_tensor_value_info(name, kind, size) for name, size in values.items()]
    made = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(name, kind, size) for name, size in inputs], outputs,
        weights, value_info=infos,
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("of.mine", 1)]
    onnx.save(helper.make_model(made, opset_imports=opsets), str(path))
    return str(path)


def mine(onnx: Any) -> list[Any]:
    node = onnx.helper.make_node
    return [
        node("MatMul", ["x", "first.weight"], ["a"], name="m"),
        node("Wave", ["a"], ["b"], domain="of.mine"),
        node("Wave", ["b"], ["c"], domain="of.mine"),
        node("MatMul", ["c", "last.weight"], ["y"], name="n"),
    ]


def test_an_operator_that_is_not_known_is_named_with_its_share(tmp_path: Path, capsys: Any) -> None:
    onnx = pytest.importorskip("onnx", reason="an extra: pip install 'crossgrid[onnx]'")
    weights = {"first.weight": [6, 8], "last.weight": [8, 3]}
    said = graph(mine(onnx), [("x", [1, 6])], weights, tmp_path / "said.onnx", b=[1, 8], c=[1, 8])
    assert main(["map", said, "--chip", "demo-128", "--json", "-"]) == 0
    printed = capsys.readouterr()
    assert "operators are not known: 'of.mine.Wave' (2 of 4, 50 %)" in printed.err
    layers = json.loads(printed.out)["layers"]
    assert [layer["name"] for layer in layers] == ["first", "last"]
    assert read_model(said).layers[1].sources == ("first",)
    unsaid = graph(mine(onnx), [("x", [1, 6])], weights, tmp_path / "unsaid.onnx")
    assert main(["map", unsaid, "--chip", "demo-128"]) == 2
    error = capsys.readouterr().err
    assert "'of.mine.Wave' (2 of 4, 50 %), and the file does not say of which shape 'b' is" in error
    assert len(error.splitlines()) == 1


def test_an_open_size_is_given_by_name(tmp_path: Path, capsys: Any) -> None:
    """The batch may stay open; a sequence's length may not."""
    path = exported(
        nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 3)), torch.zeros(1, 7, dtype=torch.long),
        tmp_path / "text.onnx", input_names=["ids"],
        dynamic_axes={"ids": {0: "n", 1: "length"}},
    )  # fmt: skip
    assert main(["map", path, "--chip", "demo-128"]) == 2
    assert "input 'ids' has a size that is open ('length'); give its shape: --input ids=NxN" in (
        capsys.readouterr().err
    )
    for length in (5, 9):
        found = read_model(path, [f"ids=1x{length}"]).layers
        assert {shape.reuse for shape in found} == {length}
    with pytest.raises(cg.ConfigError, match=r"unknown input of .* 'id': did you mean 'ids'"):
        read_model(path, ["id=1x5"])


@pytest.mark.parametrize("text", ["x", "x=", "=3", "x=axb", "x=3x-1", "x=1x3:int", f"x={10**30}"])
def test_an_input_that_is_none_is_one_line(text: str, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "m.py").write_text("from torch import nn\ndef f(): return nn.Linear(3, 4)\n")
    assert main(["map", f"{tmp_path}/m.py:f", "--chip", "demo-128", "--input", text]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x07"])
def test_a_file_that_is_no_onnx_is_one_line(content: bytes, tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("onnx", reason="an extra: pip install 'crossgrid[onnx]'")
    (tmp_path / "x.onnx").write_bytes(content)
    for path in (tmp_path / "x.onnx", tmp_path / "none.onnx"):
        assert main(["map", str(path), "--chip", "demo-128"]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_inputs_by_name_reach_a_user_s_model(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(
        "from torch import nn\n"
        "class M(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.a, self.e = nn.Linear(3, 4), nn.Embedding(9, 3)\n"
        "    def forward(self, *, x, ids): return self.a(x + self.e(ids))\n"
    )
    (shape,) = read_model(f"{tmp_path}/m.py:M", ["x=2x5x3", "ids=2x5"]).layers
    assert shape.reuse == 5


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = cg.AnalogLinear(3, 4, rpu_config=cg.InferenceRPUConfig())

    def forward(self, *, x: Tensor, scale: Tensor | None = None) -> Tensor:
        made: Tensor = self.a(x if scale is None else x * scale)
        return made


@pytest.mark.parametrize(
    "example", [{"x": torch.zeros(2, 5, 3)}, {"x": (2, 5, 3)}, {"x": (2, 5, 3), "scale": [2, 1, 1]}]
)
def test_an_example_by_name_in_emulate(example: Any) -> None:
    plan = cg.emulate(Named(), "demo-128", example_input=example).plan
    assert plan is not None
    assert plan.layers[0].reuse == 5


def test_a_run_learns_from_inputs_by_name() -> None:
    model = Named()
    with cg.emulate(model, "demo-128") as running:
        model(x=torch.rand(2, 5, 3))
        assert running.plan is not None
        assert running.plan.layers[0].reuse == 5


def configuration(folder: Path) -> Any:
    transformers = pytest.importorskip("transformers", reason="an extra: pip install 'crossgrid[models]'")
    config = transformers.LlamaConfig(
        hidden_size=32, num_hidden_layers=2, intermediate_size=48, num_attention_heads=4,
        num_key_value_heads=2, vocab_size=100, architectures=["LlamaForCausalLM"],
    )  # fmt: skip
    config.save_pretrained(folder)
    return transformers, config


def test_a_configuration_alone_is_a_model(tmp_path: Path, capsys: Any) -> None:
    """As many weights on tiles as the model that is really built has in its matrices, and no file of them."""
    transformers, config = configuration(tmp_path)
    built = transformers.LlamaForCausalLM(config)
    expected = {n.removesuffix(".weight"): p.numel() for n, p in built.named_parameters() if "proj" in n}
    expected["lm_head"] = built.lm_head.weight.numel()
    found = {shape.name: shape for shape in read_model(str(tmp_path)).layers}
    assert {name: shape.weights for name, shape in found.items()} == expected
    assert {shape.reuse for shape in found.values()} == {128}
    assert read_model(f"hf:{tmp_path}", ["input_ids=1x7"]).layers[0].reuse == 7
    assert main(["map", str(tmp_path), "--chip", "demo-128"]) == 0
    assert "lm_head" in capsys.readouterr().out


def test_a_large_model_takes_no_memory(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="an extra: pip install 'crossgrid[models]'")
    transformers.LlamaConfig(
        hidden_size=4096, num_hidden_layers=32, intermediate_size=11008, num_attention_heads=32,
        vocab_size=32000, architectures=["LlamaForCausalLM"],
    ).save_pretrained(tmp_path)  # fmt: skip
    assert sum(shape.weights for shape in read_model(str(tmp_path)).layers) == 6_607_077_376  # as in the zoo


def test_a_name_that_is_nowhere_says_what_to_give(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Offline: no connection is tried for longer than it takes to fail, and the way out is named."""
    hub = pytest.importorskip("huggingface_hub", reason="an extra: pip install 'crossgrid[models]'")
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("a connection was tried"))
    for name in ("hf:nobody/nothing", "nobody/nothing"):
        assert main(["map", name, "--chip", "demo-128"]) == 2
        error = capsys.readouterr().err
        assert "the configuration of 'nobody/nothing' is not to be had" in error
        assert "give a directory that holds its config.json" in error
        assert len(error.splitlines()) == 1
