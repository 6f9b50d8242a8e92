"""Every field of a configuration says in words what it is, and ``help`` shows them; fields do something."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import pydoc
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import torch

import crossgrid as cg
from crossgrid.kernels.circuit import CrossbarCircuit
from crossgrid.kernels.config import Config, config, field
from crossgrid.kernels.field_help import words_of

ROOT = Path(__file__).parents[2]
PUBLIC = [getattr(cg, name) for name in cg.__all__]
# what the number of a field may be counted in, or be a part of
UNIT = re.compile(
    r"in units of|µS|Ω|seconds|mini-batches|relative to|[Ff]actor|[Ff]raction|[Pp]robabilit|[Nn]umber|percent"
    r"|without unit|[Bb]its|[Ss]eed|[Ll]evels|\b[Rr]atio\b|[Ss]tep width|Index|Weight for one unit"
)


def configurations() -> Iterator[Any]:
    """Every configuration class of the package, public or built on by a public one."""
    known, found = [Config], []
    while known:
        known = [sub for cls in known for sub in cls.__subclasses__()]
        found += [cls for cls in known if is_own(cls) and is_current(cls)]
    return iter(sorted(found, key=lambda cls: cls.__qualname__))


def is_own(cls: type) -> bool:
    """Whether a class is this package's; those under aihwkit's names are thin subclasses of these."""
    return cls.__module__.startswith("crossgrid.") and not cls.__module__.startswith("crossgrid.aihwkit")


def is_current(cls: type) -> bool:
    """Whether a class goes by its name: one that was remade with slots may not be collected yet."""
    return getattr(sys.modules[cls.__module__], cls.__name__) is cls


CONFIGURATIONS = list(configurations())


def test_the_public_configurations_are_all_looked_at() -> None:
    public = {cls for cls in PUBLIC if isinstance(cls, type) and issubclass(cls, Config)}
    assert public <= {*CONFIGURATIONS}
    assert len(public) > 60
    assert {cg.DriftParameter, CrossbarCircuit, cg.TransferCompound} <= {*CONFIGURATIONS}


each_configuration = pytest.mark.parametrize("cls", CONFIGURATIONS, ids=lambda cls: cls.__name__)


@each_configuration
def test_a_field_has_words_of_its_own(cls: Any) -> None:
    names = [spec.name for spec in dataclasses.fields(cls)]
    words = {name: words_of(cls).get(name, "") for name in names}
    assert [name for name in names if len(words[name].split()) < 4 or not words[name].endswith(".")] == []
    assert [name for name in names if "aihwkit" in words[name]] == []
    assert len({*words.values()}) == len(names)


@each_configuration
def test_a_number_says_its_unit(cls: Any) -> None:
    numbers = [spec.name for spec in dataclasses.fields(cls) if re.search(r"\b(float|int)\b", spec.type)]
    assert [name for name in numbers if not UNIT.search(words_of(cls)[name])] == []


@each_configuration
def test_help_shows_every_field_with_default_limits_and_words(cls: Any) -> None:
    shown = [line.strip(" |") for line in pydoc.plain(pydoc.render_doc(cls)).splitlines()]
    for spec in dataclasses.fields(cls):
        (start,) = (k for k, line in enumerate(shown) if line.startswith(f"{spec.name}: {spec.type}"))
        head = shown[start]
        if isinstance(spec.default, (int, float)) and not isinstance(spec.default, bool):
            assert float(head.split(" = ")[1].split(" ")[0]) == pytest.approx(spec.default, rel=1e-7)
        for key, phrase in (("at_least", "at least"), ("at_most", "at most"), ("above", "above")):
            if spec.metadata.get(key) is not None:
                assert f"{phrase} {spec.metadata[key]:g}" in head
        words = words_of(cls)[spec.name].splitlines()
        assert shown[start + 1 : start + 1 + len(words)] == [line.strip() for line in words]


def test_defaults_are_written_as_one_would_write_them() -> None:
    shown = pydoc.plain(pydoc.render_doc(cg.InferenceRPUConfig))
    assert "backward: IOParameters = IOParameters(is_perfect=True)\n" in shown
    shown = pydoc.plain(pydoc.render_doc(cg.UpdateParameters))
    assert "pulse_type: PulseType = PulseType.STOCHASTIC_COMPRESSED\n" in shown
    shown = pydoc.plain(pydoc.render_doc(cg.PCMPresetUnitCell))  # a OneSidedUnitCell needs devices
    members = "list[PulsedDevice | UnitCell] = [PCMPresetDevice(), PCMPresetDevice()]"
    assert f"unit_cell_devices: {members}\n" in shown
    shown = pydoc.plain(pydoc.render_doc(cg.WeightModifierParameter))
    assert "coeffs: list[float] = [0.0105392, 0.0768, -0.046925]\n" in shown
    shown = pydoc.plain(pydoc.render_doc(cg.UnitCellRPUConfig))
    assert re.search(r"device: Config$", shown.replace(" |  ", ""), re.MULTILINE)  # it has no default


def test_a_field_that_is_declared_again_keeps_its_words() -> None:
    shown = pydoc.plain(pydoc.render_doc(cg.ReRamESPresetDevice))
    assert "dw_min: float = 0.00135 (above 0)" in shown
    assert words_of(cg.ReRamESPresetDevice)["dw_min"] == words_of(cg.ExpStepDevice)["dw_min"]


CHOICES = {(cls, spec.name, type(spec.default)) for cls in CONFIGURATIONS for spec in dataclasses.fields(cls)
           if isinstance(spec.default, Enum)}  # fmt: skip


def test_help_shows_what_a_field_may_be_chosen_from() -> None:
    public = {cls for cls in PUBLIC if isinstance(cls, type) and issubclass(cls, Enum)}
    assert public <= {enumeration for _, _, enumeration in CHOICES}
    for cls, name, enumeration in CHOICES:
        section = cls.__doc__.split(f"\n    {name}: ")[1]
        words = words_of(enumeration)
        assert all(words[member.name].endswith(".") for member in enumeration)
        assert len({words[member.name] for member in enumeration}) == len(enumeration)
        lines = [f"        - {member.name}: {words[member.name]}" for member in enumeration]
        assert "\n".join(lines) in section


@config
class Grown(cg.ConstantStepDevice):
    """A user's device."""

    height: float = field(2.0, above=0.0, below=5.0)
    """Height of the device in mm."""
    silent: int = field(3)


def test_the_words_of_a_users_class_are_shown_too() -> None:
    shown = pydoc.plain(pydoc.render_doc(Grown)).replace(" |  ", "")
    assert "    height: float = 2 (above 0, below 5)\n        Height of the device in mm.\n" in shown
    assert "    silent: int = 3\n" in shown
    assert "Mean size of a step" in shown


def test_a_class_without_source_shows_what_is_known() -> None:
    scope = {"config": config, "field": field, "Config": Config, "__name__": __name__}
    exec("@config\nclass Typed(Config):\n    'A class.'\n    size: int = field(1, at_least=0)\n", scope)
    assert scope["Typed"].__doc__ == "A class.\n\nFields:\n    size: int = 1 (at least 0)"  # type: ignore[attr-defined]


def test_words_cost_nothing_to_import() -> None:
    """They are read when help is asked for: neither by importing nor by making a configuration."""
    code = (
        "import crossgrid as cg; from crossgrid.kernels import field_help;"
        "cg.InferenceRPUConfig(); cg.ReRamESPreset(); print(field_help._own_words.cache_info().misses);"
        "cg.ReRamESPresetDevice.__doc__; print(field_help._own_words.cache_info().misses > 0)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.split() == ["0", "True"]


NAMED = "\n".join(
    path.read_text() for part in ("kernels", "chip", "emulator") for path in (ROOT / part).rglob("*.py")
)


@each_configuration
def test_a_field_is_read_or_said_to_have_no_effect(cls: Any) -> None:
    names = {spec.name for spec in dataclasses.fields(cls)} - {*cls.without_effect}
    assert [name for name in names if not re.search(rf"\.{name}\b|[\"']{name}[\"']", NAMED)] == []


WITHOUT_EFFECT = [(cls, name) for cls in CONFIGURATIONS for name in cls.without_effect]


def other_value(default: Any) -> Any:
    """A value that the field accepts and that is not its default."""
    return (not default) if isinstance(default, bool) else default + 0.25


@pytest.mark.parametrize(("cls", "name"), WITHOUT_EFFECT)
def test_who_sets_a_field_without_effect_is_warned(cls: Any, name: str) -> None:
    value = other_value(cls.__dataclass_fields__[name].default)
    message = re.escape(f"{cls.__name__}.{name} = {value!r} has no effect: {cls.without_effect[name]}")
    with pytest.warns(UserWarning, match=message) as caught:
        made = cls(**{name: value})
    assert [warning.filename for warning in caught] == [__file__]
    plain = cls()  # warnings are errors here: the default is accepted in silence
    with pytest.warns(UserWarning, match=message) as caught:
        setattr(plain, name, value)
    assert [warning.filename for warning in caught] == [__file__]
    assert made == plain
    assert f"No effect: {cls.without_effect[name]}." in cls.__doc__


@pytest.mark.filterwarnings("ignore:ConstantStepDevice.count_pulses")
def test_a_copy_does_not_warn_again() -> None:
    """What a tile's host unpacks was warned of where it was written."""
    made = cg.ConstantStepDevice(count_pulses=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert copy.deepcopy(made) == pickle.loads(pickle.dumps(made)) == copy.copy(made) == made


@pytest.mark.filterwarnings("ignore:.*has no effect")
@pytest.mark.parametrize("name", cg.NeuroSimDevice.without_effect)
def test_what_is_said_to_have_no_effect_changes_no_weight(name: str) -> None:
    value = other_value(cg.NeuroSimDevice.__dataclass_fields__[name].default)
    trained = []
    for device in (cg.NeuroSimDevice(), cg.NeuroSimDevice(**{name: value})):
        tile = cg.AnalogTile(3, 4, cg.SingleRPUConfig(device=device), seed=1)
        x, d = torch.tensor([[0.5, -0.25, 1.0, 0.1]] * 8), torch.tensor([[0.3, -0.2, 0.1]] * 8)
        tile.update(x, d, learning_rate=0.5)
        trained.append(tile.get_weights())
    assert (trained[0] == trained[1]).all()
    assert trained[0].abs().max() > 0
