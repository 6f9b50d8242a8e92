"""Actors are killed at any moment: training ends with the weights of a run that nobody disturbed."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Literal

import psutil
import pytest
import tally
import torch
from chaos import disturbed
from torch import nn

import crossgrid as cg
from crossgrid.emulator.actors import revival
from crossgrid.emulator.tiles.messages import ReadWeights

pytestmark = pytest.mark.usefixtures("ray_session")

STEPS = 12
FIRST = torch.Generator().manual_seed(1)
DATA = [(torch.randn(8, 6, generator=FIRST), torch.randint(3, (8,), generator=FIRST)) for _ in range(STEPS)]


def pulsed() -> tuple[nn.Module, torch.optim.Optimizer]:
    """Two layers on three tiles that learn by pulses, and whose reads keep a running average."""
    torch.manual_seed(0)
    average = cg.IOParameters(noise_management=cg.NoiseManagementType.AVERAGE_ABS_MAX)
    mapping = cg.MappingParameter(max_output_size=4)
    config = cg.SingleRPUConfig(mapping=mapping, forward=average)
    model = cg.convert_to_analog(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)), config)
    return model, cg.AnalogSGD(model.parameters(), lr=0.1)


def hardware_aware() -> tuple[nn.Module, torch.optim.Optimizer]:
    """The same network, its weights modified for every mini-batch, with Adam."""
    torch.manual_seed(0)
    config = cg.InferenceRPUConfig(mapping=cg.MappingParameter(max_output_size=4))
    config.modifier.type, config.modifier.std_dev = cg.WeightModifierType.ADD_NORMAL, 0.1
    model = cg.convert_to_analog(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)), config)
    return model, torch.optim.Adam(model.parameters(), lr=0.05)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, number: int) -> torch.Tensor:
    x, y = DATA[number % STEPS]
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss.detach()


def kill(running: cg.Emulation, actor: int, how: signal.Signals = signal.SIGKILL) -> int:
    pid = int(running.executor.hosts[actor].address.pid)
    os.kill(pid, how)
    return pid


#: inferences read what was programmed once, and learnt since
CHANGED = "ignore:.*the weight changed since it was programmed"

MODELS = {"pulsed": pulsed, "hardware-aware": hardware_aware}


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, tuple[str, list[torch.Tensor]]]:
    found = {}
    for name, make in MODELS.items():
        model, optimizer = make()
        losses = [step(model, optimizer, k) for k in range(STEPS)]
        found[name] = cg.weights_sha256(model), losses
    return found


@pytest.mark.parametrize("name", list(MODELS))
def test_a_kill_at_any_call_changes_no_bit(
    name: str, undisturbed: dict[str, tuple[str, list[torch.Tensor]]], tmp_path: Path
) -> None:
    """Before a forward pass, between forward and backward, backward and update, update and all else.

    A snapshot is taken every few messages, so that some kills fall before the first and some after the last.
    """
    model, optimizer = MODELS[name]()
    emulation = cg.emulate(model, backend="ray")
    emulation.recovery = cg.Recovery(snapshot_messages=7, restarts=20)
    losses, pids = [], []
    with emulation as running:
        for number in range(STEPS):
            x, y = DATA[number]
            if number == 1:
                pids.append(kill(running, 1))
            optimizer.zero_grad()
            y_hat = model(x)
            if number in (3, 8):
                pids.append(kill(running, 0))
            loss = nn.functional.cross_entropy(y_hat, y)
            loss.backward()
            if number == 5:
                pids.append(kill(running, 2 % len(running.executor.hosts)))
            optimizer.step()
            losses.append(loss.detach())
            if number == 9:
                pids.append(kill(running, 1))
                running.save(tmp_path, optimizer)
        assert running.executor.recovered.restarts == len(pids)
        assert any(host.history.snapshot for host in running.executor.hosts)
        assert all(torch.equal(a, b) for a, b in zip(losses, undisturbed[name][1], strict=True))
        assert cg.weights_sha256(model) == undisturbed[name][0]
    assert cg.weights_sha256(model) == undisturbed[name][0]
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def test_kills_at_random_moments_change_no_bit(tmp_path: Path) -> None:
    """Three, while steps are pipelined, inferences run between, and what is there is saved."""
    disturbed(pulsed, DATA, tmp_path, seed=0, kills=3, seconds=0.8)


@pytest.mark.slow
@pytest.mark.filterwarnings(CHANGED)
def test_stages_killed_at_random_moments_change_no_bit(tmp_path: Path) -> None:
    """Five, with weights that are modified, programmed and saved between."""
    disturbed(hardware_aware, DATA, tmp_path, seed=0, kills=5, seconds=1.5, stages=2)


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(3000)
@pytest.mark.filterwarnings(CHANGED)
@pytest.mark.parametrize("where", [{}, {"stages": 2}], ids=["an actor a tile", "stages"])
@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("seed", range(5))
def test_a_hundred_kills_change_no_bit(name: str, where: dict[str, int], seed: int, tmp_path: Path) -> None:
    """Ten a run, twenty runs: half of them of stages, which take longer to start again."""
    seconds = 6.0 if where else 1.0
    victims = disturbed(MODELS[name], DATA, tmp_path, seed + 1, kills=10, seconds=seconds, **where)
    assert len(victims.killed) >= 10
    for each in victims.tallies("a stage" if where else "a tile actor"):
        each.note()


def test_a_death_is_noticed_at_once_and_costs_seconds() -> None:
    model, optimizer = pulsed()
    with cg.emulate(model, backend="ray", timeout_s=200.0) as running:
        step(model, optimizer, 0)
        kill(running, 0)
        start = time.perf_counter()
        step(model, optimizer, 1)
        assert time.perf_counter() - start < 190.0  # a new process on a busy machine, no time-out
        samples = {sample["tile"]: counters["update_count"] for sample, counters in running.tile_samples()}
        assert set(samples.values()) == {16.0}, "a new actor goes on counting where the old one was"


def test_a_stopped_actor_is_replaced_after_its_time_and_does_not_answer_for_its_successor(
    undisturbed: dict[str, tuple[str, list[torch.Tensor]]],
) -> None:
    """Stopped with messages in its socket. Its successor answers; what a late one says is not listened to."""
    model, optimizer = pulsed()
    with cg.emulate(model, backend="ray", timeout_s=3.0) as running:
        for number in range(4):
            step(model, optimizer, number)
        pid, start = kill(running, 0, signal.SIGSTOP), time.perf_counter()
        for number in range(4, STEPS):
            step(model, optimizer, number)
        assert time.perf_counter() - start > 3.0
        assert running.executor.recovered.restarts == 1
        assert not psutil.pid_exists(pid)
        late = running.executor.mailbox
        assert late.epochs[0] == 1
        assert cg.weights_sha256(model) == undisturbed["pulsed"][0]


def test_an_actor_that_is_slow_and_not_stopped_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """It pulses for seconds where a third of one is allowed: nobody is replaced, and the run goes on."""
    monkeypatch.setattr(revival, "NOTICE_SECONDS", 0.0)

    def run(backend: Literal["local", "ray"]) -> str:
        torch.manual_seed(1)
        layer = cg.AnalogLinear(256, 256, rpu_config=cg.SingleRPUConfig(), seed=1)
        optimizer = cg.AnalogSGD(layer.parameters(), lr=0.01)
        x = torch.randn(20000, 256, generator=torch.Generator().manual_seed(2))
        with cg.emulate(layer, backend=backend) as running:
            layer(x).sum().backward()
            optimizer.step()
            if backend == "ray":
                running.executor.timeout_s = 0.3
                with pytest.raises(cg.TileError, match="and is not stopped: it is too slow: raise timeout_s"):
                    running.weights()
                running.executor.timeout_s = 200.0
                assert running.executor.recovered.restarts == 0
            return cg.weights_sha256(layer)

    assert run("ray") == run("local")


def test_a_storm_of_deaths_is_one_error_and_the_state_comes_home(
    undisturbed: dict[str, tuple[str, list[torch.Tensor]]],
) -> None:
    """No actor may be started again: what the dead one held is computed again in this process."""
    model, optimizer = pulsed()
    emulation = cg.emulate(model, backend="ray")
    emulation.recovery = cg.Recovery(restarts=0, snapshot_messages=6)

    def run() -> None:
        with emulation as running:
            for number in range(6):
                step(model, optimizer, number)
            kill(running, 1)
            running.executor.submit(1, ReadWeights(0)).result()

    with pytest.raises(cg.TileError, match=r"died, for the 1\. time in 60 s; its tiles' state is saved"):
        run()
    optimizer.zero_grad()
    losses = [step(model, optimizer, number) for number in range(6, STEPS)]
    assert all(torch.equal(a, b) for a, b in zip(losses, undisturbed["pulsed"][1][6:], strict=True))
    assert cg.weights_sha256(model) == undisturbed["pulsed"][0]


def test_what_is_remembered_is_bounded() -> None:
    """After many messages no more are kept than between two snapshots."""
    model, optimizer = pulsed()
    emulation = cg.emulate(model, backend="ray")
    emulation.recovery = cg.Recovery(snapshot_messages=20)
    sizes = []
    with emulation as running:
        for number in range(60):
            step(model, optimizer, number)
            sizes.append(max(len(host.history.told) for host in running.executor.hosts))
            assert all(len(answered) <= 100 for answered in running.executor.mailbox.answered.values())
        assert 0 < running.executor.recovered.log_bytes < 1e6
        assert 0 < running.executor.recovered.snapshot_bytes < 1e6
    assert max(sizes[10:]) <= 60


def test_the_table_of_faults_is_the_sum_of_what_was_tried() -> None:
    """Of the lines of several runs; whatever stands on the page around it stays."""
    one = json.dumps(
        {"fault": "SIGKILL of a stage in infer", "tried": 2, "survived": 2, "seconds": [1.0, 4.0]}
    )
    two = json.dumps({"fault": "SIGKILL of a stage in infer", "tried": 1, "survived": 1, "seconds": [2.0]})
    found = tally.table([one, two])
    assert found.splitlines()[-1] == "| SIGKILL of a stage in infer | 3 | 3 | 2.0 | 4.0 |"
    page = tally.PAGE.read_text()
    again = tally.with_table(tally.with_table(page, "a table of before"), found)
    assert found in again
    assert "a table of before" not in again
    assert again.split(tally.BEGIN)[0] == page.split(tally.BEGIN)[0]
    assert again.split(tally.END)[1] == page.split(tally.END)[1]


def test_recovery_is_checked() -> None:
    for wrong in ({"restarts": -1}, {"snapshot_messages": 0}, {"log_bytes": 1.5}, {"storm_s": 0}):
        with pytest.raises(cg.ConfigError, match=f"Recovery.{next(iter(wrong))} = "):
            cg.Recovery(**wrong)  # type: ignore[arg-type]
