"""Exponentials, logarithms and powers of float32 sums and products: how good they are, and alike compiled."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np

from crossgrid.kernels.rng.cpu import compiled
from crossgrid.kernels.rng.formulas import exponential, exponential_less_one, natural_log, power

ROUNDING = 2.0**-24  # the largest relative error of one float32 operation

ARGUMENTS = np.concatenate(
    [
        np.linspace(-87.0, 88.0, 50_021),
        np.geomspace(1e-9, 10.0, 20_011),
        -np.geomspace(1e-9, 10.0, 20_011),
        [0.0, -0.0],
    ]
).astype(np.float32)
POSITIVE = np.concatenate(
    [
        np.geomspace(1.2e-38, 3e38, 50_021),
        1.0 + np.geomspace(1e-7, 1.0, 9_001),
        1.0 - np.geomspace(1e-7, 0.9, 9_001),
    ]
).astype(np.float32)


def _worst(found: Any, exact: Any, allowed: Any = 1.0) -> float:
    """The largest relative error in roundings, over what is allowed."""
    assert found.dtype == np.float32
    return float((np.abs(found / exact - 1.0) / ROUNDING / allowed).max())


def test_the_exponential_is_good_to_two_roundings() -> None:
    """Of the last sum 1, of that before 0.4, of x less n ln 2 0.3, of the rest 0.2; of the fit 0.1."""
    assert _worst(exponential(ARGUMENTS), np.exp(ARGUMENTS.astype(np.float64))) <= 2.0


def test_the_logarithm_is_good_to_two_roundings() -> None:
    """Of the last sum 1; of the one before 0.7, where 0.35 is the least that it leaves; of the rest 0.2."""
    u = POSITIVE[POSITIVE != 1.0]
    assert _worst(natural_log(u), np.log(u.astype(np.float64))) <= 2.0
    assert natural_log(np.ones(1, np.float32)) == 0.0


def test_the_exponential_less_one_is_good_to_seven_roundings_also_where_it_is_small() -> None:
    """(u - 1) / ln u changes by at most the relative error of u, 2; ln u has 2, the three operations 3."""
    x = ARGUMENTS[ARGUMENTS != 0.0]
    assert _worst(exponential_less_one(x), np.expm1(x.astype(np.float64))) <= 7.0
    assert (exponential_less_one(np.zeros(1, np.float32)) == 0.0).all()


def test_a_power_is_as_good_as_its_logarithm_is_large() -> None:
    """3 roundings of l = exponent ln(base), whose error is the power's relative one times l, and 2 of e^l."""
    rng = np.random.default_rng(0)
    base = np.exp(rng.uniform(-20.0, 3.0, 50_000)).astype(np.float32)
    exponent = rng.uniform(-4.0, 4.0, 50_000).astype(np.float32)
    exact = base.astype(np.float64) ** exponent
    assert _worst(power(base, exponent), exact, 2.0 + 3.0 * np.abs(np.log(exact))) <= 1.0
    ends = power(np.array([0.0, -1.0, 1.0], np.float32), np.array([0.0, 2.0, 3.0], np.float32))
    assert ends.tolist() == [0.0, 0.0, 1.0]


@numba.njit
def _evaluate(x_N, u_N, found):
    for n in range(len(x_N)):
        found[0, n], found[1, n] = _exponential(x_N[n]), _exponential_less_one(x_N[n])
        found[2, n], found[3, n] = _natural_log(u_N[n]), _power(u_N[n], x_N[n])


_exponential, _exponential_less_one = compiled(exponential), compiled(exponential_less_one)
_natural_log, _power = compiled(natural_log), compiled(power)


def test_compiled_they_have_the_same_bits() -> None:
    x_N = ARGUMENTS
    u_N = np.random.default_rng(1).permutation(np.resize(POSITIVE, len(x_N)))
    wanted = np.stack([exponential(x_N), exponential_less_one(x_N), natural_log(u_N), power(u_N, x_N)])
    found = np.empty_like(wanted)
    _evaluate(x_N, u_N, found)
    np.testing.assert_array_equal(found.view(np.int32), wanted.view(np.int32))


def digest() -> str:
    """Of all four, of numbers that are themselves the same with all of numpy's loops."""
    u_N = np.arange(0x00800000, 0x7F800000, 100_003, np.int32).view(np.float32)
    x_N = np.linspace(-87.0, 88.0, len(u_N)).astype(np.float32)
    values = [exponential(x_N), exponential_less_one(x_N), natural_log(u_N), power(u_N, x_N)]
    return hashlib.sha256(np.stack(values).tobytes()).hexdigest()


def test_bits_do_not_depend_on_what_a_processor_can_do() -> None:
    """Of numpy's own exponential and power they do: it chooses loops by that when it is loaded."""
    config: Any = np.show_config(mode="dicts")
    done = subprocess.run(
        [sys.executable, "-c", "import test_formulas; print(test_formulas.digest())"],
        env={
            **os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
            "NPY_DISABLE_CPU_FEATURES": " ".join(config["SIMD Extensions"].get("found", [])),
        },
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.split() == [digest()]
