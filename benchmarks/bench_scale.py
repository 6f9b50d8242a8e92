"""A network that no process holds whole: bench_scale.py [--shape linear|llama] [--weights N] [--stages N]
[--batches N].

The checkpoint is written first, in shards, by a process of its own; then the model is built without numbers,
programmed, aged and read. Printed: seconds of each part, the most memory of the driver and of each stage, the
driver's share of processors, and bytes through it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
from machine import machine
from torch import Tensor, nn

import crossgrid as cg

#: linear layers of the plain network, square
WIDTH = 4096

#: tensors of about so many bytes share a shard
SHARD_BYTES = 1 << 29

#: samples of a batch, and of a micro-batch
BATCH, MICRO_BATCH = 16, 4


def linear(weights: float) -> nn.Module:
    """Square linear layers with activations between."""
    layers = max(2, round(weights / WIDTH**2))
    each = (module for _ in range(layers) for module in (nn.Linear(WIDTH, WIDTH, bias=False), nn.ReLU()))
    return nn.Sequential(*each)


def llama(weights: float) -> nn.Module:
    """As Llama-3.2-1B, with as many blocks as there are weights for, and a small vocabulary."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=1024, hidden_size=2048, intermediate_size=8192, num_attention_heads=32,
        num_key_value_heads=8, num_hidden_layers=max(2, round(weights / 60.8e6)), use_cache=False,
    )  # fmt: skip
    return LlamaForCausalLM(config)


MAKERS: dict[str, Callable[[float], nn.Module]] = {"linear": linear, "llama": llama}


def write(shape: str, weights: float, directory: str) -> None:
    """Random numbers for the model, as ``save_pretrained`` stores them."""
    from safetensors.torch import save_file

    with cg.deferred():
        model = MAKERS[shape](weights)
    shards: list[list[str]] = [[]]
    size, shapes = 0, {name: parameter.shape for name, parameter in model.named_parameters()}
    for name, each in shapes.items():
        if size > SHARD_BYTES:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += 4 * each.numel()
    table, generator = {}, torch.Generator().manual_seed(1)
    for number, names in enumerate(shards, 1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        table |= dict.fromkeys(names, file)
        save_file({name: _numbers(shapes[name], generator) for name in names}, f"{directory}/{file}")
    index = {"metadata": {}, "weight_map": table}
    Path(directory, "model.safetensors.index.json").write_text(json.dumps(index))


def _numbers(shape: torch.Size, generator: torch.Generator) -> Tensor:
    if len(shape) == 1:
        return torch.ones(shape)
    return torch.randn(shape, generator=generator) * (2.0 / shape[-1]) ** 0.5


def peak_mb() -> float:
    """The most memory that this process has had: VmHWM, as getrusage's begins with that of the parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1.024e-3 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def run(shape: str, weights: float, stages: int, batches: int, directory: str) -> dict[str, Any]:
    """Build, program, age and read; the seconds of each, the peaks, and what the driver did of it."""
    seconds: dict[str, float] = {}
    imported_s = time.process_time()

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        found = work()
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start
        return found

    def build() -> nn.Module:
        with cg.deferred():
            model = MAKERS[shape](weights)
        return cg.convert_to_analog(model, cg.InferenceRPUConfig(), seed=1)

    generator = torch.Generator().manual_seed(2)
    x = torch.rand(BATCH, WIDTH, generator=generator)
    if shape == "llama":
        x = torch.randint(1024, (BATCH, 32), generator=generator)
    model = timed("build and convert", build)
    emulation = cg.emulate(model, backend="ray", stages=stages, weights=directory, timeout_s=600.0)
    running = timed("start the stages and read the files", emulation.__enter__)
    try:
        timed("first inference", lambda: running.infer(x, MICRO_BATCH))
        timed("program", lambda: cg.program_analog_weights(model))
        timed("drift for an hour", lambda: cg.drift_analog_weights(model, 3600.0))
        for _ in range(batches):  # outputs are let go of: all together would be the driver's peak
            outputs = timed(f"inference of {batches} batches", lambda: running.infer(x, MICRO_BATCH))
        traffic, given = running.totals.traffic, (1 + batches) * x.nbytes
        peaks = running.stages.peak_bytes()
        of_stages = [sum(psutil.Process(s.address.pid).cpu_times()[:2]) for s in running.stages.stages]
    finally:
        emulation.__exit__(None, None, None)
    outputs = outputs if isinstance(outputs, Tensor) else outputs.logits
    beside = traffic.sent + traffic.received - given - outputs.nbytes * (1 + batches)
    driver_s = time.process_time()
    return {
        "shape": shape, "weights": sum(p.numel() for p in model.parameters()), "stages": stages,
        "seconds": seconds, "finite": bool(outputs.isfinite().all()),
        "driver_peak_mb": peak_mb(), "stage_peak_mb": [peak / 1e6 for peak in peaks],
        "driver_cpu_s": driver_s, "of_which_first_imports_s": imported_s, "stage_cpu_s": of_stages,
        "driver_cpu_share": driver_s / (driver_s + sum(of_stages)),
        "bytes_through_the_driver": [traffic.sent, traffic.received],
        "of_these_beside_inputs_and_outputs_a_batch": beside / (1 + batches),
    }  # fmt: skip


def main() -> None:
    """Write the checkpoint, then measure in a process that has done nothing else."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=[*MAKERS], default="linear")
    parser.add_argument("--weights", type=float, default=1e9)
    parser.add_argument("--stages", type=int, default=2)
    parser.add_argument("--batches", type=int, default=16)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--part", choices=["write", "run"])
    parser.add_argument("--directory")
    asked = parser.parse_args()
    if asked.part == "write":
        write(asked.shape, asked.weights, asked.directory)
        return
    if asked.part == "run":
        found = run(asked.shape, asked.weights, asked.stages, asked.batches, asked.directory)
        text = json.dumps({"machine": machine(), **found}, indent=2)
        print(text)
        if asked.json:
            asked.json.parent.mkdir(parents=True, exist_ok=True)
            asked.json.write_text(text)
        return
    with tempfile.TemporaryDirectory(prefix="crossgrid-scale-") as directory:
        for part in ("write", "run"):
            more = ["--part", part, "--directory", directory]
            subprocess.run([sys.executable, *sys.argv, *more], check=True)


if __name__ == "__main__":
    main()
