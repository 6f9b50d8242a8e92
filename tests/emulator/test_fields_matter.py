"""No accepted setting without effect: another value of a field changes a number, is refused or warned of."""

from __future__ import annotations

import dataclasses
import functools
import re
import warnings
from pathlib import Path
from typing import Any

import field_cases as cases
import pytest

import crossgrid as cg
from crossgrid.kernels.config import Config

ROOT = Path(__file__).parents[2]


def refused_or_changed(case: cases.Case, name: str) -> str:
    """What the first value does that does anything: "number", "warning"; "error" where none is accepted."""
    accepted = False
    for number, beside in enumerate(case.besides):
        for value in cases.others(name, getattr(cases.made(case.cls, beside), name)):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    other = cases.made(case.cls, beside)
                    setattr(other, name, value)
                    changed = case.numbers(other) != reference(case, number)
            except cg.CrossgridError:
                continue
            except UserWarning:
                return "warning"
            accepted = True
            if changed:
                return "number"
    return "nothing" if accepted else "error"


@functools.cache
def reference(case: cases.Case, number: int) -> bytes:
    return case.numbers(cases.made(case.cls, case.besides[number]))


FIELDS = [(case, spec.name) for case in cases.CASES for spec in dataclasses.fields(case.cls)]
#: configurations whose fields take many settings beside them, or updates, to show what they do
PATIENT = (
    cg.BufferedTransferCompound, cg.ChoppedTransferCompound, cg.DynamicTransferCompound, cg.UpdateParameters,
    cg.WeightModifierParameter,
)  # fmt: skip
OWN = [
    (case, name)
    for case, name in FIELDS
    if (name in case.cls.__annotations__ and case.cls not in PATIENT) or case.cls is cg.ConstantStepDevice
]
REST = [each for each in FIELDS if each not in OWN]


def named(value: Any) -> str:
    return value if isinstance(value, str) else value.cls.__name__


@pytest.mark.parametrize(("case", "name"), OWN, ids=named)
def test_a_field_matters(case: cases.Case, name: str) -> None:
    assert refused_or_changed(case, name) != "nothing"


@pytest.mark.slow
@pytest.mark.parametrize(("case", "name"), REST, ids=named)
def test_an_inherited_field_or_one_of_a_patient_cell_matters(case: cases.Case, name: str) -> None:
    assert refused_or_changed(case, name) != "nothing"


def test_every_public_configuration_is_walked() -> None:
    """Presets hold values alone; bases are built on."""
    named = [getattr(cg, name) for name in cg.__all__]
    public = {cls for cls in named if isinstance(cls, type) and issubclass(cls, Config)}
    walked = {case.cls for case in cases.CASES}
    presets = {cls for cls in public if "Preset" in cls.__name__ or cls is cg.StandardIOParameters}
    bases = {cls for cls in public if cls.__name__.startswith("Base")}
    assert public - presets - bases <= walked


def test_what_has_no_effect_is_listed_in_the_documentation() -> None:
    """The list is what warns, what a backward read has no use for, and texts of chips; at most fifteen."""
    text = (ROOT / "docs" / "settings.md").read_text()
    listed = set(re.findall(r"^\| `([A-Za-z.]+\.[a-z_]+)` \|", text, re.MULTILINE))
    of_chips = {name for name in listed if name.startswith(("Chip.", "Cluster.", "Figure."))}
    silent = {f"{cls.__name__}.{name}" for case in cases.CASES for cls in case.cls.__mro__
              if issubclass(cls, Config) for name in vars(cls).get("without_effect", {})}  # fmt: skip
    assert listed - of_chips == silent | {f"backward.{name}" for name in cases.FORWARD_ONLY}
    assert len(listed) <= 15


#: a field, what it is set to, and beside what it has an effect
UNUSED: list[tuple[Any, dict[str, Any], dict[str, Any]]] = [
    (cg.UpdateParameters, {"fixed_bl": False}, {"update_bl_management": False}),
    (cg.UpdateParameters, {"x_res_implicit": 0.1}, {"pulse_type": "DETERMINISTIC_IMPLICIT"}),
    (cg.UpdateParameters, {"d_res_implicit": 0.1}, {"pulse_type": "DETERMINISTIC_IMPLICIT"}),
    (cg.WeightModifierParameter, {"assumed_wmax": 0.5}, {"rel_to_actual_wmax": False}),
]


@pytest.mark.parametrize(("cls", "alone", "beside"), UNUSED)
def test_who_sets_what_another_field_leaves_unused_is_warned(
    cls: Any, alone: dict[str, Any], beside: dict[str, Any]
) -> None:
    """Where a tile or a layer is made of it: until then the other field may follow."""
    (name,) = alone
    wanted = re.escape(f"{cls.__name__}.{name} = {alone[name]!r} has no effect: ")
    (other,) = beside

    def whole(part: Any) -> Any:
        if cls is cg.UpdateParameters:
            return cg.SingleRPUConfig(update=part)
        return cg.InferenceRPUConfig(modifier=part)

    for make in (lambda c: cg.AnalogTile(3, 4, c), lambda c: cg.AnalogLinear(4, 3, rpu_config=c)):
        with pytest.warns(UserWarning, match=f"{wanted}.*set {'it' if name == 'fixed_bl' else other}"):
            make(whole(cls(**alone)))
        make(whole(cls(**alone, **beside)))  # warnings are errors here


def test_a_factor_of_no_management_is_warned_of() -> None:
    free = cg.UpdateParameters(
        um_grad_scale=0.5, update_management=False, update_bl_management=False, fixed_bl=True
    )
    with pytest.warns(UserWarning, match="um_grad_scale = 0.5 has no effect"):
        cg.AnalogTile(3, 4, cg.SingleRPUConfig(update=free))


@pytest.mark.parametrize("name", cases.FORWARD_ONLY)
def test_bound_management_is_of_the_forward_read_alone(name: str) -> None:
    """Of results that are clipped: the forward read changes, the backward read does not."""
    clipping = {"out_bound": 0.02, "inp_res": 0.01, "bound_management": "ITERATIVE"}
    for direction, changes in (("forward", True), ("backward", False)):
        seen = set()
        usual = getattr(cg.IOParameters(), name)
        for value in (usual, *cases.others(name, usual)):
            io = cg.IOParameters(**clipping)
            try:
                setattr(io, name, value)
            except cg.ConfigError:
                continue
            seen.add(cases.of_tile(cg.SingleRPUConfig(**{direction: io})))
        assert (len(seen) > 1) == changes
