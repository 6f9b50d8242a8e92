"""The public names as an editor and a type checker see them in a user's script elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import crossgrid as cg

ROOT = Path(__file__).parent.parent
# the cache of `make lint` has read torch (half a minute); a script is checked as strictly as can be
AS_IN_LINT = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
STORED = Path(__file__).parent / "golden" / "public_names.txt"
SCRIPT = """
import torch
import crossgrid as cg

model = torch.nn.Sequential(torch.nn.Linear(784, 128), torch.nn.Tanh(), torch.nn.Linear(128, 10))
config = cg.SingleRPUConfig(device=cg.SoftBoundsDevice(dw_min=0.002), mapping=cg.MappingParameter())
analog = cg.convert_to_analog(model, config)
optimizer = cg.AnalogSGD(analog.parameters(), lr=0.05)
with cg.emulate(analog, chip="demo-128", backend="local") as emulation:
    loss = emulation.train_step(torch.rand(8, 784), torch.ones(8), torch.nn.MSELoss(), optimizer)
    outputs = emulation.infer(torch.rand(8, 784))
    report, weights = emulation.report(), emulation.weights()
layer, tile = cg.AnalogLinear(4, 3, rpu_config=config), cg.AnalogTile(3, 4, config)
preset = cg.ReRamESPreset(mapping=cg.MappingParameter(max_input_size=128))
image, sequence = cg.AnalogConv2d(1, 2, 3), cg.AnalogLSTM(3, 4)
"""
SHOWN = {
    "cg.SoftBoundsDevice()": "SoftBoundsDevice",
    "cg.SoftBoundsDevice().dw_min": "float",
    "cg.IOParameters().inp_res": "float",
    "cg.PulseType.MEAN_COUNT": "MEAN_COUNT",
    "config.mapping.max_input_size": "int",
    "preset": "ReRamESPreset",
    "preset.forward": "IOParameters",
    "cg.AGADEcRamPreset().update": "UpdateParameters",
    "cg.EcRamPresetDevice(dw_min=0.01).gamma_up": "float",
    "analog": "Module",
    "cg.convert_to_digital(analog)": "Module",
    "optimizer": "AnalogSGD",
    "emulation": "Emulation",
    "loss": "float",
    "outputs": "Tensor",
    "report": "RunReport",
    "weights": "dict[str, Tensor]",
    "layer": "AnalogLinear",
    "layer(torch.rand(2, 4))": "Tensor",
    "layer.get_weights()": "tuple[Tensor, Tensor | None]",
    "tile.forward(torch.rand(2, 4))": "Tensor",
    "image(torch.rand(1, 1, 5, 5))": "Tensor",
    "sequence(torch.rand(5, 1, 3))[0]": "Tensor",
    'cg.map_layers([cg.LayerShape("a", 3, 4)], cg.load_chip("demo-128"))': "MappingPlan",
}
CHECKERS = {
    "mypy": (
        [sys.executable, "-m", "mypy", *AS_IN_LINT],
        r'script\.py:(\d+): note: Revealed type is "(.*)"$',
    ),
    "pyright": (
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable],
        r'script\.py:(\d+):\d+ - information: Type of ".*" is "(.*)"$',
    ),
}


def revealed(checker: str, script: str, folder: Path) -> tuple[dict[int, str], str]:
    """Line -> type that the checker shows there, and all that it says."""
    (folder / "script.py").write_text(script)
    command, pattern = CHECKERS[checker]
    done = subprocess.run([*command, "script.py"], cwd=folder, capture_output=True, text=True, check=False)
    found = {int(line): shown for line, shown in re.findall(pattern, done.stdout, re.MULTILINE)}
    return found, done.stdout + done.stderr


@pytest.mark.parametrize("checker", [*CHECKERS])
def test_a_users_script_is_typed(checker: str, tmp_path: Path) -> None:
    """No value that comes from crossgrid is ``Any``, and no line is wrong."""
    first = SCRIPT.count("\n") + 1
    script = SCRIPT + "".join(f"reveal_type({expression})\n" for expression in SHOWN)
    found, said = revealed(checker, script, tmp_path)
    assert not re.search(r"script\.py:\d.*error", said), said
    for line, (expression, wanted) in enumerate(SHOWN.items(), first):
        shown = re.sub(r"\b[a-z_]\w*\.", "", found[line])  # without the modules' names
        assert wanted in shown, f"{expression} is shown as {found[line]}"
        assert not re.search(r"\b(Any|Unknown)\b", shown), f"{expression} is shown as {found[line]}"


@pytest.mark.parametrize("checker", [*CHECKERS])
def test_a_wrong_field_or_name_is_seen_before_running(checker: str, tmp_path: Path) -> None:
    script = "import crossgrid as cg\ncg.SoftBoundsDevice(dw_mn=1.0)\ncg.AnalogLiner(1, 2)\n"
    script += "cg.ReRamESPreset(maping=cg.MappingParameter())\ncg.PCMPreset(mapping=1)\n"
    _, said = revealed(checker, script, tmp_path)
    for line in range(2, 6):
        assert re.search(rf"script\.py:{line}.*error", said), said


def test_the_list_of_public_names_is_frozen() -> None:
    """A name that goes breaks somebody's script: it leaves the stored list with a line in the changelog."""
    assert sorted(cg.__all__) == STORED.read_text().split()
