"""One object a backend: the same families, in them the same functions of the same arguments."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
from typing import Any

import pytest

from crossgrid.kernels.backends import BACKENDS, CPU, NAIVE, backend_of
from crossgrid.kernels.errors import ConfigError

FAMILIES = {
    "analog_mvm": ["prepare", "ready", "passed", "scales", "threads", "watched", "attempt", "at_bound"],
    "pulsed_update": ["run", "update_exactly"],
    "crosspoints": ["words", "normals"],
    "rows": ["normals", "uniforms"],
    "cells": ["Numbers"],
    "transfers": ["fill_buffer", "subtract_reference", "running_rates", "chop"],
    "modifiers": ["empty_like", "largest_magnitude", "modify"],
    "patches": ["unfold", "fold"],
}


def arguments(function: Any) -> list[str]:
    return [*inspect.signature(getattr(function, "py_func", function)).parameters]


def test_every_family_is_told_of_here() -> None:
    offered = {name for name in dir(type(NAIVE)) if not name.startswith("_")} - {
        "name",
        "late",
        "on_card",
        "notes_looks",
    }
    assert offered == FAMILIES.keys()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_backends_of_a_processor_offer_the_same_functions(family: str) -> None:
    for name in FAMILIES[family]:
        naive, cpu = (getattr(getattr(backend, family), name) for backend in (NAIVE, CPU))
        assert arguments(naive) == arguments(cpu), f"{family}.{name}"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_card_offers_them_too(family: str) -> None:
    pytest.importorskip("triton")
    for name in FAMILIES[family]:
        naive, cuda = (getattr(getattr(backend, family), name) for backend in (NAIVE, backend_of("cuda")))
        if name != "empty_like":  # numpy's and torch's own
            assert arguments(naive) == arguments(cuda), f"{family}.{name}"


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_is_one_object_wherever_it_travels(name: str) -> None:
    backend = backend_of(name)
    assert repr(backend) == backend.name == name
    assert pickle.loads(pickle.dumps(backend)) is backend
    assert copy.deepcopy(backend) is backend


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown backend 'cdua': did you mean 'cuda'"):
        backend_of("cdua")


def test_the_readable_kernels_of_an_update_and_a_read_load_neither_numba_nor_torch() -> None:
    code = (
        "import sys; from crossgrid.kernels.backends import NAIVE as n;"
        "n.pulsed_update, n.analog_mvm, n.crosspoints;"
        "print([m for m in ('numba', 'torch', 'triton') if m in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"
