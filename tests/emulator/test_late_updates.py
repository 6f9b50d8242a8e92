"""Updates that are late by a stated number of steps."""

from __future__ import annotations

import pytest
import torch
from networks import batch, small_net, train
from torch import nn

import crossgrid as cg


def exact_layer() -> tuple[nn.Module, cg.AnalogSGD]:
    """One weight that is exact: w = 1."""
    layer = cg.AnalogLinear(1, 1, bias=False, rpu_config=cg.FloatingPointRPUConfig())
    layer.set_weights(torch.ones(1, 1))
    return layer, cg.AnalogSGD(layer.parameters(), lr=0.1)


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_a_step_reads_the_weights_of_some_steps_ago(delay: int) -> None:
    """Descent on w^2 / 2 whose updates are N late: step s reads w = 1 - 0.1 (r[0] + ... + r[s - N - 1])."""
    expected: list[float] = []
    for step in range(8):
        expected.append(1.0 - 0.1 * sum(expected[: max(0, step - delay)]))
    layer, optimizer = exact_layer()
    seen = []
    with cg.emulate(layer, update_delay=delay) as running:
        for _ in range(8):
            y = layer(torch.ones(1, 1))
            seen.append(y.item())
            optimizer.zero_grad()
            (y**2 / 2).sum().backward()
            optimizer.step()
        assert running.totals.update_delay == delay
        running.tile_samples()
        assert running.totals.updates_waiting == delay
        assert (f"late by {delay} steps" in " ".join(str(running.report()).split())) == (delay > 0)
    assert seen == pytest.approx(expected, rel=1e-5)


def test_leaving_applies_what_is_late() -> None:
    layer, optimizer = exact_layer()
    with cg.emulate(layer, update_delay=2):
        y = layer(torch.ones(1, 1))
        (y**2 / 2).sum().backward()
        optimizer.step()
        assert layer.get_weights()[0].item() == 1.0
    assert layer.get_weights()[0].item() == pytest.approx(0.9, rel=1e-6)


def test_without_delay_nothing_changes() -> None:
    sha256 = set()
    for where in ({}, {"update_delay": 0}):
        model, optimizer = small_net(3)
        with cg.emulate(model, **where):
            train(model, optimizer, range(2))
        sha256.add(cg.weights_sha256(model))
    assert len(sha256) == 1


@pytest.mark.parametrize("delay", [-1, 1.5, True])
def test_a_delay_is_a_number_of_steps(delay: object) -> None:
    model, _ = small_net(3)
    with pytest.raises(cg.ConfigError, match="update_delay"):
        cg.emulate(model, update_delay=delay)
    model(batch(0)[0])
