"""However a driver ends, nothing of it stays; a child or an interrupt does not break what goes on."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from chaos import Tally
from test_killed_actors import STEPS, pulsed, step

import crossgrid as cg
from crossgrid.emulator.cli.main import main
from crossgrid.emulator.hosts.interrupts import Uninterrupted
from crossgrid.emulator.wire.directory import OWNER, RunDirectory, abandoned, remove_abandoned

DRIVER = """
import os, sys, time
import torch, crossgrid as cg
from torch import nn
torch.manual_seed(0)
model = cg.convert_to_analog(nn.Linear(6, 4), cg.SingleRPUConfig())
with cg.emulate(model, backend="ray") as running:
    before = model(torch.ones(2, 6))
    print(running.executor.directory.path, running.executor.hosts[0].address.pid, flush=True)
"""
FORKS = """
    child = os.fork()
    if child == 0:
        sys.exit(3)
    deadline = time.monotonic() + 60
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    print(os.waitstatus_to_exitcode(ended[1]) if ended[0] else "still running", flush=True)
    print(tuple(model(torch.ones(2, 6)).shape), flush=True)
"""
WAITS = """
    time.sleep(600)
"""


def driver(more: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", DRIVER + more], stdout=subprocess.PIPE, text=True)


def test_a_forked_child_ends_and_its_parent_goes_on() -> None:
    """A child that leaves the block, as a library's may, owns nothing in it.

    Ray's own libraries may crash while such a child's interpreter ends; it ends all the same.
    """
    process = driver(FORKS)
    printed, _ = process.communicate(timeout=200)
    assert process.returncode == 0
    ended, shape = printed.splitlines()[-2:]
    assert ended != "still running"
    assert shape == "(2, 4)"


@pytest.mark.slow
def test_a_killed_driver_leaves_no_process_and_the_next_run_its_directory() -> None:
    """The actor, Ray's processes and its shared memory end with it; sockets' files are swept."""
    process = driver(WAITS)
    assert process.stdout is not None
    directory, pid = next(line for line in process.stdout if line.startswith("/")).split()
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    process.stdout.close()
    _, alive = psutil.wait_procs(
        [*children, *(psutil.Process(p) for p in [int(pid)] if psutil.pid_exists(p))], 40
    )
    assert not alive
    assert Path(directory) in list(abandoned())
    assert main(["doctor", "--clean"]) == 0
    assert not Path(directory).exists()


def test_only_abandoned_directories_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one whose driver lives, nor what only has the name, nor what a link leads to."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    alive = RunDirectory()
    dead = Path(tempfile.mkdtemp(prefix="crossgrid-"))
    (dead / OWNER).touch()
    foreign = Path(tempfile.mkdtemp(prefix="crossgrid-"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / OWNER).touch()
    (tmp_path / "crossgrid-link").symlink_to(elsewhere)
    assert remove_abandoned() == [dead]
    assert {path.name for path in tmp_path.iterdir()} == {
        Path(alive.path).name, foreign.name, "elsewhere", "crossgrid-link",
    }  # fmt: skip
    alive.close()
    assert not Path(alive.path).exists()


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C raises, also where a shell that started these tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupt_waits_for_the_end_of_a_block() -> None:
    done = []

    def block() -> None:
        with Uninterrupted(), Uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append("whole")
        done.append("not reached")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done == ["whole"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def press(after_s: float, caught: threading.Event) -> None:
    """Ctrl-C, and again if nobody noticed: Python drops one that comes while an object is destroyed."""
    while not caught.wait(after_s):
        signal.raise_signal(signal.SIGINT)
        after_s = 10.0


def interrupted(do: Callable[[], Any], after_s: float) -> bool:
    """Whether Ctrl-C, pressed after that time, came before ``do`` was done."""
    noticed = threading.Event()
    pressing = threading.Thread(target=press, args=(after_s, noticed))
    try:
        pressing.start()
        do()
        signal.signal(signal.SIGINT, lambda *_: None)  # what comes from here on is late and ends nothing
        return False
    except KeyboardInterrupt:
        return True
    finally:  # whatever ends this: none is pressed in a test that comes later
        noticed.set()
        pressing.join()
        signal.signal(signal.SIGINT, signal.default_int_handler)


def trains_interrupted(times: int, seed: int) -> None:
    """Ctrl-C at random moments of training; afterwards every tile answers and the model trains on."""
    model, optimizer = pulsed()
    drawn, caught, number = random.Random(seed), 0, 0
    with cg.emulate(model, backend="ray") as running:
        while caught < times:
            noticed = threading.Event()
            pressing = threading.Thread(target=press, args=(drawn.uniform(0.0005, 0.02), noticed))
            try:
                pressing.start()
                while True:
                    step(model, optimizer, number)
                    number += 1
            except KeyboardInterrupt:
                noticed.set()
                caught += 1
                optimizer.zero_grad()
            pressing.join()
            assert running.executor.settle() is None
            assert all(torch.isfinite(w).all() and w.any() for w in running.weights().values())
        held = cg.weights_sha256(model)
    assert cg.weights_sha256(model) == held, "what was fetched is what the tiles held"
    for more in range(STEPS):
        step(model, optimizer, more)


@pytest.mark.usefixtures("ray_session", "ctrl_c")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of one that was dropped
def test_interrupts_leave_a_model_that_trains_on() -> None:
    trains_interrupted(25, seed=0)


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.usefixtures("ray_session", "ctrl_c")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of one that was dropped
def test_four_hundred_interrupts() -> None:
    trains_interrupted(400, seed=1)
    Tally("Ctrl-C in a step, an actor a tile", 400, 400).note()


MEETS_NOBODY = """
import sys, torch
import crossgrid as cg
try:
    with cg.emulate(cg.convert_to_analog(torch.nn.Linear(3, 2), cg.SingleRPUConfig()), backend="ray"):
        pass
except cg.BackendError as error:
    print(error)
"""


@pytest.mark.slow  # Ray knocks for most of a minute
def test_the_address_of_a_cluster_that_is_gone_is_said(tmp_path: Path) -> None:
    """A killed `ray start` leaves it, and Ray knocks there instead of starting."""
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    knocks_once = {"RAY_TMPDIR": str(tmp_path), "RAY_ADDRESS": "", "RAY_gcs_server_port_wait_time_s": "1"}
    said = subprocess.run(
        [sys.executable, "-c", MEETS_NOBODY], env={**os.environ, **knocks_once}, capture_output=True,
        text=True, check=True, timeout=200,
    ).stdout  # fmt: skip
    assert re.search(r"Ray does not start: .*\d:1\. If that is a cluster which is gone, run `ray stop`", said)
