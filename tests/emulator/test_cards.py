"""Networks whose tiles live on a card: under Triton's interpreter, and on a card where there is one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import crossgrid as cg

HERE = Path(__file__).parent


@pytest.mark.slow
def test_a_network_trains_as_on_processors_and_goes_on_from_there():
    pytest.importorskip("triton", reason="Triton is an extra: pip install 'crossgrid[cuda]'")
    done = subprocess.run(
        [sys.executable, str(HERE / "card_checks.py")], env={**os.environ, "TRITON_INTERPRET": "1"},
        check=False, capture_output=True, text=True, timeout=290,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "agrees"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_without_a_card_a_run_does_not_start():
    model = cg.convert_to_analog(torch.nn.Linear(3, 2), cg.SingleRPUConfig())
    with pytest.raises(cg.ConfigError, match="torch finds none"):
        cg.emulate(model, device="cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["local", "ray"])
def test_a_network_trains_on_a_card(backend: str):
    from card_checks import check_network, convolution_net, linear_net

    check_network(linear_net(), (16, 5), backend, steps=3)
    check_network(convolution_net(), (16, 1, 3, 3), backend, steps=3)


@pytest.mark.gpu
def test_a_run_goes_on_on_a_card():
    from card_checks import check_restored

    check_restored()
