"""Ctrl-C at random moments of a model in stages: afterwards it goes on, and nothing is left behind."""

from __future__ import annotations

import contextlib
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from chaos import Tally
from test_left_behind import interrupted
from torch import nn

import crossgrid as cg

pytestmark = [
    pytest.mark.usefixtures("ray_session", "ctrl_c"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # of one that was dropped
    pytest.mark.filterwarnings("ignore:.*the weight changed since it was programmed"),
]

X = torch.rand(8, 6, generator=torch.Generator().manual_seed(1))
Y = torch.arange(8) % 3


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C raises, also where a shell that started these tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Torch's sums follow its threads: as many here as a stage has."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def network() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    config = cg.InferenceRPUConfig()
    config.modifier.type, config.modifier.std_dev = cg.WeightModifierType.ADD_NORMAL, 0.1
    model = cg.convert_to_analog(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)), config)
    return model, torch.optim.Adam(model.parameters(), lr=0.05)


def presses(folder: Path, times: int, seed: int) -> None:
    """Steps, inferences and programmings are broken off. What is there then, saved and restored without any
    stages, learns on with the same bits as the stages do."""
    model, optimizer = network()
    drawn, caught = random.Random(seed), 0

    def step() -> float:
        return running.train_step(X, Y, nn.CrossEntropyLoss(), optimizer, 2)

    def infer() -> torch.Tensor:
        return running.infer(X, micro_batch=2)

    with cg.emulate(model, backend="ray", stages=2) as running:
        while caught < times:
            what = drawn.choice([step, infer, lambda: cg.program_analog_weights(model)])
            caught += interrupted(what, drawn.uniform(0.001, 0.15))
            assert all(torch.isfinite(w).all() and w.any() for w in running.weights().values())
        running.save(folder, optimizer)
        found = [*(step() for _ in range(3)), infer()]
    held = cg.weights_sha256(model)
    model, optimizer = network()
    with cg.restore(folder, model, optimizer) as running:
        again = [*(step() for _ in range(3)), infer()]
    assert again[:3] == found[:3]
    assert torch.equal(again[3], found[3])
    assert cg.weights_sha256(model) == held


@pytest.mark.timeout(900)  # stages are brought back each time, and a signal that is dropped costs 10 s
def test_interrupts_of_stages_leave_a_model_that_goes_on(tmp_path: Path) -> None:
    presses(tmp_path, 3, seed=0)


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(3000)
def test_a_hundred_interrupts_of_stages(tmp_path: Path) -> None:
    presses(tmp_path, 100, seed=1)
    Tally("Ctrl-C in a step, an inference, a programming of stages", 100, 100).note()


def test_an_interrupted_step_has_not_been_made() -> None:
    """Pressed between passes and update: weights and losses are those of a run without the attempt."""
    model, optimizer = network()
    expected, its = network()
    with cg.emulate(expected) as running:
        wanted = [running.train_step(X, Y, nn.CrossEntropyLoss(), its, 2) for _ in range(2)]

    def give_up(*_: Any) -> None:
        raise KeyboardInterrupt

    with cg.emulate(model, backend="ray", stages=2) as running:
        losses = [running.train_step(X, Y, nn.CrossEntropyLoss(), optimizer, 2)]
        hook = optimizer.register_step_pre_hook(give_up)
        with pytest.raises(KeyboardInterrupt):
            running.train_step(X, Y, nn.CrossEntropyLoss(), optimizer, 2)
        hook.remove()
        losses.append(running.train_step(X, Y, nn.CrossEntropyLoss(), optimizer, 2))
    assert losses == wanted
    assert cg.weights_sha256(model) == cg.weights_sha256(expected)


def is_stage(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):  # it has ended meanwhile
        return "ray::StageActor" in " ".join(process.cmdline())
    return False


def test_an_interrupted_start_leaves_nothing_behind() -> None:
    """The model computes on in this process, and no stage stays."""
    model, _ = network()
    before = cg.weights_sha256(model)
    for after_s in (0.3, 1.5):
        emulation = cg.emulate(model, backend="ray", stages=2)
        interrupted(emulation.__enter__, after_s)
        if emulation.executor is not None:  # it had started
            emulation.__exit__(None, None, None)
    assert cg.weights_sha256(model) == before
    assert model(X).shape == (8, 3)
    children = psutil.Process().children(recursive=True)
    stages = [each for each in children if is_stage(each)]
    assert not psutil.wait_procs(stages, 30)[1]
