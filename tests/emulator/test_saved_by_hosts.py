"""Whoever hosts tiles writes and reads their states in saved runs; what runs of before wrote is read too."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import networks
import pytest
import ray.cloudpickle
import torch
from networks import batch, small_net, train
from test_resume import epochs, everything, hardware_aware, pulsed, same
from torch import nn

import crossgrid as cg
from crossgrid.emulator.cli.main import main
from crossgrid.emulator.disk.folder import Folder
from crossgrid.emulator.hosts.executor import LocalExecutor
from crossgrid.emulator.hosts.grid import TileGrid
from crossgrid.emulator.hosts.saved import Saving
from crossgrid.emulator.tiles.messages import LoadStored, SaveState

ray.cloudpickle.register_pickle_by_value(networks)  # Ray's processes cannot import it

BEFORE = Path(__file__).parent.parent / "golden" / "runs_of_version_3"


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Torch's sums follow its threads, which tests set to as many as a stage has."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("name", "make"),
    [("pulsed", lambda seed: pulsed("soft-bounds", seed)), ("hardware_aware", hardware_aware)],
)
def test_a_run_that_an_older_version_saved_goes_on(
    name: str, make: Callable[[int], Any], tmp_path: Path
) -> None:
    """After one epoch it was saved; two more, and all is as of a run that this version saved in between.

    A run of three epochs on this machine is as near as sums of two processors' libraries are to each other.
    """
    model, optimizer, scheduler = make(1)
    with cg.emulate(model):
        epochs(model, optimizer, scheduler, range(1))
        if name == "hardware_aware":
            cg.program_analog_weights(model)
        epochs(model, optimizer, scheduler, range(1, 3))
        undisturbed = everything(model, optimizer)
    found = []
    for directory in (BEFORE / name, tmp_path / "again"):
        model, optimizer, scheduler = make(2)
        with cg.restore(directory, model, optimizer, scheduler=scheduler) as running:
            running.save(tmp_path / "again", optimizer, scheduler=scheduler)
            epochs(model, optimizer, scheduler, range(1, 3))
            found.append(everything(model, optimizer))
    assert same(*found)
    floats = [
        [each for each in run if isinstance(each, torch.Tensor) and each.is_floating_point()]
        for run in (found[0], undisturbed)
    ]
    assert floats[0]
    torch.testing.assert_close(*floats, rtol=1e-5, atol=1e-6)
    assert main(["inspect", str(BEFORE / name), "--verify"]) == 0


def grown(do: Callable[[], Any]) -> int:
    """Bytes by which the most memory of this process exceeded what it had before."""

    def of(what: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(what))

    Path("/proc/self/clear_refs").write_text("5")  # the most from now on
    before = of("VmRSS")
    do()
    return of("VmHWM") - before


def wide(seed: int) -> nn.Module:
    """Four tiles of four megabytes each, in a layer that has no numbers yet or some drawn by ``seed``."""
    torch.manual_seed(seed)
    config = cg.FloatingPointRPUConfig(mapping=cg.MappingParameter(max_input_size=1000, max_output_size=1000))
    return cg.AnalogLinear(2000, 2000, bias=False, rpu_config=config, seed=seed)


@pytest.mark.usefixtures("ray_session")
def test_states_of_tiles_do_not_pass_through_the_driver(tmp_path: Path) -> None:
    """Sixteen megabytes are saved, and restored by actors that hold other tiles: its peak is flat."""
    model = wide(1)
    with cg.emulate(model, backend="ray") as running:
        assert grown(lambda: running.save(tmp_path)) < 6e6
    assert len([*tmp_path.glob("*.raw")]) == 4 + 1
    with cg.deferred():
        other = wide(2)
    emulation = cg.restore(tmp_path, other, backend="ray", tiles_per_actor=3)
    emulation.recovery = None  # which keeps snapshots in the driver
    resumed: list[int] = []
    emulation.resume = Watched(emulation.resume, resumed)
    with emulation as running:
        x = torch.rand(3, 2000, generator=torch.Generator().manual_seed(3))
        found = running.infer(x)
    assert resumed[0] < 6e6
    assert torch.equal(found, model(x))


class Watched:
    """A saved run, and what loading it took of this process."""

    def __init__(self, resume: Any, taken: list[int]) -> None:
        self.saved, self.resume, self.taken = resume.saved, resume, taken

    def load(self, running: cg.Emulation) -> None:
        self.taken.append(grown(lambda: self.resume.load(running)))


@pytest.mark.usefixtures("ray_session")
def test_a_run_is_saved_by_one_host_and_restored_by_many_and_in_stages(tmp_path: Path) -> None:
    """Of a local run; in an actor a tile, with a kill and the folder gone; and in two stages."""
    model, optimizer = small_net(5)
    with cg.emulate(model) as running:
        train(model, optimizer, range(2))
        running.save(tmp_path / "run", optimizer)
        train(model, optimizer, range(2, 4))
        expected = running.infer(batch(9)[0])
    shutil.copytree(tmp_path / "run", tmp_path / "gone")
    again, its = small_net(6)
    with cg.restore(tmp_path / "gone", again, its, backend="ray") as running:
        train(again, its, range(2, 3))
        shutil.rmtree(tmp_path / "gone")
        for host in running.executor.hosts[:3]:
            os.kill(host.address.pid, signal.SIGKILL)
        train(again, its, range(3, 4))
        assert running.executor.recovered.restarts == 3
        assert torch.equal(running.infer(batch(9)[0]), expected)
    assert cg.weights_sha256(again) == cg.weights_sha256(model)
    again, its = small_net(7)
    torch.set_num_threads(2)  # as many as a stage has
    with cg.restore(tmp_path / "run", again, its, backend="ray", stages=2) as running:
        for number in range(2, 4):
            running.train_step(*batch(number), nn.CrossEntropyLoss(), its)
        running.save(tmp_path / "staged", its)
        assert torch.equal(running.infer(batch(9)[0]), expected)
    assert cg.weights_sha256(again) == cg.weights_sha256(model)
    again, its = small_net(8)
    with cg.restore(tmp_path / "staged", again, its) as running:
        assert torch.equal(running.infer(batch(9)[0]), expected)
    assert cg.weights_sha256(again) == cg.weights_sha256(model)


@pytest.mark.usefixtures("ray_session")
def test_what_stages_have_is_written_by_them(tmp_path: Path) -> None:
    """Weights, tiles and an optimizer's state of sixteen megabytes each: the driver's peak is flat."""

    def network(seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(seed)
        config = cg.InferenceRPUConfig(mapping=cg.MappingParameter(max_input_size=0, max_output_size=0))
        model = cg.convert_to_analog(
            nn.Sequential(nn.Linear(2000, 2000), nn.Tanh(), nn.Linear(2000, 4)), config
        )
        return model, torch.optim.Adam(model.parameters(), lr=1e-3)

    x, y = torch.rand(4, 2000, generator=torch.Generator().manual_seed(3)), torch.arange(4)
    loss, (model, optimizer) = nn.CrossEntropyLoss(), network(1)
    torch.set_num_threads(2)  # as many as a stage has
    with cg.emulate(model, backend="ray", stages=2) as running:
        running.train_step(x, y, loss, optimizer)
        assert grown(lambda: running.save(tmp_path, optimizer)) < 6e6
        expected = [running.train_step(x, y, loss, optimizer) for _ in range(2)]
    held = cg.weights_sha256(model)
    model, optimizer = network(2)
    with cg.restore(tmp_path, model, optimizer) as running:
        assert [running.train_step(x, y, loss, optimizer) for _ in range(2)] == expected
    assert cg.weights_sha256(model) == held


@pytest.mark.usefixtures("ray_session")
def test_a_part_of_tiles_that_is_damaged_or_missing_is_named(tmp_path: Path) -> None:
    """By the actors that were to read it; the model that was to be restored computes nothing wrong."""
    model, _ = small_net(5)
    with cg.emulate(model) as running:
        running.save(tmp_path)
    part = max(
        tmp_path.glob("*.raw"), key=lambda path: path.stat().st_size if path.stat().st_size != 5056 else 0
    )
    data = part.read_bytes()
    for spoiled, words in ((None, "is missing"), (b"\1" + data[1:], "damaged"), (data[:-1], "damaged")):
        part.unlink(missing_ok=True)
        if spoiled is not None:
            part.write_bytes(spoiled)
        with pytest.raises(cg.ConfigError, match=words), cg.restore(tmp_path, small_net(6)[0], backend="ray"):
            pytest.fail("it is damaged")


class OfAnotherMachine(LocalExecutor):
    """A host that sees another folder under the same name."""

    def __init__(self, seen: Path) -> None:
        super().__init__()
        self.seen = str(seen)

    def submit(self, host: int, message: Any, wanted: bool = True) -> Any:
        if isinstance(message, SaveState):
            message = replace(message, folder=self.seen)
        if isinstance(message, LoadStored):
            arrays = tuple(replace(array, folder=self.seen) for array in message.arrays)
            message = replace(message, arrays=arrays)
        return super().submit(host, message, wanted)


@pytest.mark.parametrize("seen", ["nothing", "another"])
def test_who_sees_another_folder_saves_and_loads_through_the_driver(tmp_path: Path, seen: str) -> None:
    """It has no such folder, or one that is not the driver's: nothing is written there."""
    (tmp_path / "another").mkdir()
    layer = pulsed("soft-bounds", 1)[0]
    spec, state = layer.analog_tile.grid.spec, layer.analog_tile.grid.state()
    executor = OfAnotherMachine(tmp_path / seen)
    grid = TileGrid(spec, executor, 0, executor.place(0, spec))
    grid.load_state(state)
    with Folder(tmp_path / "run", create=True) as folder, folder.signed() as sign:
        stored = Saving.begin(grid, folder, sign).end()
    assert not [*(tmp_path / "another").iterdir()]
    fresh = OfAnotherMachine(tmp_path / seen)
    other = TileGrid(spec, fresh, 0, fresh.place(0, spec))
    other.load_state(stored)
    found = other.state()
    assert found.keys() == state.keys()
    assert all((found[name] == values).all() for name, values in state.items())
