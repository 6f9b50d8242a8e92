"""Whatever happens to a saved run, restoring it is an equal state or one error of the project's own tree."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest
import torch
from chaos import Tally
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import crossgrid as cg
from crossgrid.emulator.cli.main import main
from crossgrid.emulator.disk.folder import Folder, digest_of

CONFIG = cg.InferenceRPUConfig(mapping=cg.MappingParameter(max_output_size=3))


def network(seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Digital training, which no kernel must be compiled for."""
    torch.manual_seed(seed)
    model = cg.convert_to_analog(nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)), CONFIG)
    return model, torch.optim.Adam(model.parameters(), lr=0.1)


def a_step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for k, parameter in enumerate(model.parameters()):
        parameter.grad = torch.full_like(parameter, 0.5 + k)
    optimizer.step()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    model, optimizer = network(1)
    a_step(model, optimizer)
    with cg.emulate(model) as running:
        running.save(folder, optimizer, generators={"mine": torch.Generator().manual_seed(3)}, batch=7)
    return folder


def held(folder: Path) -> list[torch.Tensor]:
    """Everything that a restored run holds."""
    model, optimizer = network(2)
    mine = torch.Generator()
    with cg.restore(folder, model, optimizer, generators={"mine": mine}) as running:
        assert running.batch == 7
        states = optimizer.state_dict()["state"].values()
        tensors = [value for state in states for value in state.values()]
        return [*model.state_dict().values(), *tensors, mine.get_state(), torch.get_rng_state()]


def equal_or_refused(folder: Path, expected: list[torch.Tensor]) -> bool:
    """Whether a spoiled run is refused; it must be equal where it is not."""
    try:
        found = held(folder)
    except cg.CrossgridError:
        return True
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    return False


def copy_of(saved: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(saved, folder)
    return folder


def test_a_flipped_bit_in_any_part_is_refused(saved: Path, tmp_path: Path) -> None:
    """One in the middle of each file: the manifest, layers, their tiles, the digital model, the optimizer."""
    files = sorted(path.name for path in saved.iterdir())
    assert len(files) == 1 + 2 + 2 + 1 + 1
    for name in files:
        path = copy_of(saved, tmp_path / "run") / name
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(data)
        with pytest.raises(cg.ConfigError, match="damaged"):
            held(tmp_path / "run")
        assert main(["inspect", str(tmp_path / "run"), "--verify"]) == 2


def test_a_missing_part_is_named(saved: Path, tmp_path: Path) -> None:
    for path in sorted(copy_of(saved, tmp_path / "run").glob("*.raw")):
        data = path.read_bytes()
        path.unlink()
        with pytest.raises(cg.ConfigError, match=f"{path.name} is missing"):
            held(tmp_path / "run")
        path.write_bytes(data)
    assert not equal_or_refused(tmp_path / "run", held(saved))


def test_a_future_version_is_refused_by_its_number(saved: Path, tmp_path: Path) -> None:
    path = copy_of(saved, tmp_path / "run") / "run.msgpack"
    kind, version, digest, body = msgpack.unpackb(path.read_bytes())
    path.write_bytes(msgpack.packb((kind, version + 1, digest, body)))
    with pytest.raises(cg.ConfigError, match=f"version {version + 1} cannot be read here"):
        held(tmp_path / "run")


def test_no_name_leads_out_of_the_folder(saved: Path, tmp_path: Path) -> None:
    """A part that is a link, a pipe or a folder is not opened, whatever stands behind it."""
    part = next(copy_of(saved, tmp_path / "run").glob("*.raw"))
    elsewhere = tmp_path / "elsewhere"
    part.rename(elsewhere)
    makers: list[Callable[[], Any]] = [
        lambda: part.symlink_to(elsewhere), lambda: os.mkfifo(part), part.mkdir,
    ]  # fmt: skip
    for make in makers:
        make()
        with pytest.raises(cg.CrossgridError):
            held(tmp_path / "run")
        part.rmdir() if part.is_dir() and not part.is_symlink() else part.unlink()


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """As another user than root, whom nothing is forbidden; what was there stays."""
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(0o555)
    model, optimizer = network(1)
    me = os.geteuid()
    with cg.emulate(model) as running:
        try:
            os.seteuid(65534 if me == 0 else me)
            with pytest.raises(cg.StorageError, match=r"cannot be (written|opened): Permission denied"):
                running.save(folder, optimizer)
        finally:
            os.seteuid(me)
    folder.chmod(0o755)
    assert not list(folder.iterdir())


def test_a_full_disk_leaves_what_was_saved_before(saved: Path, tmp_path: Path) -> None:
    """The system refuses the write that is one too many; nothing half written stays."""
    folder = copy_of(saved, tmp_path / "run")
    before = sorted(path.name for path in folder.iterdir())
    model, optimizer = network(5)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with cg.emulate(model) as running:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
            with pytest.raises(cg.StorageError, match="cannot be written: File too large"):
                running.save(folder, optimizer)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert not equal_or_refused(folder, held(saved))


def test_two_do_not_save_into_one_folder_at_once(tmp_path: Path) -> None:

    model, optimizer = network(1)
    refused = pytest.raises(cg.ConfigError, match="another process is saving")
    with cg.emulate(model) as running, Folder(tmp_path, create=True), refused:
        running.save(tmp_path, optimizer)


def test_inspect_says_what_is_inside(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(saved), "--verify"]) == 0
    printed = capsys.readouterr().out
    assert "7 batches" in printed
    assert "every part has its digest" in printed
    assert main(["inspect", str(saved / "nowhere")]) == 2


def mutate(data: bytes, where: float, kind: int, byte: int) -> bytes:
    """Bytes after one accident: one changed, some cut out, some put in, the rest lost."""
    at = int(where * len(data))
    match kind:
        case 0:
            return data[:at] + bytes([byte]) + data[at + 1 :]
        case 1:
            return data[:at] + data[at + 1 + byte % 9 :]
        case 2:
            return data[:at] + bytes([byte]) * (1 + byte % 5) + data[at:]
        case _:
            return data[:at]


def accidents(saved: Path, folder: Path, examples: int) -> None:
    """Mutations of a file as it is, and of the manifest's body under a digest made anew."""
    expected = held(saved)
    names = sorted(path.name for path in saved.iterdir())
    largest = sum(path.stat().st_size for path in saved.iterdir())
    copy_of(saved, folder)

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.sampled_from([*names, "body", "tree"]), st.floats(0, 1, exclude_max=True), st.integers(0, 3),
        st.integers(0, 255),
    )  # fmt: skip
    def check(name: str, where: float, kind: int, byte: int) -> None:
        path = folder / (name if name in names else "run.msgpack")
        data = path.read_bytes()
        if name in names:
            path.write_bytes(mutate(data, where, kind, byte))
        else:
            form, version, _, body = msgpack.unpackb(data)
            if name == "tree":
                fields = msgpack.unpackb(body)
                body = msgpack.packb({**fields, "tree": mutate(fields["tree"], where, kind, byte)})
            else:
                body = mutate(body, where, kind, byte)
            path.write_bytes(msgpack.packb((form, version, digest_of(body), body)))
        tracemalloc.start()
        try:
            if name in names:
                assert equal_or_refused(folder, expected) or path.read_bytes() == data
            else:  # a digest made anew is no accident: other numbers are what was asked for
                with contextlib.suppress(cg.CrossgridError, AssertionError):
                    held(folder)
            assert tracemalloc.get_traced_memory()[1] < 2 * largest + (64 << 20)
        finally:
            tracemalloc.stop()
            path.write_bytes(data)

    check()


def test_accidents_are_refused_or_change_nothing(saved: Path, tmp_path: Path) -> None:
    accidents(saved, tmp_path / "run", 150)


@pytest.mark.slow
@pytest.mark.fuzz
@pytest.mark.timeout(3600)
def test_thousands_of_accidents(saved: Path, tmp_path: Path) -> None:
    accidents(saved, tmp_path / "run", 5000)


KILLED = """
import sys, torch, crossgrid as cg
from torch import nn
torch.manual_seed(0)
model = cg.convert_to_analog(nn.Sequential(nn.Linear(300, 300), nn.Linear(300, 10)), cg.InferenceRPUConfig())
with cg.emulate(model) as running:
    for number in range(1, 10**6):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(number)
        running.save(sys.argv[1], batch=number)
        print(number, flush=True)
"""


def killed_while_saving(folder: Path, seconds: list[float]) -> None:
    """After each kill a restore finds the last run that was complete, whole."""
    for wait in seconds:
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        lines = [next(line for line in process.stdout if line.strip().isdigit())]
        try:
            process.wait(wait)
        except subprocess.TimeoutExpired:
            process.kill()
        lines += process.stdout.read().splitlines(keepends=True)
        process.stdout.close()
        process.wait()
        done = max(int(line) for line in lines if line.endswith("\n") and line.strip().isdigit())
        model = cg.convert_to_analog(nn.Sequential(nn.Linear(300, 300), nn.Linear(300, 10)), CONFIG_WHOLE)
        with cg.restore(folder, model) as running:
            assert running.batch in (done, done + 1)  # killed between the last rename and the printing
            assert all((parameter == running.batch).all() for parameter in model.parameters())


CONFIG_WHOLE = cg.InferenceRPUConfig()


def test_a_driver_killed_while_it_saves_leaves_the_last_complete_run(tmp_path: Path) -> None:
    killed_while_saving(tmp_path, [0.05, 0.21])


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_fifty_drivers_killed_while_they_save(tmp_path: Path) -> None:
    killed_while_saving(tmp_path, [0.02 + 0.013 * k for k in range(50)])
    Tally("SIGKILL of the driver in save", 50, 50).note()
