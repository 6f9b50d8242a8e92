"""The Triton modifiers, run by Triton's interpreter in a process of its own, against numba's."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from card_registers import MODIFIERS, compiled, stored

from crossgrid.kernels.inference import WeightModifierType
from crossgrid.kernels.inference.modifiers.plan import Kind

pytest.importorskip("triton", reason="Triton is an extra: pip install 'crossgrid[cuda]'")

SCRIPT = """
import json, sys
import numpy as np, torch
from crossgrid.kernels.backends import CUDA
from crossgrid.kernels.inference import WeightModifierParameter, WeightModifierType, modified_weights
from crossgrid.kernels.rng import tile_key

keys_T2 = np.stack([tile_key(5, block) for block in range(2)])
w_TOI = np.random.default_rng(0).normal(0, 0.1, (2, 2, 61)).astype(np.float32)
tick = 0x1FFFFFFFF
differences = {}
for kind in map(WeightModifierType, sys.argv[1:]):
    parameter = WeightModifierParameter(
        type=kind, std_dev=0.1, res=1 / 16, sto_round=True, pdrop=0.1, copy_last_column=True,
        pcm_t_inference=100.0, pcm_prob_at_reset=0.1, pcm_prob_at_gmax=0.1, pcm_prob_at_random=0.1,
    )
    ours = modified_weights(w_TOI, parameter, keys_T2, tick)
    triton = modified_weights(torch.from_numpy(w_TOI), parameter, keys_T2, tick, backend=CUDA).numpy()
    differences[kind.name] = float(np.abs(ours - triton).max())
print(json.dumps(differences))
"""


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param(["AddNormal", "DiscretizeAddNormal"], id="two-kinds"),
        pytest.param([kind.value for kind in WeightModifierType], id="all-kinds", marks=pytest.mark.slow),
    ],
)
def test_triton_and_numba_agree(kinds: list[str]) -> None:
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, *kinds],
        env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True, timeout=560, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    differences = json.loads(run.stdout)
    assert len(differences) == len(kinds)
    assert set(differences.values()) == {0.0}  # the same bits


@pytest.mark.parametrize(
    ("kinds", "flags"),
    [(1, ()), pytest.param(len(Kind), ("every",), marks=pytest.mark.slow)],
)
def test_the_modifiers_compile_ahead_without_a_card(kinds: int, flags: tuple[str, ...]) -> None:
    found = compiled(MODIFIERS, 90, *flags)
    assert len(found) == kinds
    held = stored(90)
    assert all(held[name].spilled_bytes == 0 for name in found)
