"""Whatever a model's file does, the command answers: a report, or one line and status 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from crossgrid.emulator.cli.main import main

HEAD = """
from __future__ import annotations
import dataclasses
import torch
from torch import nn

class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 4)
"""

#: what a file holds besides, by the words of the one line that it gets
REFUSED = {
    "raises": ("def f(): raise RuntimeError('two\\nlines')", "f() fails (RuntimeError: two lines)"),
    "raises without words": ("def f(): raise ValueError", "f() fails (ValueError)"),
    "raises what cannot be said": (
        "class E(Exception):\n    def __str__(self): raise E\ndef f(): raise E", "f() fails (E)",
    ),
    "raises what is no Exception": (
        "class E(BaseException): pass\ndef f(): raise E('x')", "f() fails (E: x)",
    ),
    "ends the process": ("def f(): raise SystemExit(3)", "f() fails (SystemExit: 3)"),
    "wants arguments": ("def f(n): return nn.Linear(n, 3)", "missing 1 required positional argument"),
    "returns nothing": ("def f(): pass", "f() returned a NoneType, not a torch.nn.Module"),
    "returns a class": ("def f(): return nn.Linear", "f() returned a type"),
    "returns three": ("def f(): return nn.Linear(3, 4), (1, 3), 7", "f() returned a tuple"),
    "returns a list": ("def f(): return [nn.Linear(3, 4), (1, 3)]", "f() returned a list"),
    "is a generator": ("def f(): yield nn.Linear(3, 4)", "f() returned a generator"),
    "is no callable": ("f = 3", "has no callable 'f'"),
    "has no layers": ("def f(): return nn.Sequential(nn.ReLU()), (1, 3)", "has no layer that an analog tile"),
    "is empty": ("def f(): return nn.Module()", "has no layer that an analog tile"),
    "does not say what it computes": ("def f(): return Base(), (1, 3)", 'missing the required "forward"'),
    "of another width": ("def f(): return nn.Linear(3, 4), (1, 5)", "an example of shape (1, 5) fails"),
    "an image too small": ("def f(): return nn.Conv2d(3, 4, 9), (1, 3, 4, 4)", "shape (1, 3, 4, 4) fails"),
    "a scalar": ("def f(): return nn.Linear(3, 4), torch.tensor(3.0)", "shape (), holds no batch"),
    "an empty batch": ("def f(): return nn.Linear(3, 4), (0, 3)", "shape (0, 3), holds no batch"),
    "a negative size": ("def f(): return nn.Linear(3, 4), (-1, 3)", "no example input has such a shape"),
    "an impossible size": ("def f(): return nn.Linear(3, 4), (10**30, 3)", "has such a shape"),
    "a text": ("def f(): return nn.Linear(3, 4), 'abc'", "of type str holds no batch"),
    "a number": ("def f(): return nn.Linear(3, 4), float('nan')", "of type float holds no batch"),
    "broken sizes": ("def f(): return nn.Linear(3, 4), (1.0, 3.0)", "of type tuple holds no batch"),
    "nothing in it": ("def f(): return nn.Linear(3, 4), ()", "of type tuple holds no batch"),
    "an empty mapping": ("def f(): return nn.Linear(3, 4), {}", "of type dict holds no batch"),
    "an array": ("import numpy\ndef f(): return nn.Linear(3, 4), numpy.ones((1, 3))", "of type ndarray"),
    "a nested tensor": (
        "def f():\n    with torch.device('cpu'):\n        parts = [torch.ones(2, 3), torch.ones(4, 3)]\n"
        "        return nn.Linear(3, 4), torch.nested.nested_tensor(parts)",
        "give dense tensors",
    ),
    "complex inputs": (
        "def f(): return nn.Linear(3, 4), torch.zeros(1, 3, dtype=torch.complex64)", "reads complex numbers",
    ),
    "complex weights": (
        "def f(): return nn.Linear(3, 4, dtype=torch.complex64), torch.zeros(1, 3, dtype=torch.complex64)",
        "no layer that an analog tile",
    ),
    "no inputs": ("def f(): return nn.Linear(0, 4), (1, 0)", "in = 0 must be"),
    "no outputs": ("def f(): return nn.Linear(3, 0), (1, 3)", "out = 0 must be"),
    "wide beyond counting": ("def f(): return nn.Linear(3, 10**12), (1, 3)", "must be at most 2147483647"),
    "large beyond memory": ("def f(): return nn.Linear(2**30, 2**24), (1, 2**30)", "tiles of 256 x 256"),
    "no such memory": ("def f(): return nn.Linear(2**40, 2**40)", "f() fails (RuntimeError"),
    "asks numbers": (
        "class M(Base):\n    def forward(self, x): return self.a(x) if x.sum() > 0 else x\n"
        "def f(): return M(), (1, 3)",
        "where the model's path depends on numbers",
    ),
    "picks by numbers": (
        "class M(Base):\n    def forward(self, x): return self.a(x[x.sum(-1) > 0])\n"
        "def f(): return M(), (1, 3)",
        "where the model's path depends on numbers",
    ),
    "wants a card": ("def f(): return nn.Linear(3, 4).to('cuda:99'), (1, 3)", "f() fails"),
    "calls itself": (
        "class M(Base):\n    def forward(self, x): return self.forward(x)\ndef f(): return M(), (1, 3)",
        "RecursionError",
    ),
    "holds itself": (
        "class M(Base):\n    def forward(self, x): return self.a(x)\n"
        "def f():\n    m = M()\n    m._modules['me'] = m\n    return m, (1, 3)",
        "the layers of a M cannot be read (RecursionError",
    ),
    "deep beyond the stack": (
        "def f():\n    m = nn.Linear(3, 3)\n"
        "    for _ in range(2000): m = nn.Sequential(m)\n    return m, (1, 3)",
        "RecursionError",
    ),
    "a script": (
        "def f():\n    with torch.device('cpu'):\n"
        "        return torch.jit.script(nn.Sequential(nn.Linear(3, 4))), (1, 3)",
        "not supported on ScriptModules",
    ),
    "a hook that fails": (
        "def hook(*_): raise ValueError('h')\n"
        "def f():\n    m = nn.Linear(3, 4)\n    m.register_forward_hook(hook)\n    return m, (1, 3)",
        "(ValueError: h)",
    ),
    "no shape yet": ("def f(): return nn.Sequential(nn.LazyLinear(4))", "'0.weight' has no shape yet"),
}  # fmt: skip

#: what is odd and possible, with the layers that are found
MAPPED = {
    "inputs by name": (
        "class M(Base):\n    def forward(self, *, x, y=None): return self.a(x)\n"
        "def f(): return M(), {'x': torch.zeros(1, 3)}",
        [("a", 1)],
    ),
    "a mapping": (
        "class M(Base):\n    def forward(self, batch): return self.a(batch['x'])\n"
        "def f(): return M(), {'x': torch.zeros(2, 5, 3)}",
        [("a", 5)],
    ),
    "of the meta device": (
        "def f(): return nn.Linear(3, 4), torch.zeros(1, 3, device='meta')", [("AnalogLinear", 1)],
    ),
    "half precision": (
        "def f(): return nn.Linear(3, 4).half(), torch.zeros(1, 3).half()", [("AnalogLinear", 1)],
    ),
    "returns nothing": (
        "class M(Base):\n    def forward(self, x): self.a(x)\ndef f(): return M(), (1, 3)", [("a", 1)],
    ),
    "returns a mapping": (
        "class M(Base):\n    def forward(self, x): return {'y': self.a(x), 'n': None}\n"
        "def f(): return M(), (1, 3)",
        [("a", 1)],
    ),
    "a layer that is not used": (
        "class M(Base):\n    def forward(self, x): return 2 * x\ndef f(): return M(), (1, 3)", [("a", 1)],
    ),
    "a layer used twice": (
        "def f():\n    a = nn.Linear(3, 3)\n    return nn.Sequential(a, a), (1, 3)", [("0", 2)],
    ),
    "a callable without an example": ("def f(): return Base()", [("a", 1)]),
    "a batch without end": ("def f(): return nn.Linear(3, 4), (10**12, 3)", [("AnalogLinear", 1)]),
    "shapes that the example tells": (
        "def f(): return nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(2)), (1, 3, 5, 5)",
        [("0", 9), ("2", 1)],
    ),
    "positions that it makes": (
        "class M(Base):\n    def forward(self, x):\n"
        "        return self.a(x) + self.p(torch.arange(x.shape[1]))\n"
        "    def __init__(self):\n        super().__init__()\n        self.p = nn.Embedding(9, 4)\n"
        "def f(): return M(), (1, 5, 3)",
        [("a", 5)],
    ),
    "numbers that it asks of its own": (
        "class M(Base):\n    def __init__(self):\n        super().__init__()\n"
        "        self.rates = [rate.item() for rate in torch.linspace(0, 1, 4)]\n"
        "    def forward(self, x): return self.a(x)\n"
        "def f(): return M(), (1, 3)",
        [("a", 1)],
    ),
    "classes of its own": (
        "@dataclasses.dataclass\nclass C:\n    n: int = 4\ndef f(): return nn.Linear(C().n, 2), (1, 4)",
        [("AnalogLinear", 1)],
    ),
    "warns and prints": (
        "import warnings\nclass M(Base):\n    def forward(self, x):\n        print('here')\n"
        "        warnings.warn('odd')\n        return self.a(x)\ndef f(): return M(), (1, 3)",
        [("a", 1)],
    ),
    "names that are markup": (
        "def f():\n    m = nn.Module()\n    m.add_module('[/bold]$x^{</script>', nn.Linear(3, 4))\n"
        "    return m",
        [("[/bold]$x^{</script>", 1)],
    ),
}  # fmt: skip


def _map(folder: Path, text: str, *options: str) -> int:
    path = folder / "mine.py"
    path.write_text(HEAD + text + "\n")
    return main(["map", f"{path}:f", "--chip", "hermes-64", *options])


@pytest.mark.parametrize("kind", REFUSED)
def test_a_model_that_cannot_be_mapped_is_one_line(kind: str, tmp_path: Path, capsys) -> None:
    text, words = REFUSED[kind]
    assert _map(tmp_path, text, "--json", "-") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert words in said.err
    assert len(said.err.splitlines()) == 1
    assert len(said.err) < 700


@pytest.mark.parametrize("kind", MAPPED)
def test_an_odd_model_is_mapped_and_its_words_mix_with_no_result(kind: str, tmp_path: Path, capsys) -> None:
    text, layers = MAPPED[kind]
    files = {name: tmp_path / f"x.{name}" for name in ("html", "save", "png", "neurosim", "zigzag")}
    options = [part for name, path in files.items() for part in (f"--{name}", str(path))]
    assert _map(tmp_path, text, *options) == 0
    capsys.readouterr()
    assert _map(tmp_path, text, "--json", "-") == 0
    data = json.loads(capsys.readouterr().out)
    assert [(layer["name"], layer["reuse"]) for layer in data["layers"]] == layers
    assert all(path.stat().st_size for path in files.values())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "has no callable 'f'"),
        (b"def f(:\n", "SyntaxError"),
        (b"\x00\x01\x02", "null bytes"),
        (b"\xff\xfe", "codec can't decode"),
        (b"import nothere", "No module named 'nothere'"),
        (b"import sys; sys.exit(0)", "SystemExit: 0"),
        (b"from . import x", "relative import"),
    ],
)
def test_a_file_that_is_no_module_is_one_line(content: bytes, words: str, tmp_path: Path, capsys) -> None:
    path = tmp_path / "mine.py"
    path.write_bytes(content)
    assert main(["map", f"{path}:f", "--chip", "demo-128"]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    "model", ["", ":", "::", ":f", "/:f", "\0:f", "x" * 5000 + ":f", "here.txt:f", "a.py"]
)
def test_a_name_of_no_model_is_one_line(model: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here.txt").write_text("text")
    assert main(["map", model, "--chip", "demo-128"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--png", "x.foo"], "'foo' is no format of pictures; give one of"),
        (["--chips", str(10**30)], "are more than 2147483647 tiles"),
        (["--plan", __file__], "is damaged or no plan"),
    ],
)
def test_an_odd_option_is_one_line(options: list[str], words: str, capsys) -> None:
    assert main(["map", "lenet5", "--chip", "demo-128", *options]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1


def test_a_model_s_file_is_asked_once(tmp_path: Path, capsys) -> None:
    """A page compares strategies; what a model prints while it is made is said once, beside the result."""
    assert (
        _map(
            tmp_path, "def f():\n    print('made')\n    return nn.Linear(3, 4)", "--html", str(tmp_path / "x")
        )
        == 0
    )
    assert capsys.readouterr().err.splitlines() == ["made"]


def test_who_reads_no_further_hears_no_complaint() -> None:
    code = "import sys; from crossgrid.emulator.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = (
        f"{sys.executable} -c '{code}' compare resnet50 --chip hermes-64 --all-strategies --json - | head -1"
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout == "[\n"
    assert done.stderr == ""


def test_an_interruption_by_hand_is_one_line(tmp_path: Path, capsys) -> None:
    assert _map(tmp_path, "def f(): raise KeyboardInterrupt") == 130
    assert capsys.readouterr().err == "crossgrid: interrupted\n"
