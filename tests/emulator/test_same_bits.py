"""The promise: for one seed, training gives the same bits wherever the tiles live."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import torch
from actors import DelayedActor
from networks import CONFIG, TILES, SmallNet, batch, small_net, train
from torch import nn

import crossgrid as cg
from crossgrid.emulator.actors import launch


def trained(seed: int, steps: int = 3, **where: object) -> tuple[str, str, str]:
    """Hashes of the weights before and after training in an emulation, and after going on without it."""
    model, optimizer = small_net(seed)
    with cg.emulate(model, **where) as running:
        before = cg.weights_sha256(model)
        train(model, optimizer, range(steps))
        inside = cg.weights_sha256(model)
        assert running.totals.tiles == TILES
    assert cg.weights_sha256(model) == inside, "leaving the emulation changed a weight"
    train(model, optimizer, range(steps, 2 * steps))
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


def pipelined(**where: object) -> tuple[str, torch.Tensor]:
    """Trained in micro-batches that overlap, then read at every depth; equal outputs at all of them."""
    model, optimizer = small_net(1)
    delay = where.pop("update_delay", 0)
    with cg.emulate(model, update_delay=delay, **where) as running:
        for number in range(2):
            running.train_step(*batch(number), nn.CrossEntropyLoss(), optimizer, micro_batches=4)
        outputs = [running.infer(batch(9, 12)[0], micro_batch=3, depth=depth) for depth in (1, 2, 4)]
    return cg.weights_sha256(model), torch.stack(outputs)


@pytest.mark.usefixtures("ray_session")
@pytest.mark.slow
def test_delays_and_shuffled_starts_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the nine actors starts and answers after random delays of its own."""
    monkeypatch.setattr(launch, "TileActor", DelayedActor)
    here, there = pipelined(), pipelined(backend="ray")
    assert here[0] == there[0]
    assert torch.equal(here[1], there[1])


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("delay", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_late_updates_are_as_reproducible(delay: int) -> None:
    here, there = (
        pipelined(update_delay=delay),
        pipelined(update_delay=delay, backend="ray", tiles_per_actor=5),
    )
    assert here[0] == there[0]
    assert torch.equal(here[1], there[1])
    assert here[0] != pipelined()[0]


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


def dyadic_run(**where: object) -> str:
    """A training in which every sum of products is exact in float32, whatever its order; draws are as ever.

    Weights are multiples of 2^-6 up to 3/4, the ADC rounds to multiples of 2^-4 up to 8: a sum of at most 36
    products is a multiple of 2^-10 below 2^8.
    """
    device = cg.ConstantStepDevice(
        dw_min=2.0**-6, dw_min_dtod=0.0, dw_min_std=0.0, up_down_dtod=0.0, w_max=0.75, w_max_dtod=0.0,
        w_min=-0.75, w_min_dtod=0.0,
    )  # fmt: skip
    io = cg.IOParameters(
        noise_management=cg.NoiseManagementType.NONE, inp_bound=8.0, inp_res=0.0, out_bound=8.0,
        out_res=2.0**-8,
    )  # fmt: skip
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 20), nn.ReLU(),
        nn.Linear(20, 4),
    )  # fmt: skip
    with torch.no_grad():
        for values in net.parameters():
            values.copy_((values * 64).round() / 64)
    config = cg.SingleRPUConfig(device=device, forward=io, backward=io, mapping=CONFIG.mapping)
    model = cg.convert_to_analog(net, config)
    optimizer = cg.AnalogSGD(model.parameters(), lr=2.0**-3)
    with cg.emulate(model, **where):
        for number in range(2):
            x, classes = batch(number, 4)
            optimizer.zero_grad()
            (model((x * 4).round() / 4) * (nn.functional.one_hot(classes, 4) - 0.25)).sum().backward()
            optimizer.step()
    return cg.weights_sha256(model)


def test_readable_kernels_give_the_bits_of_compiled_ones() -> None:
    assert dyadic_run(device="naive") == dyadic_run(device="cpu")


@pytest.mark.usefixtures("ray_session")
def test_readable_kernels_run_in_actors() -> None:
    assert dyadic_run(device="naive", backend="ray", tiles_per_actor=5) == dyadic_run()
