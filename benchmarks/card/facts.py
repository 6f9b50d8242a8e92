"""Facts of a card, one process each: facts.py NAME. Lines are "what | figure"; see ``run.py``."""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import sysconfig
import time
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import triton

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / each) for each in ("", "benchmarks", "tests/kernels/pulsed_update")]

STEPS_AN_EPOCH = 7500  # 60,000 images, eight at a time
INTERPRETED = triton.knobs.runtime.interpret


def told(what: str, figure: str) -> None:
    """A line of the table."""
    print(f"{what} | {figure}", flush=True)


def timed_s(work: Callable[[], Any], rounds: int, warm: int = 5) -> float:
    """Seconds of one ``work``, host and card together."""
    for _ in range(warm):
        work()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(rounds):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / rounds


def card() -> None:
    """Which card, as JSON; ends with a reason where there is none."""
    if INTERPRETED:
        found = {"card": "Triton's interpreter", "interpreted": True, "architecture": 90}
    elif not torch.cuda.is_available():
        sys.exit(f"torch {torch.__version__} finds no CUDA card")
    else:
        major, minor = torch.cuda.get_device_capability()
        name = torch.cuda.get_device_name()
        found = {"card": name, "interpreted": False, "architecture": 10 * major + minor}
    print(json.dumps(found))


def machine() -> None:
    """Versions, and what Triton builds its launcher with."""
    from machine import machine as about

    here = about()
    told("processor", f"{here['cores']} x {here['processor']}, {here['system']}")
    told("Python", platform.python_version())
    for package in ("torch", "triton", "numpy", "numba"):
        try:
            told(package, version(package))
        except PackageNotFoundError:
            told(package, "not there")
    told("CUDA of torch", str(torch.version.cuda))
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang") or shutil.which("cc")
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    told(
        "C compiler",
        f"{compiler or 'none: Triton needs one'}, Python.h {'there' if header.is_file() else 'missing'}",
    )
    if not INTERPRETED:
        told("memory of the card", f"{torch.cuda.get_device_properties(0).total_memory >> 20} MB")


def ceilings() -> None:
    """What the card and its link can do."""
    a = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    b = torch.empty_like(a)
    told("copy on the card", f"{2 * a.numel() / timed_s(lambda: b.copy_(a), 20) / 1e12:.2f} TB/s")
    for pinned in (False, True):
        host = torch.empty(1 << 26, dtype=torch.uint8, pin_memory=pinned)
        there, back = copied_gb_s(host, a[: 1 << 26]), copied_gb_s(a[: 1 << 26], host)
        kind = "pinned" if pinned else "pageable"
        told(f"host to card and back, {kind}", f"{there:.1f} and {back:.1f} GB/s")
    for dtype in (torch.float32, torch.bfloat16):
        m = torch.randn(4096, 4096, device="cuda").to(dtype)
        seconds = timed_s(partial(torch.matmul, m, m), 10)
        told(f"product of 4096 x 4096, {dtype}", f"{2 * 4096**3 / seconds / 1e12:.0f} TFLOP/s")


def copied_gb_s(source: torch.Tensor, target: torch.Tensor) -> float:
    """Bytes from one to the other, in 10^9 a second."""
    return source.numel() / timed_s(lambda: target.copy_(source), 10) / 1e9


def calls() -> None:
    """What the host's calls take."""
    x, small = torch.zeros(16, device="cuda"), np.zeros(16, np.float32)
    told("launch by torch", f"{timed_s(lambda: x.add_(1.0), 2000) * 1e6:.1f} us")
    told(
        "small array to the card", f"{timed_s(lambda: torch.from_numpy(small).to('cuda'), 1000) * 1e6:.1f} us"
    )
    told("wait by .item()", f"{timed_s(x[0].item, 1000) * 1e6:.1f} us")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(100):
            x.add_(1.0)
    told("node of a CUDA graph", f"{timed_s(graph.replay, 200) * 1e4:.2f} us")


def bits() -> None:
    """How many weights differ from the processors', and whether a card repeats itself: every step device."""
    from update_cases import DEVICES, trained

    from crossgrid.kernels.pulsed_update.parameters import UpdateParameters

    size: dict[str, Any] = {"out_size": 130, "in_size": 257, "batch": 64, "batches": 2}
    if INTERPRETED:
        size = {"out_size": 2, "in_size": 3, "tiles": 1, "batch": 2, "batches": 1}
    different = []
    for name, device in DEVICES.items():
        rate = 0.3 if name == "neurosim" else 0.02
        (w, pulses, _), (there, pulses_there, _), (again, _, _) = (
            trained(device, backend, UpdateParameters(), rate=rate, **size)
            for backend in ("cpu", "cuda", "cuda")
        )
        apart = f"{np.mean(w != there):.2%} of the weights differ, by at most {np.abs(w - there).max():.2g}"
        same = "pulses equal" if np.array_equal(pulses, pulses_there) else "pulses differ"
        told(name, f"{same}, {apart}; a second run differs in {np.mean(there != again):.2%}")
        if not np.array_equal(w, there) or not np.array_equal(there, again):
            different.append(name)
    if different:
        sys.exit(f"other bits than the processors', or than their own: {', '.join(different)}")


def lenet5_step(model_on: str) -> tuple[Any, Callable[[], None]]:
    """LeNet5 with its model here or on the card, and its training step on eight images."""
    from peer import network

    import crossgrid as cg

    model = cg.convert_to_analog(network.lenet5(), cg.SingleRPUConfig(), seed=1).to(model_on)
    optimizer, criterion = cg.AnalogSGD(model.parameters(), lr=0.01), torch.nn.NLLLoss()
    generator = torch.Generator().manual_seed(5)
    x, y = torch.rand(8, 1, 28, 28, generator=generator).to(model_on), torch.arange(8).to(model_on)

    def step() -> None:
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        optimizer.step()

    return model, step


def step() -> None:
    """LeNet5's training step with its tiles on the card: time, operations there, waits."""
    import crossgrid as cg

    for model_on in ("cpu", "cuda"):
        model, work = lenet5_step(model_on)
        with cg.emulate(model, device="cuda"):
            seconds = timed_s(work, 100, warm=30)
            torch.cuda.set_sync_debug_mode("warn")
            with warnings.catch_warnings(record=True) as waits:
                warnings.simplefilter("always")
                work()
            torch.cuda.set_sync_debug_mode("default")
            with torch.profiler.profile() as profile:
                for _ in range(5):
                    work()
        there = [e for e in profile.events() if e.device_type == torch.autograd.DeviceType.CUDA]
        took_us: Counter[str] = Counter()
        for event in there:
            took_us[event.name.split("(")[0][:40].replace("|", "/")] += event.device_time / 5
        of = f"model on {model_on}"
        told(
            f"a step, {of}", f"{seconds * 1e3:.2f} ms, {seconds * STEPS_AN_EPOCH:.1f} s for {STEPS_AN_EPOCH}"
        )
        told(f"operations on the card, {of}", f"{len(there) / 5:.0f}, {sum(took_us.values()) / 1e3:.2f} ms")
        told(f"waits, {of}", str(len(waits)))
        for name, us in took_us.most_common(6):
            told(f"{name}, {of}", f"{us:.0f} us a step")


def accuracy() -> None:
    """LeNet5 on the handwritten digits, two epochs of example 4, on the card and on processors."""
    results = Path(os.environ.get("TMPDIR", "/tmp")) / f"crossgrid-card-{os.getpid()}"
    flags = ["--dataset", "digits", "--epochs", "2", "--chip", "none", "--results", str(results)]
    for device in ("cuda", "cpu"):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, str(ROOT / "examples/04_lenet5_training.py"), "--device", device, *flags],
            check=True,
        )
        metrics = json.loads((results / "metrics.json").read_text())
        loss, right = metrics["loss"][-1], metrics["accuracy"][-1]
        told(
            f"LeNet5 on {device}",
            f"loss {loss:.4f}, accuracy {right:.2%}, {time.perf_counter() - start:.1f} s in all",
        )
    shutil.rmtree(results)


def memory() -> None:
    """Bytes a crosspoint takes on the card, counted from a bank's tensors."""
    import crossgrid as cg
    from crossgrid.emulator.tiles.bank import TileBank

    side = 8 if INTERPRETED else 2048
    for device in (cg.ConstantStepDevice(), cg.SoftBoundsDevice(), cg.ExpStepDevice()):
        bank = TileBank(1, [0], side, side, cg.SingleRPUConfig(device=device), "cuda")
        told(type(device).__name__, f"{card_bytes(bank.cell) / side**2:.1f} bytes a device")


def card_bytes(held: Any) -> int:
    """Bytes of all tensors that hang on an object of this project."""
    storages: dict[int, int] = {}
    seen: set[int] = set()
    left = [held]
    while left:
        each = left.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, torch.Tensor):
            storage = each.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
        elif isinstance(each, (list, tuple)):
            left += each
        elif isinstance(each, dict):
            left += each.values()
        elif type(each).__module__.startswith("crossgrid") and hasattr(each, "__dict__"):
            left += vars(each).values()
    return sum(storages.values())


CHILD = """
import sys, time, torch
x = torch.zeros(1024, 1024, device="cuda")
torch.cuda.synchronize()
print("up", flush=True)
sys.stdin.readline()
start = time.perf_counter()
for _ in range(500):
    x.add_(1).sum().item()
print((time.perf_counter() - start) / 500 * 1e6, flush=True)
sys.stdin.readline()
"""


def processes() -> None:
    """Memory and speed where several processes share the card."""
    for count in (1, 2, 4, 8):
        free = torch.cuda.mem_get_info()[0]
        command = [sys.executable, "-c", CHILD]
        children = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
            for _ in range(count)
        ]
        for child in children:
            child.stdout.readline()  # type: ignore[union-attr]
        used = (free - torch.cuda.mem_get_info()[0]) / count / 2**20
        for child in children:
            child.stdin.write("\n")  # type: ignore[union-attr]
        took_us = [float(child.stdout.readline()) for child in children]  # type: ignore[union-attr]
        for child in children:
            child.communicate("\n")
        told(
            f"{count} processes",
            f"{used:.0f} MB of the card each; launch, sum and wait {statistics.median(took_us):.1f} us",
        )


FACTS = {
    each.__name__: each
    for each in (card, machine, ceilings, calls, bits, step, accuracy, memory, processes)
}  # fmt: skip

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in FACTS:
        sys.exit(f"facts.py takes one of {', '.join(FACTS)}")
    if sys.argv[1] not in ("card", "machine") and not INTERPRETED and not torch.cuda.is_available():
        sys.exit(f"{sys.argv[1]}: torch finds no CUDA card here")
    FACTS[sys.argv[1]]()
