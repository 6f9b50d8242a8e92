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


PRETENDED = """
import ray, torch
import crossgrid as cg

ray.init(num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
mapping = cg.MappingParameter(max_output_size=2, max_input_size=2)
config = cg.SingleRPUConfig(mapping=mapping, update=cg.UpdateParameters(desired_bl=2))
model = cg.convert_to_analog(torch.nn.Linear(4, 2), config, seed=1)
with cg.emulate(model, backend="ray", device="cuda") as running:
    model(torch.ones(1, 4)).sum().backward()
    cg.AnalogSGD(model.parameters(), lr=0.1).step()
    free = ray.available_resources().get("GPU", 0.0)
    print("actors", running.totals.actors, "tiles", running.totals.tiles, "free", free)
ray.shutdown()
"""


@pytest.mark.slow
def test_tiles_on_a_card_share_one_actor_that_has_it_whole() -> None:
    """A Ray that is told of a card, and Triton's interpreter in the actor."""
    pytest.importorskip("triton", reason="Triton is an extra: pip install 'crossgrid[cuda]'")
    pytest.importorskip("ray", reason="Ray is an extra: pip install 'crossgrid[ray]'")
    done = subprocess.run(
        [sys.executable, "-c", PRETENDED], env={**os.environ, "TRITON_INTERPRET": "1"}, check=False,
        capture_output=True, text=True, timeout=290,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "actors 1 tiles 2 free 0.0"


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
