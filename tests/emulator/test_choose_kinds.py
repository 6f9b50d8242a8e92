"""Kinds of tiles chosen by what layers lose on them: measured one by one, then emulated as a whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

import crossgrid as cg
from crossgrid.chip.description.load import PRESETS
from crossgrid.emulator.cli.main import main
from crossgrid.kernels.errors import ConfigError

SCRIPT = """
import torch
from torch import nn

def net():
    torch.manual_seed(1)
    layers = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 30), nn.ReLU(), nn.Linear(30, 5)
    return nn.Sequential(*layers).eval()

def data():
    x = 2 * torch.randn(60, 1, 6, 6, generator=torch.Generator().manual_seed(2))
    return x, net()(x).argmax(1)
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Tiles of 4 bits, of 9, and cores that hold all; the digital model is right every time."""
    chip: dict[str, Any] = yaml.safe_load((PRESETS / "demo-128.yaml").read_text())
    chip["adc"] |= {"bits": 4, "bound": 4.0}
    chip["kinds"] = {"fine": {"tiles": 4, "adc": {"bits": 9}}}
    chip["digital"] = {"cores": 3}
    (tmp_path / "mixed.yaml").write_text(yaml.safe_dump(chip))
    (tmp_path / "net.py").write_text(SCRIPT)
    said = {"model": "net.py:net", "data": "net.py:data", "chip": "mixed.yaml", "parameters": {}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(said))
    return tmp_path / "study.yaml"


def test_the_choice_is_within_its_budget_and_is_run(study: Path) -> None:
    """Of no budget all that loses anything is left out; of a whole one the cheapest tiles are taken."""
    nothing = cg.choose_kinds(study, 0.0)
    for layer, kind in nothing.kinds.items():
        assert nothing.options[layer][kind].loss <= 0.0
    everything = cg.choose_kinds(study, 1.0)
    for layer, kind in everything.kinds.items():
        assert everything.options[layer][kind].energy_pj == min(
            o.energy_pj for o in everything.options[layer].values()
        )
    assert everything.choice.energy_pj < nothing.choice.energy_pj
    assert nothing.runs["digital"]["accuracy"] == 1.0
    chosen = nothing.runs["chosen"]
    assert chosen["kinds"] == nothing.text
    assert everything.runs["home"]["accuracy"] < chosen["accuracy"]
    # a loss is that of the layer alone, as the emulation of it says
    alone = cg.sensitivity(study, causes=["all"], settings={"kinds": "*=home"})
    for layer in everything.kinds:
        assert everything.options[layer]["home"].loss == alone.loss(layer, "all")


def test_the_command_says_and_keeps_it(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, out = study.parent / "rows.csv", study.parent / "out.json"
    arguments = ["choose", str(study), "--budget", "0.05", "--rows", str(rows), "--json", str(out)]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    found = json.loads(out.read_text())
    text = ",".join(f"{layer}={kind}" for layer, kind in found["kinds"].items())
    assert f"--kinds '{text}'" in said
    assert "5 % were allowed" in said
    losses = [found["options"][layer][kind]["loss"] for layer, kind in found["kinds"].items()]
    assert sum(max(loss, 0) for loss in losses) <= 0.05 + 1e-9
    before = rows.read_bytes()
    assert main(arguments) == 0
    assert rows.read_bytes() == before  # what is there is not run again


def test_what_cannot_be_is_named(study: Path) -> None:
    with pytest.raises(ConfigError, match="budget = 2 must be a fraction"):
        cg.choose_kinds(study, 2)
    alike = {"model": nn.Linear(4, 3), "data": (torch.ones(8, 4), torch.zeros(8)), "parameters": {}}
    with pytest.raises(ConfigError, match="tiles of chip 'demo-128' are all alike"):
        cg.choose_kinds(alike, 0.1)
    said = yaml.safe_load(study.read_text()) | {"folder": study.parent}
    with pytest.raises(ConfigError, match=r"'chip\.adc\.bits' has 2 values"):
        cg.choose_kinds({**said, "parameters": {"chip.adc.bits": [3, 4]}}, 0.1)
