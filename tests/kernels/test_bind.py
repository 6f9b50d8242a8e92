"""A formula, what it calls and its named numbers are bound to numba and Triton as they are to numpy."""

from __future__ import annotations

import numba
import numpy as np

from crossgrid.kernels.machine.bind import constants, helpers
from crossgrid.kernels.rng import numpy_math as m
from crossgrid.kernels.rng.cpu import compiled

THIRD = 1.0 / 3.0


def scaled(x):
    return m.abs(x) * THIRD


def formula(x, s):
    return scaled(x) + scaled(x - 1.0) * s


def test_what_a_formula_needs_is_found() -> None:
    assert helpers(formula) == {"scaled": scaled}
    assert constants(scaled) == {"THIRD": THIRD}
    assert constants(formula) == helpers(scaled) == {}


def test_numba_computes_in_float32_what_numpy_does() -> None:
    """In double precision a third would give other bits."""
    kernel, x = compiled(formula), np.linspace(-2.0, 2.0, 101, dtype=np.float32)

    @numba.njit
    def of_each(x, s):
        return np.array([kernel(value, s) for value in x])

    found = of_each(x, np.float32(0.7))
    assert found.dtype == np.float32
    assert np.array_equal(found, formula(x, np.float32(0.7)).astype(np.float32))
    assert compiled(formula) is kernel


def test_a_fused_product_and_sum_is_not_made_of_two() -> None:
    """x third - 1 for x = 3: exactly 0 where the product is rounded first; a fused one leaves a rest."""

    def rest(x):
        return x * THIRD - 1.0

    rest_of = compiled(rest)

    @numba.njit
    def call(x):
        return rest_of(x)

    three, third = np.float32(3.0), np.float32(THIRD)
    assert call(three) == three * third - np.float32(1.0) == 0.0
