"""From torch models to layer shapes, on the meta device, against the models' own numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from crossgrid.chip import Convolution, Join
from crossgrid.emulator.cli.main import main
from crossgrid.emulator.readers.python_file import load_layers
from crossgrid.emulator.shapes.digital import layers_of
from crossgrid.emulator.shapes.zoo import zoo_layers
from crossgrid.kernels.errors import ConfigError


def lenet5() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 5), nn.Tanh(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 5), nn.Tanh(), nn.MaxPool2d(2),
        nn.Tanh(), nn.Flatten(), nn.Linear(512, 128), nn.Tanh(), nn.Linear(128, 10),
    )  # fmt: skip


def test_lenet5_has_the_shapes_of_the_zoo() -> None:
    with torch.device("meta"):
        found = layers_of(lenet5(), (3, 1, 28, 28))  # a batch of three: reuse is that of one image
    assert [(s.out, s.in_, s.reuse) for s in found] == [(s.out, s.in_, s.reuse) for s in zoo_layers("lenet5")]
    assert found[0].convolution == Convolution(1, (5, 5), (1, 1), (28, 28), (24, 24), pooled=True)


def test_without_an_example_layers_come_in_order_of_definition() -> None:
    assert [layer.name for layer in layers_of(lenet5())] == ["0", "3", "8", "10"]
    assert {layer.reuse for layer in layers_of(lenet5())} == {1}


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(20, 30, num_layers=2, batch_first=True)
        self.out = nn.Linear(30, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.cells(x)[0])


def test_recurrent_layers_have_a_matrix_for_inputs_and_one_for_states() -> None:
    found = layers_of(Recurrent(), (2, 7, 20))
    assert [(s.name, s.out, s.in_, s.reuse) for s in found] == [
        ("cells.weight_ih_l0", 120, 20, 7),
        ("cells.weight_hh_l0", 120, 30, 7),
        ("cells.weight_ih_l1", 120, 30, 7),
        ("cells.weight_hh_l1", 120, 30, 7),
        ("out", 5, 30, 7),
    ]


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.shared = nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        return self.shared(self.shared(self.attention(x, x, x)[0]))


def test_attention_projections_and_a_layer_used_twice() -> None:
    found = {s.name: (s.out, s.in_, s.reuse) for s in layers_of(Attention(), (2, 9, 16))}
    assert found["attention.in_proj"] == (48, 16, 9)
    assert found["shared"] == (16, 16, 18)
    assert found["attention.out_proj"][:2] == (16, 16)


def test_a_grouped_convolution_is_a_block_diagonal_matrix() -> None:
    (found,) = layers_of(nn.Conv2d(8, 12, 3, padding=1, groups=4), (1, 8, 6, 6))
    assert (found.out, found.in_, found.groups, found.reuse) == (12, 8 * 9, 4, 36)
    assert found.weights == 12 * 2 * 9
    assert found.convolution is not None
    assert found.convolution.channels_in == 8


def test_no_weight_is_allocated() -> None:
    """A linear layer of 10^12 weights: four terabytes, had it been allocated."""
    with torch.device("meta"):
        model = nn.Linear(10**6, 10**6, bias=False)
    assert layers_of(model, (1, 10**6))[0].weights == 10**12


def test_file_and_callable(tmp_path: Path, capsys) -> None:
    path = tmp_path / "models.py"
    path.write_text(
        "from torch import nn\n"
        "def net():\n    return nn.Sequential(nn.Linear(200, 300), nn.Linear(300, 4)), (5, 200)\n"
        "def bare():\n    return nn.Linear(3, 4)\n"
        "def wrong():\n    return 7\n"
    )
    assert [(s.out, s.in_) for s in load_layers(f"{path}:net")] == [(300, 200), (4, 300)]
    assert load_layers(f"{path}:bare")[0].out == 4
    assert main(["map", f"{path}:net", "--chip", "demo-128"]) == 0
    assert "9 of 100 tiles" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="no callable 'nett': did you mean 'net'"):
        load_layers(f"{path}:nett")
    with pytest.raises(ConfigError, match=r"wrong\(\) returned a int, not a torch.nn.Module"):
        load_layers(f"{path}:wrong")


class Block(nn.Module):
    """A residual block of a transformer: attention by hand, a gated feed-forward part, in-place additions."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.output = nn.Linear(width, width)
        self.gate, self.up = nn.Linear(width, 2 * width), nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.query(x), self.key(x), self.value(x)
        heads = (part.unflatten(-1, (2, -1)).transpose(1, 2) for part in (q, k, v))
        met = nn.functional.scaled_dot_product_attention(*heads, is_causal=True)
        y = self.output(met.transpose(1, 2).flatten(2))
        y += x
        return y + self.down(torch.nn.functional.silu(self.gate(y)) * self.up(y))


def test_sources_and_joins_of_a_transformer() -> None:
    """Batches of 2, 5 tokens of 8 values: 40 values a token sequence, 80 in the feed-forward part."""
    found = {s.name: s for s in layers_of(nn.Sequential(Block(), Block()), (2, 5, 8))}
    wired = {name: (s.sources, {j.name: j.values for j in s.joins}) for name, s in found.items()}
    assert wired == {
        "0.query": (("",), {}), "0.key": (("",), {}),
        "0.value": (("",), {"0.query": 40, "0.key": 40}),
        "0.output": (("0.value",), {"": 40}),
        "0.gate": (("0.output",), {}), "0.up": (("0.output",), {"0.gate": 80}),
        "0.down": (("0.up",), {"0.output": 40}),
        "1.query": (("0.down",), {}), "1.key": (("0.down",), {}),
        "1.value": (("0.down",), {"1.query": 40, "1.key": 40}),
        "1.output": (("1.value",), {"0.down": 40}),
        "1.gate": (("1.output",), {}), "1.up": (("1.output",), {"1.gate": 80}),
        "1.down": (("1.up",), {"1.output": 40}),
    }  # fmt: skip


class Shortcut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(4, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 1, 1)
        self.shortcut, self.after = nn.Conv2d(4, 8, 1, 2), nn.Conv2d(8, 8, 3, 1, 1, groups=2)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.relu(self.conv1(x), inplace=True)
        y = self.conv2(y).add_(self.shortcut(x)).relu_()
        y = y + self.after(y)
        return self.fc(y.mean((2, 3)))


def test_sources_and_joins_of_a_residual_network() -> None:
    found = layers_of(Shortcut(), (3, 4, 8, 8))
    wired = {s.name: (s.sources, {j.name: j.values for j in s.joins}) for s in found}
    assert wired == {
        "conv1": (("",), {}),
        "conv2": (("conv1",), {}),
        "shortcut": (("",), {"conv2": 8 * 16}),
        "after": (("shortcut",), {"shortcut": 128}),
        "fc": (("after",), {}),
    }


def test_a_recurrent_network_s_states_loop() -> None:
    found = {s.name: s for s in layers_of(Recurrent(), (2, 7, 20))}
    assert found["cells.weight_ih_l0"].sources == ("",)
    assert found["cells.weight_hh_l0"].sources == ("cells.weight_hh_l0",)
    assert found["cells.weight_hh_l0"].joins == (Join("cells.weight_ih_l0", 120 * 7),)
    assert found["cells.weight_ih_l1"].sources == ("cells.weight_hh_l0",)
    assert found["out"].sources == ("cells.weight_hh_l1",)


def test_resnet18_is_wired_as_in_the_zoo() -> None:
    """torchvision's ResNet-18, where it is installed, layer by layer."""
    models = pytest.importorskip("torchvision.models", reason="compares with torchvision's model")
    with torch.device("meta"):
        found = layers_of(models.resnet18(), (1, 3, 224, 224))
    zoo = zoo_layers("resnet18")
    before = ["", *(layer.name for layer in zoo)]
    expected = [replace(s, sources=s.sources or (name,)) for s, name in zip(zoo, before, strict=False)]
    assert [(s.name, s.reuse, s.sources, s.joins) for s in found] == [
        (s.name, s.reuse, s.sources, s.joins) for s in expected
    ]


@pytest.mark.parametrize(("bias", "widths"), [("True", [9, 144]), ("False", [10, 145])])
def test_a_model_that_is_analog_is_mapped_as_its_tiles_hold_it(
    bias: str, widths: list[int], tmp_path: Path
) -> None:
    """A bias's column is a row of cells more; the example tells how often vectors pass."""
    file = tmp_path / "net.py"
    file.write_text(f"""
import crossgrid as cg
from torch import nn
def net():
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(144, 4))
    mapping = cg.MappingParameter(digital_bias={bias})
    return cg.convert_to_analog(model, cg.SingleRPUConfig(mapping=mapping)), (1, 1, 6, 6)
""")
    layers = load_layers(f"{file}:net")
    assert [layer.in_ for layer in layers] == widths
    assert [layer.vectors for layer in layers] == [36, 1]
