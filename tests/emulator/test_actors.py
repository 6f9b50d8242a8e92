"""A tile actor is a light process of its own kind."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest
import torch
from torch import nn

import crossgrid as cg

MAPPING = cg.MappingParameter(max_output_size=128, max_input_size=128)


@pytest.mark.skipif(sys.platform != "linux", reason="reads what a process has loaded from /proc")
@pytest.mark.usefixtures("ray_session")
def test_an_actor_is_thin() -> None:
    """After a training step it has loaded neither torch, matplotlib nor scipy's linear algebra.

    Of its own it takes what Ray's bare worker (42 MB), numpy (6), numba and LLVM (20), this package (5) and
    its kernels with a tile (8) take; two actors, so that what they share is not counted. Were a kernel
    compiled in it, or prepared for that, it would be much more.
    """
    torch.manual_seed(0)
    model = cg.convert_to_analog(nn.Linear(128, 256), cg.SingleRPUConfig(mapping=MAPPING))
    optimizer = cg.AnalogSGD(model.parameters(), lr=0.1)
    with cg.emulate(model, backend="ray") as running:
        model(torch.rand(8, 128)).sum().backward()
        optimizer.step()
        pids = [int(process["pid"]) for process in running.executor.processes()]
        assert len(pids) == 2
        for pid in pids:
            loaded = Path(f"/proc/{pid}/maps").read_text()
            assert "numba" in loaded
            for heavy in ("/torch/", "/matplotlib/", "/scipy/linalg/"):
                assert heavy not in loaded
            assert psutil.Process(pid).memory_full_info().uss < 100e6
