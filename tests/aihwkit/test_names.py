"""aihwkit's module paths: what is there, what a missing name says, the alias, the presets' values."""

from __future__ import annotations

import importlib
import importlib.util
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
from preset_fields import leaves

from crossgrid import aihwkit
from crossgrid.aihwkit import missing, passed_on

REFUSED = "refuse_module(__name__)"  # all that is in a module of aihwkit that has no part here
FOUND = [found.name for found in pkgutil.walk_packages(aihwkit.__path__, "crossgrid.aihwkit.")]


def is_refused(module: str) -> bool:
    """Whether ``module`` is there to say what to use instead."""
    spec = importlib.util.find_spec(module)
    return spec is not None and REFUSED in Path(str(spec.origin)).read_text(encoding="utf-8")


MODULES = [name for name in FOUND if not is_refused(name)]
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "presets.json").read_text())
NAMES = json.loads((Path(__file__).parents[1] / "golden" / "aihwkit_names.json").read_text())["modules"]
COMMON = dict.fromkeys(GOLDEN["learn by pulses"], GOLDEN["every preset that learns by pulses"])
PRESETS = {**GOLDEN["learn by pulses"], **GOLDEN["others"]}


@pytest.mark.parametrize("name", [name for name in MODULES if "__main__" not in name])
def test_every_module_can_be_imported_by_itself(name: str) -> None:
    assert importlib.import_module(name).__doc__


def test_importing_the_package_is_the_whole_change() -> None:
    """Submodules load when they are first used, as ``import aihwkit`` users write them."""
    script = (
        "import crossgrid.aihwkit as aihwkit;"
        "config = aihwkit.simulator.configs.SingleRPUConfig();"
        "print(aihwkit.nn.AnalogLinear(3, 2, rpu_config=config).analog_tile_count())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


@pytest.mark.parametrize("name", missing.INSTEAD)
def test_a_missing_name_says_what_to_use_instead(name: str) -> None:
    with pytest.raises(ImportError) as raised:
        missing.refusal("crossgrid.aihwkit.nn", name)
    assert f"aihwkit.nn.{name} is not in crossgrid.aihwkit: {missing.INSTEAD[name]}" == str(raised.value)


@pytest.mark.parametrize("module", NAMES)
def test_every_name_of_aihwkit_is_there_or_says_what_to_use(module: str) -> None:
    """Whoever imports it, from whichever module."""
    here = module.replace("aihwkit", missing.PREFIX, 1)
    refused = next((name for name in FOUND if f"{here}.".startswith(f"{name}.") and is_refused(name)), None)
    if refused is not None:
        with pytest.raises(ImportError) as raised:
            importlib.import_module(here)
        assert str(raised.value).endswith(missing.INSTEAD[refused.rsplit(".", 1)[1]])
        return
    found = importlib.import_module(here)
    for name in NAMES[module]:
        if name not in missing.INSTEAD:
            assert getattr(found, name) is not None


@pytest.mark.parametrize("module", passed_on.PASSED_ON)
def test_names_that_are_passed_on_are_those_of_aihwkit(module: str) -> None:
    """Each is one object, wherever it is imported from, and no module has names that aihwkit's has not."""
    for home, names in passed_on.PASSED_ON[module].items():
        for name in names.split():
            assert name in NAMES[f"aihwkit.{module}"]
            there = importlib.import_module(f"crossgrid.aihwkit.{home}")
            assert getattr(importlib.import_module(f"crossgrid.aihwkit.{module}"), name) is getattr(
                there, name
            )


@pytest.mark.parametrize("module", [name for name in FOUND if is_refused(name)])
def test_a_module_that_has_no_part_here_says_what_to_use(module: str) -> None:
    for asked in (module, f"{module}.deeper"):
        with pytest.raises(ImportError) as raised:
            importlib.import_module(asked)
        assert str(raised.value).endswith(missing.INSTEAD[module.rsplit(".", 1)[1]])


def test_a_missing_name_is_refused_by_its_module() -> None:
    with pytest.raises(ImportError, match=r"torch\.ao\.quantization"):
        from crossgrid.aihwkit.simulator.configs import QuantizedTorchInferenceRPUConfig  # noqa: F401
    with pytest.raises(ImportError, match=r"aihwkit\.nn\.AnalogLiner is not in crossgrid.aihwkit"):
        importlib.import_module("crossgrid.aihwkit.nn").AnalogLiner  # noqa: B018


def test_aihwkit_itself_is_no_name_of_this_project() -> None:
    """Only a run that was asked for answers to it."""
    code = "import crossgrid.aihwkit, importlib.util; print(importlib.util.find_spec('aihwkit'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"


def test_a_script_runs_by_the_alias_and_hears_first_what_differs(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import sys\n"
        "import aihwkit.nn\n"
        "from aihwkit.optim import AnalogSGD\n"
        "layer = aihwkit.nn.AnalogLinear(3, 2)\n"
        "print(__name__, sys.argv[1:], type(layer).__module__, AnalogSGD.__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "crossgrid.aihwkit", str(script), "--epochs", "1"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    words = "__main__ ['--epochs', '1'] crossgrid.aihwkit.nn.modules.linear AnalogSGD"
    assert done.stdout.strip() == words
    assert "train.py:5: different: AnalogSGD: zero_grad()" in done.stderr


@pytest.mark.parametrize(("argv", "words"), [([], "script.py"), (["no.py"], "no.py does not exist")])
def test_what_is_no_script_is_said_so(argv: list[str], words: str) -> None:
    command = [sys.executable, "-m", "crossgrid.aihwkit", *argv]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_aihwkits_values(name: str) -> None:
    """Field by field; fields that have no part here are those of exact devices and of the exact update."""
    from crossgrid.aihwkit.simulator import presets

    wanted = {**COMMON.get(name, {}), **PRESETS[name]}
    ours = leaves(getattr(presets, name)())
    known = {path: value for path, value in wanted.items() if path in ours}
    if name in COMMON:
        assert known == wanted
    assert {path: ours[path] for path in known} == known
