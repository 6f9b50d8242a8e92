"""Partial sums that actors add: the bits of the local run, fewer bytes for the driver, and nothing lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from actors import ForgetfulActor
from chaos import disturbed
from torch import nn

import crossgrid as cg
from crossgrid.emulator.actors import adding, launch, mailbox
from crossgrid.emulator.actors.adding import Gathering, shared_lines
from crossgrid.emulator.tiles.messages import Forward, Parts, Peers, Sums, Totals

CUT = cg.MappingParameter(max_input_size=5, max_output_size=4)
PULSED = cg.SingleRPUConfig(mapping=CUT)
HARDWARE_AWARE = cg.InferenceRPUConfig(
    mapping=CUT, modifier=cg.WeightModifierParameter(type=cg.WeightModifierType.ADD_NORMAL, std_dev=0.1),
    forward=cg.IOParameters(out_bound=0.5),
)  # fmt: skip


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little it spares."""
    monkeypatch.setattr(adding, "SPARED_BYTES", 0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The reads whose parts the driver asks the actors for."""
    found: list[Any] = []
    parts = adding.SharedAddition._parts
    monkeypatch.setattr(adding.SharedAddition, "_parts", lambda self: found.append(self) or parts(self))
    return found


def network(config: Any) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Images and features: rows and columns of two to four blocks."""
    torch.manual_seed(3)
    digital = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(96, 8), nn.Tanh(), nn.Linear(8, 6)
    )
    model = cg.convert_to_analog(digital, config)
    return model, cg.AnalogSGD(model.parameters(), lr=0.1)


FIRST = torch.Generator().manual_seed(1)
DATA = [(torch.randn(6, 3, 4, 4, generator=FIRST), torch.arange(6)) for _ in range(6)]


def trained(config: Any, disturb: Any = None, **where: Any) -> tuple[list[Any], str, list[dict[str, float]]]:
    """Losses and outputs of three steps, the weights, and what the tiles counted."""
    model, optimizer = network(config)
    emulation = cg.emulate(model, **where)
    found: list[Any] = []
    with emulation as running:
        for number, (x, y) in enumerate(DATA[:3]):
            if disturb is not None:
                disturb(running, number)
            found.append(running.train_step(x, y, nn.CrossEntropyLoss(), optimizer, micro_batches=2))
            found.append(running.infer(x, micro_batch=2).numpy().tobytes())
        counted = [
            {name: value for name, value in counters.items() if "seconds" not in name}
            for _, counters in running.tile_samples()
        ]
    return found, cg.weights_sha256(model), counted


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("config", [PULSED, HARDWARE_AWARE], ids=["pulsed", "hardware-aware"])
@pytest.mark.parametrize("tiles_per_actor", [pytest.param(1, marks=pytest.mark.slow), 7])
def test_sums_of_actors_have_the_bits_of_the_local_run(
    config: Any, tiles_per_actor: int, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost, so no total is waited for in vain: nor for the first layer, which goes backward
    without a read, since nobody wants its input's gradient."""
    monkeypatch.setattr(adding, "PATIENCE_SECONDS", 60.0)
    assert trained(config, backend="ray", tiles_per_actor=tiles_per_actor) == trained(config)
    assert not asked


@pytest.mark.usefixtures("ray_session")
def test_the_driver_receives_one_result_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer of 3 x 4 blocks of 64 x 32 and 40 vectors: forward 3 results of 40 x 64 in the place of 12,
    backward 4 of 40 x 32 in the place of 12, float32 each."""
    received = 0
    receive = mailbox.receive

    def counted(*args: Any) -> Any:
        nonlocal received
        letter = receive(*args)
        received += sum(each.nbytes for each in getattr(letter.content, "parts", ()))
        return letter

    monkeypatch.setattr(mailbox, "receive", counted)
    mapping = cg.MappingParameter(max_input_size=32, max_output_size=64)
    bytes_of: dict[int, int] = {}
    outputs = []
    for spared in (0, 1 << 40):
        monkeypatch.setattr(adding, "SPARED_BYTES", spared)
        torch.manual_seed(3)
        layer = cg.AnalogLinear(128, 192, rpu_config=cg.SingleRPUConfig(mapping=mapping), seed=1)
        with cg.emulate(nn.Sequential(layer), backend="ray", tiles_per_actor=2):
            received = 0
            x = torch.rand(40, 128, generator=torch.Generator().manual_seed(1), requires_grad=True)
            y = layer(x)
            y.sum().backward()
            bytes_of[spared] = received
            outputs.append((y.detach(), x.grad))
    blocks = 40 * 64 * 4, 40 * 32 * 4
    assert bytes_of == {0: 3 * blocks[0] + 4 * blocks[1], 1 << 40: 12 * (blocks[0] + blocks[1])}
    assert all(map(torch.equal, *outputs))


@pytest.mark.usefixtures("ray_session")
def test_what_is_lost_on_the_way_is_asked_for(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Actors that lose parts never send some totals: the driver adds these lines."""
    monkeypatch.setattr(launch, "TileActor", ForgetfulActor)
    monkeypatch.setattr(adding, "PATIENCE_SECONDS", 0.01)
    assert trained(PULSED, backend="ray", tiles_per_actor=7) == trained(PULSED)
    assert asked


@pytest.mark.usefixtures("ray_session")
def test_actors_that_are_killed_meet_again() -> None:
    """Whoever adds is killed, then whoever gives: later reads are added by actors again."""
    met = []

    def kill(running: Any, number: int) -> None:
        executor = running.executor
        if number:
            os.kill(executor.hosts[number - 1].address.pid, signal.SIGKILL)
        met.append({layer: known.known for layer, known in executor.adders.layers.items()})

    found = trained(PULSED, kill, backend="ray", tiles_per_actor=12)
    assert found[:2] == trained(PULSED)[:2]
    assert met[0] == dict.fromkeys(met[0], False)
    assert met[2] == dict.fromkeys(met[0], True)


@pytest.mark.usefixtures("ray_session")
@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(3))
def test_kills_at_random_moments_change_no_bit(seed: int, tmp_path: Path) -> None:
    """With snapshots every seven messages, while micro-batches overlap."""

    def make() -> Any:
        torch.manual_seed(0)
        average = cg.IOParameters(noise_management=cg.NoiseManagementType.AVERAGE_ABS_MAX)
        mapping = cg.MappingParameter(max_output_size=4, max_input_size=3)
        config = cg.SingleRPUConfig(mapping=mapping, forward=average)
        model = cg.convert_to_analog(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)), config)
        return model, cg.AnalogSGD(model.parameters(), lr=0.1)

    drawn = torch.Generator().manual_seed(1)
    data = [(torch.randn(8, 6, generator=drawn), torch.arange(8) % 3) for _ in range(12)]
    victims = disturbed(make, data, tmp_path, seed=seed, kills=8, seconds=0.8, tiles_per_actor=2)
    for each in victims.tallies("an actor that adds for others"):
        each.note()


def spec_of(rows: int, columns: int) -> Any:
    mapping = cg.MappingParameter(max_input_size=2, max_output_size=2)
    layer = cg.AnalogLinear(2 * columns, 2 * rows, rpu_config=cg.SingleRPUConfig(mapping=mapping), seed=1)
    return layer.grid.spec


def test_actors_take_turns_and_must_be_reached() -> None:
    spec = spec_of(3, 4)
    alone = {number: [number] for number in range(12)}
    assert shared_lines(spec, alone, True, lambda a, b: True) == ((0, 0, 4), (1, 5, 4), (2, 10, 4))
    assert shared_lines(spec, alone, False, lambda a, b: True) == (
        (0, 0, 3),
        (1, 5, 3),
        (2, 10, 3),
        (3, 3, 3),
    )
    assert shared_lines(spec, alone, True, lambda a, b: a == b or a > 8) == ((2, 11, 4),)
    assert shared_lines(spec, alone, True, lambda a, b: a == b) == ()
    assert shared_lines(spec, {0: [*range(8)], 1: [*range(8, 12)]}, True, lambda a, b: True) == ()


def test_sums_are_made_in_block_order_whatever_comes_first() -> None:
    """1e8 + 1 - 1e8 is 0 in float32, 1e8 - 1e8 + 1 is 1; what comes twice counts once, and late no more."""
    sent: list[tuple[Totals, int]] = []
    gathering = Gathering(0, lambda totals, read: sent.append((totals, read)))
    gathering.meet(Peers(0, ((4, 0, 3),), (), ()))
    parts = [np.full((1, 2), value, np.float32) for value in (1e8, 1.0, -1e8)]
    given = [Parts(0, 7, True, (4,), (place,), [part]) for place, part in enumerate(parts)]
    gathering.take(given[2])
    gathering.take(given[2])
    forward = Forward(0, 0, None, False, None, None, 1.0, (7, 7), [])
    left = gathering.share(forward, Sums((4, 5), (0, -1), [parts[0], parts[1]], (2,), [parts[0]]))
    assert (left.lines, left.places, left.clipped) == ((5,), (-1,), (2,))
    assert not sent
    gathering.take(given[1])
    gathering.take(given[1])
    ((totals, read),) = sent
    assert read == 7
    assert totals.lines == (4,)
    assert totals.parts[0].tolist() == [[0.0, 0.0]]
