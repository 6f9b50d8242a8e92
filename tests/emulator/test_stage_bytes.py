"""What goes through the driver of stages: a batch's inputs and outputs, and little else, however deep."""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

import crossgrid as cg
from crossgrid.emulator.stages.actor import moved, moves_of

#: bytes that a batch may take through the driver beside its inputs and outputs
BESIDE_BYTES = 10_000

#: of struct tcp_info (linux/tcp.h, 4.1): bytes that the other end has had, and bytes that came
TCP_INFO_BYTES, CARRIED = 136, struct.Struct("120xQQ")

BATCHES, SAMPLES, WIDTH = 4, 16, 32


def connections() -> dict[str, int]:
    """Bytes that each TCP connection of this process has carried: Ray's, whose letters no one else counts."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            inode = os.readlink(f"/proc/self/fd/{name}")
            copy = os.dup(int(name))
        except OSError:  # it was closed meanwhile
            continue
        if not inode.startswith("socket:"):
            os.close(copy)
            continue
        with socket.socket(fileno=copy) as each:
            if each.family in (socket.AF_INET, socket.AF_INET6) and each.type == socket.SOCK_STREAM:
                info = each.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
                found[inode] = sum(CARRIED.unpack(info))
    return found


def of_a_batch(running: Any, do: Callable[[], Any]) -> tuple[float, float]:
    """Bytes through the driver for a batch: in letters to and from stages, and in Ray's calls."""
    do()  # what is told once
    traffic = running.totals.traffic
    before, letters = connections(), traffic.sent + traffic.received
    for _ in range(BATCHES):
        do()
    after = connections()
    calls = sum(count - before.get(inode, 0) for inode, count in after.items())
    return (traffic.sent + traffic.received - letters) / BATCHES, calls / BATCHES


def network(layers: int) -> nn.Module:
    each = (module for _ in range(layers) for module in (nn.Linear(WIDTH, WIDTH), nn.Tanh()))
    return cg.convert_to_analog(nn.Sequential(*each), cg.InferenceRPUConfig(), seed=1)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts by Linux's tcp_info")
@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("stages", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_a_batch_takes_its_inputs_and_outputs_through_the_driver_at_any_depth(stages: int) -> None:
    x = torch.rand(SAMPLES, WIDTH, generator=torch.Generator().manual_seed(1))
    values = x.nbytes
    letters = []
    for layers in (4, 16):
        model = network(layers)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        with cg.emulate(model, backend="ray", stages=stages) as running:

            def step(model: Any = model, running: Any = running, optimizer: Any = optimizer) -> None:
                running.train_step(x, x, nn.MSELoss(), optimizer, 4)

            inferred = of_a_batch(running, lambda running=running: running.infer(x, micro_batch=4))
            trained = of_a_batch(running, step)
            text = str(running.report())
            assert f"{running.totals.traffic.sent:,} bytes went from this process" in text
        letters.append((inferred[0], trained[0]))
        assert 2 * values < sum(inferred) <= 2 * values + BESIDE_BYTES  # outputs come back
        assert 2 * values < sum(trained) <= 2 * values + BESIDE_BYTES  # targets go to the last stage, by Ray
    assert letters[0] == letters[1]


def clocks(ticks: Iterator[tuple[int, ...]], averages: Any = ()) -> dict[int, Any]:
    return {layer: (each, list(averages)) for layer, each in enumerate(ticks)}


def test_clocks_that_move_alike_are_told_at_once() -> None:
    """In one pair however many layers; layers that move otherwise, and averages that do, are told too."""
    before = clocks((n, 0) for n in range(50))
    after = clocks((n + 7, 1) for n in range(50))
    assert moves_of(before, after) == ([(50, (7, 1))], {})
    after[20] = (20, 0), []
    assert moves_of(before, after)[0] == [(20, (7, 1)), (1, (0, 0)), (29, (7, 1))]
    assert moved(before, moves_of(before, after)) == after
    old, new = (clocks(iter([(1,)]), [torch.full((3,), value).numpy()]) for value in (0.5, 0.25))
    found = moved(old, moves_of(old, new))
    assert found[0][1][0].tolist() == [0.25] * 3
    assert moves_of(old, old) == ([(1, (0,))], {})
