"""Kills at random moments: a run that is disturbed and one that is not, a tally of what kills cost."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import nn

import crossgrid as cg

#: kills while a run is at one thing: on a busy machine processes die as fast as they start
AT_ONCE = 3

#: what a run does; it is at some of it so seldom that kills would not fall there unless they waited for it
AIMS = ("forward", "backward", "update", "infer", "train_step", "program", "save")

#: seconds that a kill waits for what it aims at
AIM_SECONDS = 3.0

#: where the tally goes, if anywhere
TALLY = os.environ.get("CROSSGRID_CHAOS_JSON")


@dataclass
class Tally:
    """What one fault did, tried again and again."""

    fault: str
    tried: int = 0
    survived: int = 0
    seconds: list[float] = field(default_factory=list)  # that each cost

    def note(self) -> None:
        """Add it to the file of the suite's run, where one is wanted."""
        if TALLY:
            with Path(TALLY).open("a") as file:
                file.write(json.dumps(asdict(self)) + "\n")


@dataclass
class Victims:
    """The processes of a run, which some thread kills at random moments."""

    running: cg.Emulation
    doing: str = ""  # what the run is at
    within: int = 0  # kills since it began with it
    noticed: int = 0  # of those killed
    killed: list[str] = field(default_factory=list)  # what it was at when a process was killed
    seconds: dict[str, list[float]] = field(default_factory=dict)  # that each of them cost, once noticed

    def pids(self) -> list[int]:
        """The processes that are to be killed."""
        if self.running.stages is not None:
            known = [stage.address for stage in self.running.stages.stages]
            return [int(address.pid) for address in known if address is not None]  # the others start
        executor: Any = self.running.executor
        return [int(host.address.pid) for host in executor.hosts]

    @contextmanager
    def at(self, doing: str) -> Iterator[None]:
        """The run is at something. What it lost meanwhile is the share of those killed longest ago."""
        assert self.running.executor is not None
        recovered = self.running.executor.recovered
        restarts, seconds = recovered.restarts, recovered.seconds
        self.doing, self.within = doing, 0
        yield
        restarts = recovered.restarts - restarts
        for killed_in in self.killed[self.noticed : self.noticed + restarts]:
            self.seconds.setdefault(killed_in, []).append((recovered.seconds - seconds) / restarts)
            self.noticed += 1

    def _wait_for(self, doing: str, ended: threading.Event) -> None:
        """Wait until the run begins with something, if it does so soon."""
        deadline = time.monotonic() + AIM_SECONDS
        while self.doing != doing and time.monotonic() < deadline and not ended.wait(5e-4):
            pass

    def tallies(self, whose: str) -> list[Tally]:
        """Of a run that survived all of them: a tally for each thing that it was at."""
        return [
            Tally(f"SIGKILL of {whose} in {doing}", count, count, self.seconds.get(doing, []))
            for doing, count in Counter(self.killed).items()
        ]

    @contextmanager
    def hunted(self, seed: int, seconds: float, count: int) -> Iterator[None]:
        """Random processes are killed, on average every ``seconds``, ``count`` of them."""
        drawn, ended = random.Random(seed), threading.Event()

        def run() -> None:
            while len(self.killed) < count and not ended.wait(drawn.expovariate(1 / seconds)):
                self._wait_for(drawn.choice(AIMS), ended)
                ended.wait(drawn.uniform(0.0, 0.02))
                # nobody is there, or it is dead already, and its successor is on its way
                with suppress(psutil.NoSuchProcess, IndexError):
                    victim = psutil.Process(drawn.choice(self.pids()))
                    if (
                        self.within < AT_ONCE and victim.status() != psutil.STATUS_ZOMBIE
                    ):  # as long as nobody has asked how it ended
                        victim.kill()
                        self.within += 1
                        self.killed.append(self.doing)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def a_step(
    running: cg.Emulation, optimizer: torch.optim.Optimizer, data: Any, victims: Victims, pipelined: bool
) -> torch.Tensor:
    """The loss of a training step, of one that the user writes or of ours."""
    x, y = data
    if pipelined:
        with victims.at("train_step"):
            return torch.tensor(running.train_step(x, y, nn.CrossEntropyLoss(), optimizer, 2))
    optimizer.zero_grad()
    with victims.at("forward"):
        loss = nn.functional.cross_entropy(running.model(x), y)
    with victims.at("backward"):
        loss.backward()
    with victims.at("update"):
        optimizer.step()
    return loss.detach()


def a_day(
    running: cg.Emulation, optimizer: torch.optim.Optimizer, data: Any, number: int, folder: Path,
    victims: Victims, staged: bool,
) -> list[torch.Tensor]:  # fmt: skip
    """A training step, and now and then an inference, a programming, a save."""
    found = [a_step(running, optimizer, data[number % len(data)], victims, staged or number % 3 == 0)]
    if number % 4 == 1:
        with victims.at("infer"):
            found.append(running.infer(data[0][0], micro_batch=3))
    if number % 6 == 2 and not running.layers[0][1].grid.spec.learns:
        with victims.at("program"):
            cg.program_analog_weights(running.model)
            cg.drift_analog_weights(running.model, 60.0)
            found.append(running.infer(data[0][0], micro_batch=3))
    if number % 5 == 3:
        with victims.at("save"):
            running.save(folder, optimizer, batch=number)
    return found


def disturbed(
    make: Callable[[], Any], data: Any, folder: Path, seed: int, kills: int, seconds: float, **where: Any
) -> Victims:
    """Train in processes until so many were killed, and as long in this one without; all must be equal."""
    (model, optimizer), staged = make(), "stages" in where
    emulation = cg.emulate(model, backend="ray", **where)
    emulation.recovery = cg.Recovery(snapshot_messages=7, restarts=1000)
    outputs: list[list[torch.Tensor]] = []
    with emulation as running:
        victims = Victims(running)
        with victims.hunted(seed, seconds, kills):
            while len(victims.killed) < kills or len(outputs) < len(data):
                outputs.append(
                    a_day(running, optimizer, data, len(outputs), folder / "there", victims, staged)
                )
        assert running.executor.recovered.restarts >= kills - len(victims.pids())
        outputs.append([running.infer(data[0][0])])  # a read puts changed weights onto the tiles
    found = cg.weights_sha256(model), model.state_dict(), optimizer.state_dict()["state"]
    model, optimizer = make()
    with cg.emulate(model) as running:
        for number, known in enumerate(outputs[:-1]):
            again = a_day(running, optimizer, data, number, folder / "here", Victims(running), staged)
            assert all(map(torch.equal, known, again)), f"step {number} of {len(outputs)}"
        assert torch.equal(running.infer(data[0][0]), outputs[-1][0])
    assert cg.weights_sha256(model) == found[0]
    assert all(torch.equal(found[1][name], values) for name, values in model.state_dict().items())
    assert _tensors(optimizer.state_dict()["state"]) == _tensors(found[2])
    return victims


def _tensors(states: Any) -> list[bytes]:
    return [v.numpy().tobytes() for each in states.values() for v in each.values() if torch.is_tensor(v)]
