"""Cases of use: what is placed, what stays digital, and what the command says about users' files."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

import crossgrid as cg
from crossgrid.emulator.cli.main import main
from crossgrid.emulator.shapes.digital import layers_of


class Mine(nn.Linear):
    """A layer of the user's that computes what torch's does."""


class Doubled(nn.Linear):
    """One that computes something else."""

    def forward(self, x):
        return 2 * super().forward(x)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = Mine(4, 4), nn.LazyLinear(4), Doubled(4, 4)
        self.d, self.e = nn.Bilinear(2, 2, 2), nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))


@pytest.mark.case("F26")
def test_what_stays_digital_is_named_with_the_reason() -> None:
    with pytest.warns(
        UserWarning, match=r"b \(LazyLinear: its weight has no shape.*c \(Doubled: its class comp"
    ):
        model = cg.convert_to_analog(Net(), cg.InferenceRPUConfig())
    assert isinstance(model.a, cg.AnalogLinear)
    bare = cg.convert_to_analog(
        nn.ModuleList([nn.Bilinear(2, 2, 2)]), cg.InferenceRPUConfig(), exclude_modules="0"
    )
    with pytest.raises(
        cg.ConfigError, match=r"no analog layers: the conversion left 0 \(no analog layer for it"
    ):
        bare.program_analog_weights()


MODELS = {
    "subclass": (lambda: nn.Sequential(Mine(4, 4), Doubled(4, 4)), (1, 4)),
    "recurrent root": (lambda: nn.LSTM(3, 4, bidirectional=True), (5, 1, 3)),
    "encoder": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (1, 5, 8)),
    "normalised": (
        lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), nn.Linear(4, 3)),
        (1, 4),
    ),
}  # fmt: skip


@pytest.mark.case("F27")
@pytest.mark.filterwarnings("ignore:these layers stay digital")
@pytest.mark.parametrize("name", MODELS)
def test_what_is_costed_is_what_is_emulated(name: str) -> None:
    make, shape = MODELS[name]
    model = make()
    analog = cg.convert_to_analog(model, cg.FloatingPointRPUConfig())
    with cg.emulate(analog, chip="hermes-64", example_input=shape) as run:
        assert run.plan is not None
        emulated = [layer.name for layer in run.plan.layers]
    assert [layer.name for layer in layers_of(model, shape)] == emulated


FILE = """
import torch
from torch import nn

class Branch(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
    def forward(self, x):
        return self.a(x) if x.sum() > 0 else self.b(x)

def depends_on_data():
    return Branch(), (1, 4)
def wrong_example():
    return nn.Linear(4, 3), (1, 5)
def dict_input():
    return Branch(), ({"x": torch.zeros(1, 4)},)
def needs_a_width(width):
    return nn.Linear(width, 3)
def no_batch():
    return nn.Linear(4, 3), (0, 4)
def words():
    return nn.Linear(4, 3), "abc"
def wide():
    return nn.TransformerEncoderLayer(64, 4, 128, batch_first=True), (1, 5, 64)
"""

WRONG = {
    "model.py:depends_on_data": "return the model alone",
    "model.py:wrong_example": "an example of shape (1, 5) fails",
    "model.py:dict_input": "give one batch as the model takes it",
    "model.py:needs_a_width": "give a function without arguments",
    "model.py:no_batch": "holds no batch",
    "model.py:words": "holds no batch",
    "missing.py:main": "cannot be loaded (ModuleNotFoundError",
    "syntax.py:main": "cannot be loaded (SyntaxError",
    "leaves.py:main": "cannot be loaded (SystemExit",
    "a.onnx:main": "is no Python file",
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    texts = {
        "model.py": FILE, "missing.py": "import no_such_module", "syntax.py": "def f(:",
        "leaves.py": "raise SystemExit(3)", "a.onnx": "x",
        "tiny.yaml": "name: tiny\ngrid: {rows: 1, columns: 2}\ncrossbar: {rows: 8, columns: 8}\nideal: yes\n",
    }  # fmt: skip
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.case("F32")
@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_users_file_is_one_line(
    name: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["map", f"{files}/{name}", "--chip", "hermes-64"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert WRONG[name] in told[0]


@pytest.mark.case("F33")
def test_a_comparison_notes_the_rows_left_out(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chips = ["--chip", "hermes-64", "--chip", f"{files}/tiny.yaml", "--all-strategies", "--chips", "1"]
    assert main(["compare", f"{files}/model.py:wide", *chips]) == 0
    told = capsys.readouterr().out
    assert "time-multiplexed" in told
    assert "left out: tiny, per-layer: the model needs" in told
    assert main(["compare", f"{files}/model.py:wide", *chips[2:4], "--chips", "1"]) == 2
    assert "no row of the comparison fits" in capsys.readouterr().err
