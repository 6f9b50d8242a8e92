"""Ctrl-C before anything has begun, and daemons that compute while a process ends: no traces of libraries."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
import pytest
import ray
import torch
from ray.util.placement_group import placement_group_table
from test_killed_actors import pulsed, step
from test_left_behind import interrupted
from torch.nn import CrossEntropyLoss

import crossgrid as cg
from crossgrid.emulator.wire.directory import OWNER, PREFIX

#: also where a shell that started these tests in the background has Ctrl-C ignored
HEARS = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"

#: a user's script: it says when it begins with what takes long, and waits in the end
IMPORTS = """
import time
import crossgrid as cg
print("begins", flush=True)
cg.emulate, cg.convert_to_analog
time.sleep(600)
"""
COMMAND = """
import sys
from crossgrid.commands import main
print("begins", flush=True)
sys.exit(main(["doctor"]))
"""
STARTS = """
import time
import crossgrid as cg
from torch import nn
model = cg.convert_to_analog(nn.Linear(6, 4), cg.SingleRPUConfig())
print("begins", flush=True)
with cg.emulate(model, backend="ray"):
    time.sleep(600)
"""
DAEMON = """
import threading, torch, crossgrid as cg
from torch import nn
model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 1500), nn.Linear(1500, 1500))
model = cg.convert_to_analog(model, cg.InferenceRPUConfig(), exclude_modules=["1", "2"])
came = threading.Event()

def compute():
    while True:
        model(torch.ones(64, 64))
        came.set()

with cg.emulate(model):
    threading.Thread(target=compute, daemon=True).start()
    came.wait()
print("left", flush=True)
"""

#: whose frames or threads nobody wants to see
LIBRARIES = ("numba/", "scipy/", "torch/", "ray/", "Stack trace", "terminate called")


def ends_with_ctrl_c(script: str, after_s: float) -> tuple[int, str]:
    """How a script ends that gets Ctrl-C so long after it began, and what it says; nothing of it is left."""
    command = [sys.executable, "-c", HEARS + script]
    with tempfile.TemporaryDirectory(prefix="own-", ignore_cleanup_errors=True) as own:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "TMPDIR": own},
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "begins"
        known = psutil.Process(process.pid)
        try:
            process.wait(after_s)
        except subprocess.TimeoutExpired:
            children = known.children(recursive=True)
            process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=200)
        assert not psutil.wait_procs(children, 40)[1]
        assert not list(Path(own).glob(f"{PREFIX}*"))
    return process.returncode, said


def require_few_lines(code: int, said: str) -> None:
    """A script that Ctrl-C ended says so, and where of its own it was."""
    assert code in (1, 130, -signal.SIGINT)
    assert said.strip().splitlines()[-1].startswith("KeyboardInterrupt")
    assert len(said.splitlines()) <= 12
    assert not [name for name in LIBRARIES if name in said]


@pytest.mark.parametrize("after_s", [0.01, 0.4])
def test_an_interrupted_import_says_so_in_lines_of_its_own(after_s: float) -> None:
    """Where Python is in torch or numba then is no matter of the user's."""
    require_few_lines(*ends_with_ctrl_c(IMPORTS, after_s))


@pytest.mark.parametrize("after_s", [0.01, 0.3])
def test_an_interrupted_command_is_one_line(after_s: float) -> None:
    assert ends_with_ctrl_c(COMMAND, after_s) == (130, "crossgrid: interrupted\n")


@pytest.mark.parametrize(
    "after_s", [2.0, *(pytest.param(seconds, marks=pytest.mark.slow) for seconds in (0.1, 0.7, 5.0, 9.0))]
)
def test_an_interrupted_start_of_a_run_and_its_ray_leaves_nothing(after_s: float) -> None:
    """Ray is started for the run: its processes are gone too, whoever knew of them when Ctrl-C came."""
    require_few_lines(*ends_with_ctrl_c(STARTS, after_s))


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C raises, also where a shell that started these tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def actors_of_ray() -> list[psutil.Process]:
    """The processes of tiles and stages that are still there."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it ends just now
            if process.name().startswith(("ray::TileActor", "ray::StageActor")):
                found.append(process)
    return found


@pytest.mark.usefixtures("ray_session", "ctrl_c")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of one that was dropped
def test_an_interrupted_start_of_actors_leaves_them_to_nobody() -> None:
    """In a Ray of the user's: no actor, nothing reserved, and the same model starts the next time."""
    model, optimizer = pulsed()
    before = cg.weights_sha256(model)
    for after_s in (0.02, 0.3, 1.5):
        emulation = cg.emulate(model, backend="ray")
        interrupted(emulation.__enter__, after_s)
        if emulation.executor is not None:
            emulation.__exit__(None, None, None)
        assert cg.weights_sha256(model) == before
    groups = placement_group_table().values()
    assert not [group for group in groups if group["state"] not in ("REMOVED", "INFEASIBLE")]
    assert not psutil.wait_procs(actors_of_ray(), 40)[1]
    assert ray.is_initialized()
    with cg.emulate(model, backend="ray"):
        assert torch.isfinite(step(model, optimizer, 0))


#: where a start of the project's own is: what it begins, and what of that it knows
STARTING = tuple(
    f"crossgrid/emulator/{file}.py"
    for file in (
        *("run/emulation", "run/homes", "run/metrics/watch", "wire/cluster", "wire/directory"),
        *("actors/executor", "actors/launch", "stages/executor", "stages/launch"),
    )
)


def at_line(number: int, do: Callable[[], Any]) -> int:
    """Ctrl-C where the project begins with its line of that number, counted; how many it went through."""
    passed = 0

    def line(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal passed
        if event == "line":
            passed += 1
            if passed == number:
                signal.raise_signal(signal.SIGINT)
        return line

    def call(frame: FrameType, event: str, _: Any) -> Any:
        return line if frame.f_code.co_filename.endswith(STARTING) else None

    with contextlib.suppress(KeyboardInterrupt):
        try:
            sys.settrace(call)
            do()
        finally:
            sys.settrace(None)
    return passed


@pytest.mark.usefixtures("ray_session", "ctrl_c")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of one that was dropped
@pytest.mark.timeout(2000)
@pytest.mark.parametrize(
    ("where", "parts"),
    [
        pytest.param({}, 12, id="an actor a tile"),
        pytest.param({"stages": 2}, 4, id="stages"),
        pytest.param({}, 200, id="an actor a tile, often", marks=pytest.mark.slow),
        pytest.param({"stages": 2}, 100, id="stages, often", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_at_any_line_of_a_start_leaves_nothing(where: dict[str, int], parts: int) -> None:
    """In a Ray of the user's: no actor, nothing reserved, no directory, and the model is as it was."""
    torch.manual_seed(0)
    model = cg.convert_to_analog(torch.nn.Linear(6, 8), cg.InferenceRPUConfig())
    model = torch.nn.Sequential(model, cg.convert_to_analog(torch.nn.Linear(8, 3), cg.InferenceRPUConfig()))
    before = cg.weights_sha256(model)
    running = cg.emulate(model, backend="ray", **where)
    lines = at_line(0, running.__enter__)
    running.__exit__(None, None, None)
    for number in range(1, lines, lines // parts):
        running = cg.emulate(model, backend="ray", **where)
        at_line(number, running.__enter__)
        if running.executor is not None:  # after the last line of its start
            running.__exit__(None, None, None)
        assert cg.weights_sha256(model) == before
        held = [group["name"] for group in placement_group_table().values() if group["state"] == "CREATED"]
        assert (number, held) == (number, [])
        assert not [file for file in psutil.Process().open_files() if file.path.endswith(f"/{OWNER}")]
    assert not psutil.wait_procs(actors_of_ray(), 40)[1]


@pytest.mark.usefixtures("ray_session", "ctrl_c")
@pytest.mark.parametrize("where", [{}, {"stages": 2}], ids=["an actor a tile", "stages"])
def test_ctrl_c_while_tiles_come_home_loses_none(where: dict[str, int]) -> None:
    """What they learnt is in the model then, and nothing of the run is left."""
    model, optimizer = pulsed()
    running = cg.emulate(model, backend="ray", **where)
    running.__enter__()
    if where:
        running.train_step(torch.rand(4, 6), torch.zeros(4, dtype=torch.long), CrossEntropyLoss(), optimizer)
    else:
        step(model, optimizer, 0)
    held = cg.weights_sha256(model)
    assert at_line(30, lambda: running.__exit__(None, None, None)) > 30
    assert running.executor is None
    assert cg.weights_sha256(model) == held
    assert torch.isfinite(step(model, optimizer, 1))


def test_a_daemon_that_computes_while_the_process_ends_is_no_crash() -> None:
    """Python before 3.14 unwinds its stack wherever it is: in torch that ends in std::terminate."""
    done = subprocess.run(
        [sys.executable, "-c", DAEMON], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.stdout.splitlines()[-1] == "left"
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("where", [{}, {"stages": 2}], ids=["an actor a tile", "stages"])
def test_who_computes_while_another_thread_leaves_is_told(where: dict[str, int]) -> None:
    """Its pass is whole, or ends in one error of the project's; the model computes on in this process."""
    torch.manual_seed(0)
    model = cg.convert_to_analog(
        torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Linear(8, 3)), cg.InferenceRPUConfig()
    )
    x, came, ended, said = torch.ones(8, 6), threading.Event(), threading.Event(), list[BaseException]()

    def compute(running: cg.Emulation) -> None:
        try:
            while not ended.is_set():
                if where:
                    running.infer(x, micro_batch=1)
                else:
                    with torch.no_grad():
                        model(x)
                came.set()
        except BaseException as error:
            said.append(error)
            came.set()

    before = cg.weights_sha256(model)
    with cg.emulate(model, backend="ray", **where) as running:
        thread = threading.Thread(target=compute, args=(running,))
        thread.start()
        came.wait()
    ended.set()
    thread.join()
    assert all(isinstance(error, cg.BackendError) for error in said), said
    if where:
        assert [str(error) for error in said] == ["the emulation has ended; its tiles answer no more"]
    assert cg.weights_sha256(model) == before
    assert model(x).shape == (8, 3)
