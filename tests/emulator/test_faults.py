"""Without recovery an actor that dies, hangs or is too slow is named, and the living tiles can be read."""

from __future__ import annotations

import os
import signal
import urllib.request

import numpy as np
import psutil
import pytest
import ray
import torch
from torch import nn

import crossgrid as cg
from crossgrid.emulator.actors import launch
from crossgrid.emulator.tiles.messages import Forward

pytestmark = pytest.mark.usefixtures("ray_session")


def two_layers() -> nn.Module:
    """A layer of two tiles, one above the other, and one of one tile."""
    torch.manual_seed(0)
    mapping = cg.MappingParameter(max_output_size=4)
    return cg.convert_to_analog(
        nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 3)), cg.SingleRPUConfig(mapping=mapping)
    )


def without_recovery(model: nn.Module) -> cg.Emulation:
    """Tiles in actors whose state is lost with them."""
    emulation = cg.emulate(model, backend="ray")
    emulation.recovery = None
    return emulation


def pid_of(emulation: cg.Emulation, actor: int) -> int:
    return int(emulation.executor.hosts[actor].address.pid)


@pytest.mark.parametrize(("signal_", "words"), [(signal.SIGKILL, "died"), (signal.SIGSTOP, "hangs")])
def test_a_dead_or_hanging_actor_is_named(signal_: signal.Signals, words: str) -> None:
    """With tile, layer, process and node, in time; the others come home with what they held."""
    model = two_layers()
    kept = [layer.get_weights()[0] for layer in model]
    pids: list[int] = []

    def run() -> None:
        with without_recovery(model) as running:
            model(torch.ones(2, 6))
            running.executor.timeout_s = 2.0
            pids.extend(pid_of(running, actor) for actor in range(3))
            os.kill(pids[1], signal_)
            try:
                model(torch.ones(2, 6))
            finally:
                readable.update(running.tile_weights())

    readable: dict[str, dict[str, torch.Tensor]] = {}
    with pytest.raises(cg.TileError, match=r"tile 0/1,0 of layer 0 \(process \d+ on node") as caught:
        run()
    assert words in str(caught.value)
    assert f"(process {pids[1]} on node " in str(caught.value)
    assert set(readable["0"]) == {"0/0,0"}
    assert torch.equal(readable["0"]["0/0,0"], kept[0][:4])
    assert torch.equal(model[0].get_weights()[0][:4], kept[0][:4])
    assert torch.equal(model[0].get_weights()[0][4:], torch.zeros(4, 6)), "lost"
    assert torch.equal(model[1].get_weights()[0], kept[1])
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


@pytest.mark.slow
def test_an_actor_that_was_only_slow_comes_home() -> None:
    """It hung for longer than it may; by the time we leave it answers again, and nothing is lost."""
    model = two_layers()
    kept = [layer.get_weights()[0] for layer in model]

    def run() -> None:
        with without_recovery(model) as running:
            model(torch.ones(2, 6))
            running.executor.timeout_s = 1.0
            os.kill(pid_of(running, 1), signal.SIGSTOP)
            try:
                model(torch.ones(2, 6))
            finally:
                os.kill(pid_of(running, 1), signal.SIGCONT)
                running.executor.timeout_s = 30.0

    with pytest.raises(cg.TileError, match="did not answer within 1 s; it is stopped"):
        run()
    assert all(torch.equal(layer.get_weights()[0], w) for layer, w in zip(model, kept, strict=True))


def test_a_slow_actor_does_not_fill_the_drivers_memory() -> None:
    """Messages of 4 MB to an actor that stands still: the high-water mark stops the sender, an error ends it.

    The limits let 16 MB wait in batches of 64 vectors, so 64 messages of this layer; these are 16 times as
    large, so 256 MB. ZeroMQ's mark is not exact: up to twice as much was seen. All 400 would be 1.6 GB.
    """
    layer = cg.AnalogLinear(1024, 4, rpu_config=cg.FloatingPointRPUConfig(), seed=1)
    me = psutil.Process()

    def run() -> None:
        with without_recovery(layer) as running:
            executor = running.executor
            executor.timeout_s = 2.0
            os.kill(pid_of(running, 0), signal.SIGSTOP)
            before = me.memory_info().rss
            message = Forward(0, 0, None, False, None, None, 1.0, None, [np.ones((1024, 1024), np.float32)])
            try:
                for _ in range(400):
                    executor.submit(0, message)
            finally:
                grown.append(me.memory_info().rss - before)

    grown: list[int] = []
    with pytest.raises(cg.TileError, match="it is stopped and hangs"):
        run()
    assert grown[0] < 0.7e9


def fails_in_the_actor(model: nn.Module) -> None:
    """A training step whose update asks for longer trains than there are."""
    optimizer = cg.AnalogSGD(model.parameters(), lr=1e3)
    model(torch.ones(2, 6)).sum().backward()
    optimizer.step()


def without_management() -> nn.Module:
    update = cg.UpdateParameters(fixed_bl=False, update_management=False, update_bl_management=False)
    torch.manual_seed(0)
    return cg.convert_to_analog(nn.Sequential(nn.Linear(6, 3)), cg.SingleRPUConfig(update=update))


def test_a_failed_update_is_the_training_loops_and_not_the_metrics_to_hear_of() -> None:
    """An update is sent without waiting for it; what waits next may be a scrape."""
    model = without_management()
    scraped: list[bytes] = []

    def run() -> None:
        with cg.emulate(model, backend="ray") as running:
            fails_in_the_actor(model)
            assert running.metrics_url is not None
            scraped.extend(urllib.request.urlopen(running.metrics_url).read() for _ in range(3))
            model(torch.ones(2, 6))
            pytest.fail("the forward pass must hear of it")

    with pytest.raises(cg.ConfigError, match="fixed_bl"):
        run()
    assert len(scraped) == 3
    assert all(b"crossgrid" in text for text in scraped)


def test_the_last_updates_failure_is_raised_on_leaving() -> None:
    """Also where nothing else is asked of the tiles; they come home with what they held."""
    model = without_management()
    kept = model[0].get_weights()[0]
    with pytest.raises(cg.ConfigError, match="fixed_bl"), cg.emulate(model, backend="ray"):
        fails_in_the_actor(model)
    assert torch.equal(model[0].get_weights()[0], kept)
    assert model(torch.ones(2, 6)).shape == (2, 3)


def test_an_error_on_its_way_is_not_replaced_by_a_failed_update() -> None:
    model = without_management()

    def run() -> None:
        with cg.emulate(model, backend="ray"):
            fails_in_the_actor(model)
            raise ValueError("of the user")

    with pytest.raises(ValueError, match="of the user"):
        run()


def test_who_has_the_processors_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another emulation of the same Ray, or actors of the user's own."""
    model = two_layers()
    with cg.emulate(two_layers(), backend="ray"):  # what ended before it may still have to give back its own
        monkeypatch.setattr(launch, "FREED_SECONDS", 0.0)
        said = (
            rf"reserved there are .* by 'crossgrid, chip 0, process {os.getpid()} on .*ray start --num-cpus"
        )
        with pytest.raises(cg.BackendError, match=said), cg.emulate(model, backend="ray"):
            pytest.fail("all processors are taken")
    assert model(torch.ones(2, 6)).shape == (2, 3)

    @ray.remote(num_cpus=4)
    class Greedy:
        def is_there(self) -> bool:
            return True

    greedy = Greedy.remote()
    assert ray.get(greedy.is_there.remote())
    refused = pytest.raises(cg.BackendError, match="actors or tasks have them, see `ray status`")
    with refused, cg.emulate(model, backend="ray"):
        pytest.fail("all processors are taken")
    ray.kill(greedy)
