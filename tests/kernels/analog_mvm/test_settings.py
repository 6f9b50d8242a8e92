"""The settings of a read are declared once: records, named tuples in kernels and numbers for cards follow."""

from __future__ import annotations

import dataclasses

import numba
import numpy as np
import pytest

from crossgrid.kernels.analog_mvm import IOParameters, formulas
from crossgrid.kernels.analog_mvm.settings import NUMBERS, RECORD, Settings, settings_of
from crossgrid.kernels.machine.intrinsics import unpacked

CONFIGURATIONS = {
    "default": IOParameters(),
    "perfect": IOParameters(is_perfect=True, out_scale=0.5),
    "much": IOParameters(
        inp_noise=0.1, out_asymmetry=0.3, r_series=0.01, ir_drop=0.5, w_noise=0.02, out_sto_round=True,
        bm_test_negative_bound=False,
    ),
}  # fmt: skip


_unpack = unpacked(Settings, RECORD)


@numba.njit
def _fields(array):
    return _unpack(array)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_kernel_sees_every_setting(name: str, transposed: bool) -> None:
    settings = settings_of(CONFIGURATIONS[name], transposed, 3, 100)
    seen = _fields(settings.packed())
    assert type(seen) is Settings
    assert [*map(float, seen)] == [*map(float, settings)]


def test_a_card_gets_the_numbers_among_them() -> None:
    settings = settings_of(CONFIGURATIONS["much"], False, 3, 100)
    for name in NUMBERS:
        assert getattr(settings.numbers, name) == float(getattr(settings, name))
    others = set(Settings._fields) - set(NUMBERS)
    assert all(isinstance(getattr(settings, name), (bool, int)) for name in others)


def test_a_setting_of_a_parameters_name_is_that_parameter() -> None:
    """Whoever adds a field to both writes no more than that."""
    given = {each.name for each in dataclasses.fields(IOParameters)}
    alike = {name for name in Settings._fields if name in given} - {"inp_bound", "out_bound"}  # 0 is infinite
    assert {"inp_noise", "inp_asymmetry", "out_asymmetry", "r_series", "out_scale"} <= alike
    io = CONFIGURATIONS["much"]
    settings = settings_of(io, False, 3, 100)
    for name in alike:
        assert getattr(settings, name) == np.float32(getattr(io, name))


@pytest.mark.parametrize(("name", "alters"), [("default", False), ("perfect", False), ("much", True)])
def test_what_leaves_outputs_alone_is_known_from_the_formula(name: str, alters: bool) -> None:
    """A compiled read does without the stage; whatever ``at_output`` reads counts, now and later."""
    settings = settings_of(CONFIGURATIONS[name], False, 3, 100)
    assert settings.alters_output is alters
    y = np.array([-1.0, 0.5], np.float32)
    assert np.array_equal(formulas.at_output(y, settings), y) is not alters
