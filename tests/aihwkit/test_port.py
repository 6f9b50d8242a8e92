"""``crossgrid port``: what it says of a script, and what it writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossgrid.aihwkit.port.edit import edited
from crossgrid.aihwkit.port.report import findings
from crossgrid.commands import main

SCRIPT = '''\
"""A script."""
import os, aihwkit.nn as ann  # layers
import aihwkit.simulator.configs
from aihwkit.optim import AnalogSGD
from aihwkit.simulator.tiles.custom import (
    CustomTile,   # theirs
)
from aihwkit.simulator.configs import SingleRPUConfig, QuantizedTorchInferenceRPUConfig


def train(model):
    optimizer = AnalogSGD(model.parameters(), lr=0.1)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
'''

EDITED = '''\
"""A script."""
import os, crossgrid.aihwkit.nn as ann  # layers
import crossgrid.aihwkit as aihwkit
from crossgrid.aihwkit.optim import AnalogSGD
from crossgrid.aihwkit.simulator.tiles.custom import (
    CustomTile,   # theirs
)
from crossgrid.aihwkit.simulator.configs import SingleRPUConfig, QuantizedTorchInferenceRPUConfig


def train(model):
    optimizer = AnalogSGD(model.parameters(), lr=0.1)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
'''


def test_a_report_names_what_is_missing_and_what_differs_by_line() -> None:
    found = [(each.line, each.kind, each.name) for each in findings(SCRIPT)]
    assert found == [
        (5, "missing", "aihwkit.simulator.tiles.custom.CustomTile"),
        (8, "missing", "aihwkit.simulator.configs.QuantizedTorchInferenceRPUConfig"),
        (12, "different", "AnalogSGD"),
        (13, "different", "clip_grad_norm_"),
    ]
    assert all(each.text for each in findings(SCRIPT))


def test_a_script_without_aihwkit_has_nothing_to_be_told() -> None:
    assert findings("import torch\nmodel.cuda()\n") == []


def test_an_edit_changes_imports_alone() -> None:
    assert edited(SCRIPT) == EDITED
    assert edited(EDITED) == EDITED
    untouched = "from .aihwkit import x\nimport aihwkit2\naihwkit = 3\n"
    assert edited(untouched) == untouched


@pytest.mark.parametrize("write", [False, True])
def test_the_command_reports_a_folder_and_writes_where_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], write: bool
) -> None:
    script = tmp_path / "inner" / "train.py"
    script.parent.mkdir()
    script.write_text(SCRIPT)
    (tmp_path / "plain.py").write_text("import torch\n")
    assert main(["port", str(tmp_path), *(["--write"] if write else [])]) == 1  # something is missing
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith(f"{script}:5: missing: aihwkit.simulator.tiles.custom.CustomTile: ")
    assert script.read_text() == (EDITED if write else SCRIPT)
    assert (f"{script}: imports rewritten" in printed) == write


@pytest.mark.parametrize(
    ("content", "words"), [(None, "does not exist"), ("def f(:\n", "this is no Python script")]
)
def test_what_cannot_be_read_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, words: str
) -> None:
    script = tmp_path / "x.py"
    if content is not None:
        script.write_text(content)
    assert main(["port", str(script)]) == 2
    assert words in capsys.readouterr().err


def test_a_script_that_is_complete_ends_well(tmp_path: Path) -> None:
    script = tmp_path / "x.py"
    script.write_text("from aihwkit.nn import AnalogLinear\n")
    assert main(["port", str(script)]) == 0


def test_a_read_in_time_is_told_by_each_of_its_names() -> None:
    """Wires in training, codes of inputs, noise of reads, and the scale of a coarser integral."""
    script = (
        "from aihwkit.simulator.configs import TorchInferenceRPUConfigIRDropT as Timed\n"
        "from aihwkit.simulator.parameters.io import IOParametersIRDropT\n"
        "config = Timed()\n"
        "config.forward = IOParametersIRDropT(ir_drop_time_step_resolution_scale=2)\n"
    )
    told = {each.name: (each.line, each.text) for each in findings(script)}
    assert set(told) == {
        "TorchInferenceRPUConfigIRDropT",
        "IOParametersIRDropT",
        "ir_drop_time_step_resolution_scale",
    }
    assert told["TorchInferenceRPUConfigIRDropT"][0] == 3
    for name, word in (("TorchInferenceRPUConfigIRDropT", "training"), ("IOParametersIRDropT", "read noise")):
        assert word in told[name][1]


def test_a_name_that_a_script_gives_is_read_as_what_it_means() -> None:
    script = "from aihwkit.optim import AnalogSGD as Descent\noptimizer = Descent([], lr=0.1)\n"
    assert [(each.line, each.name) for each in findings(script)] == [(2, "AnalogSGD")]
    other = "import aihwkit\nfrom mine import AnalogSGD as Descent\nDescent()\n"
    assert findings(other) == []
