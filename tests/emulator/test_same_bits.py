"""The promise: for one seed, training gives the same bits wherever the tiles live."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import torch
from torch import nn

import crossgrid as cg


class SmallNet(nn.Module):
    """A convolution and two linear layers: ten tiles when cut at 12 x 16."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2))
        self.hidden = nn.Linear(36, 20)
        self.out = nn.Linear(20, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.tanh(self.hidden(self.features(x).flatten(1))))


CONFIG = cg.SingleRPUConfig(mapping=cg.MappingParameter(max_output_size=12, max_input_size=16))
TILES = 1 + 2 * 3 + 1 * 2


def trained(seed: int, steps: int = 3, **where: object) -> tuple[str, str, str]:
    """Hashes of the weights before and after training in an emulation, and after going on without it."""
    torch.manual_seed(seed)
    model = cg.convert_to_analog(SmallNet(), CONFIG)
    optimizer = cg.AnalogSGD(model.parameters(), lr=0.1)
    data = torch.Generator().manual_seed(seed)

    def train() -> None:
        for _ in range(steps):
            x = torch.rand(8, 1, 6, 6, generator=data)
            y = torch.randint(4, (8,), generator=data)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    with cg.emulate(model, **where) as running:
        before = cg.weights_sha256(model)
        train()
        inside = cg.weights_sha256(model)
        assert running.totals.tiles == TILES
    assert cg.weights_sha256(model) == inside, "leaving the emulation changed a weight"
    train()
    return before, inside, cg.weights_sha256(model)


@pytest.fixture(scope="module")
def local() -> tuple[str, str, str]:
    return trained(1)


def test_training_changes_the_weights_and_seeds_matter(local: tuple[str, str, str]) -> None:
    assert len({*local}) == 3
    assert trained(1) == local
    assert not {*trained(2)} & {*local}


@pytest.mark.parametrize("actors", [1, 2, 5, TILES])
@pytest.mark.usefixtures("ray_session")
def test_ray_gives_the_bits_of_local(local: tuple[str, str, str], actors: int) -> None:
    per_actor = -(-TILES // actors)
    assert -(-TILES // per_actor) == actors
    assert trained(1, backend="ray", tiles_per_actor=per_actor) == local


@pytest.mark.usefixtures("ray_session")
def test_the_actors_do_the_work() -> None:
    """Every tile's process is another one than ours, and training uses its processor time."""
    torch.manual_seed(0)
    model = cg.convert_to_analog(nn.Linear(256, 256), CONFIG_LARGE)
    optimizer = cg.AnalogSGD(model.parameters(), lr=0.1)
    x = torch.rand(64, 256)
    with cg.emulate(model, backend="ray") as running:
        before = running.executor.processes()
        for _ in range(20):
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()
        after = running.executor.processes()
    assert len({process["pid"] for process in after}) == 4
    assert os.getpid() not in {process["pid"] for process in after}
    for start, end in zip(before, after, strict=True):
        assert end["cpu_seconds"] > start["cpu_seconds"]


CONFIG_LARGE = cg.SingleRPUConfig(mapping=cg.MappingParameter(max_output_size=128, max_input_size=128))


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("failing", [False, True])
def test_leaving_ends_the_actors_and_keeps_the_state(failing: bool) -> None:
    import psutil

    torch.manual_seed(0)
    model = cg.convert_to_analog(SmallNet(), CONFIG)
    optimizer = cg.AnalogSGD(model.parameters(), lr=0.1)

    def step() -> None:
        optimizer.zero_grad()
        model(torch.ones(2, 1, 6, 6)).square().sum().backward()
        optimizer.step()

    def run(body: Callable[[], None]) -> cg.Emulation:
        with cg.emulate(model, backend="ray", tiles_per_actor=3) as running:
            pids.extend(process["pid"] for process in running.executor.processes())
            step()
            inside.append(cg.weights_sha256(model))
            body()
        return running

    pids: list[float] = []
    inside: list[str] = []
    if failing:
        with pytest.raises(KeyError, match="mine"):
            run(lambda: {}["mine"])
    else:
        running = run(lambda: None)
        assert running.metrics_url is None
    assert not [pid for pid in pids if psutil.pid_exists(int(pid))]
    assert cg.weights_sha256(model) == inside[0]
    step()
    assert cg.weights_sha256(model) != inside[0]


@pytest.mark.usefixtures("ray_session")
def test_an_error_in_an_actor_is_raised_here_and_ends_it() -> None:
    model = cg.convert_to_analog(nn.Linear(6, 4), cg.SingleRPUConfig())
    with (
        pytest.raises(cg.InputError, match="must be 6 wide"),
        cg.emulate(model, backend="ray"),
    ):
        model(torch.ones(2, 5))
    model(torch.ones(2, 6))


@pytest.mark.usefixtures("ray_session")
def test_a_dead_actor_is_named_and_the_others_come_home() -> None:
    import signal

    torch.manual_seed(0)
    model = cg.convert_to_analog(nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3)), cg.SingleRPUConfig())
    kept = model[1].get_weights()[0]

    def kill_and_read() -> None:
        with cg.emulate(model, backend="ray") as running:
            os.kill(int(running.executor.processes()[0]["pid"]), signal.SIGKILL)
            model(torch.ones(2, 6))

    with pytest.raises(cg.TileError, match=r"tile 0/0,0 of layer 0.*died"):
        kill_and_read()
    assert torch.equal(model[1].get_weights()[0], kept)
