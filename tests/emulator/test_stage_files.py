"""Stages and files: other kinds of numbers, tied weights, and what is said of files that do not fit."""

from __future__ import annotations

import json
import math
import resource
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray.cloudpickle
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import crossgrid as cg
from crossgrid.emulator.hosts.room import crosspoint_bytes

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Ray's processes cannot import it

INFERENCE = cg.InferenceRPUConfig()

VECTORS = torch.rand(5, 12, generator=torch.Generator().manual_seed(1))


def chain() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))


class Tied(nn.Module):
    """Both ends have one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.inner = nn.Embedding(9, 16), nn.Linear(16, 16)
        self.head = nn.Linear(16, 9, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.relu(self.inner(self.embed(tokens))))


def numbers_of(make: Callable[[], nn.Module]) -> dict[str, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return {name: tensor.clone() for name, tensor in make().named_parameters()}


def deferred(make: Callable[[], nn.Module]) -> nn.Module:
    with cg.deferred():
        model = make()
    return cg.convert_to_analog(model, INFERENCE, seed=3)


def shards(numbers: dict[str, Tensor], directory: Path) -> None:
    """Two files and their index, as save_pretrained writes them."""
    names, table = sorted(numbers), {}
    for number, part in enumerate((names[: len(names) // 2], names[len(names) // 2 :]), 1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({name: numbers[name] for name in part}, directory / file)
        table |= dict.fromkeys(part, file)
    (directory / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": table}))


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(
    ("make", "x", "dtype"),
    [
        pytest.param(chain, VECTORS, torch.bfloat16, id="bfloat16"),
        pytest.param(Tied, torch.arange(9).view(3, 3), torch.float32, id="tied"),
        *(
            pytest.param(chain, VECTORS, dtype, marks=pytest.mark.slow, id=str(dtype))
            for dtype in (torch.float16, torch.float64, torch.float8_e4m3fn)
        ),
    ],
)
def test_shards_of_any_kind_of_number_give_the_outputs_of_the_local_run(
    make: Callable[[], nn.Module], x: Tensor, dtype: torch.dtype, tmp_path: Path
) -> None:
    shards({name: tensor.to(dtype) for name, tensor in numbers_of(make).items()}, tmp_path)
    before = torch.get_num_threads()
    torch.set_num_threads(2)  # as many as one of two stages on four processors has
    try:
        found = []
        for how in ({}, {"backend": "ray", "stages": 2}):
            model = deferred(make)
            with cg.emulate(model, weights=tmp_path, **how) as running:
                cg.program_analog_weights(model)
                found.append(running.infer(x, micro_batch=2))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


def llama() -> nn.Module:
    """A small one, as transformers builds it."""
    transformers = pytest.importorskip("transformers", reason="an extra: pip install 'crossgrid[dev]'")
    config = transformers.LlamaConfig(
        vocab_size=17, hidden_size=16, intermediate_size=24, num_attention_heads=4, num_key_value_heads=2,
        num_hidden_layers=4, use_cache=False,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config)


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("stages", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_a_llama_from_shards_has_the_outputs_of_the_local_run(stages: int, tmp_path: Path) -> None:
    """Built without numbers, programmed, left for an hour, read."""
    shards(numbers_of(llama), tmp_path)
    x, found, before = torch.arange(24).view(4, 6) % 17, [], torch.get_num_threads()
    try:
        for how in ({"backend": "ray", "stages": stages}, {}):
            model = deferred(llama)
            with cg.emulate(model, weights=tmp_path, **how) as running:
                cg.program_analog_weights(model)
                cg.drift_analog_weights(model, 3600.0)
                outputs: Any = running.infer(x, micro_batch=1)
                if how:
                    torch.set_num_threads(running.stages.stages[0].threads)
            found.append(outputs.logits)
    finally:
        torch.set_num_threads(before)
    assert found[0].shape == (4, 6, 17)
    assert torch.equal(*found)


def without_a_tensor(directory: Path) -> None:
    shards({n: t for n, t in numbers_of(chain).items() if n != "2.weight"}, directory)


def transposed(directory: Path) -> None:
    numbers = numbers_of(chain)
    shards({**numbers, "0.weight": numbers["0.weight"].t().contiguous()}, directory)


def half_a_shard(directory: Path) -> None:
    file = directory / "model-00002-of-00002.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def without_a_shard(directory: Path) -> None:
    (directory / "model-00002-of-00002.safetensors").unlink()


def without_the_index(directory: Path) -> None:
    (directory / "model.safetensors.index.json").unlink()


def with_a_stranger(directory: Path) -> None:
    shards({**numbers_of(chain), "9.weight": torch.ones(2)}, directory)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (without_a_tensor, r"lacks 2\.weight"),
        (transposed, r"0\.weight has shape \(12, 16\), 0\.weight of the model \(16, 12\)"),
        (with_a_stranger, r"has, and the model does not, 9\.weight"),
        (half_a_shard, "model-00002-of-00002.safetensors: this is no safetensors file, or a damaged one"),
        (without_a_shard, "model-00002-of-00002.safetensors: this file is missing; the index names it"),
        (without_the_index, "holds 2 safetensors files, no model.safetensors and no model.safetensors.index"),
        (shutil.rmtree, "there is no such file or directory"),
    ],
)
def test_files_that_do_not_fit_are_one_line_before_anything_starts(
    spoil: Callable[[Path], Any], said: str, tmp_path: Path
) -> None:
    shards(numbers_of(chain), tmp_path)
    spoil(tmp_path)
    with pytest.raises(cg.ConfigError, match=said) as caught:
        cg.emulate(deferred(chain), backend="ray", stages=2, weights=tmp_path)
    assert "\n" not in str(caught.value)


def whole_numbers(directory: Path) -> None:
    shards({**numbers_of(chain), "4.bias": torch.ones(4, dtype=torch.int32)}, directory)


def not_a_number(directory: Path) -> None:
    shards({**numbers_of(chain), "4.weight": torch.full((4, 16), torch.nan)}, directory)


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (whole_numbers, r"4\.bias is of type torch\.int32, 4\.bias of the model of torch\.float32"),
        (not_a_number, "4: 64 of 64 entries of the weight are NaN"),
        (shutil.rmtree, "there is no such file or directory"),
    ],
)
def test_what_a_stage_finds_in_its_files_is_said_as_here(
    spoil: Callable[[Path], Any], said: str, tmp_path: Path
) -> None:
    directory = tmp_path / "checkpoint"
    directory.mkdir()
    shards(numbers_of(chain), directory)
    if spoil is not shutil.rmtree:
        spoil(directory)
    model = deferred(chain)
    emulation = cg.emulate(model, backend="ray", stages=2, weights=directory)
    if spoil is shutil.rmtree:
        spoil(directory)
    with pytest.raises(cg.CrossgridError, match=said) as caught, emulation:
        pass
    assert "\n" not in str(caught.value)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    shards(numbers_of(chain), directory)
    with cg.emulate(model, weights=directory) as running:  # the failure has left nothing behind
        assert {**running.weights()}.keys() == {"0", "2", "4"}


def with_holes(shapes: dict[str, list[int]], file: Path) -> None:
    """A file that says to hold float32 numbers and takes no room."""
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with file.open("wb") as opened:
        opened.write(struct.pack("<Q", len(text)) + text)
        opened.truncate(8 + len(text) + end)


@pytest.mark.usefixtures("ray_session")
def test_a_stage_too_large_for_its_node_says_what_would_fit(tmp_path: Path) -> None:
    """Cells of four devices take fifty times what their weights do in the file."""
    width = 1 << 14
    rows = psutil.virtual_memory().total // (crosspoint_bytes(cg.ReRamSB4Preset()) * width)
    with_holes({"0.weight": [rows, width], "1.weight": [width, rows]}, tmp_path / "model.safetensors")
    with cg.deferred(), torch.device("meta"):
        model = nn.Sequential(nn.Linear(width, rows, bias=False), nn.Linear(rows, width, bias=False))
    model = cg.convert_to_analog(model, cg.ReRamSB4Preset(), seed=3)
    said = rf"stage 0 of the model needs about \d+ MB; .* of its {rows * width:,} weights fit there"
    emulation = cg.emulate(model, backend="ray", stages=2, weights=tmp_path)
    with pytest.raises(cg.ConfigError, match=said), emulation:
        pass


def test_a_file_larger_than_can_be_mapped_is_one_line(tmp_path: Path) -> None:
    """64 GiB, where the process may have 32 more."""
    with_holes({"0.weight": [1 << 16, 1 << 18]}, tmp_path / "model.safetensors")  # 64 GiB
    with cg.deferred(), torch.device("meta"):
        model = nn.Sequential(nn.Linear(1 << 18, 1 << 16, bias=False))
    model = cg.convert_to_analog(model, INFERENCE, seed=3)
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (used + (32 << 30), before[1]))
    try:
        with pytest.raises(cg.StorageError, match=r"65536 MB cannot be mapped at once .* in shards"):
            cg.emulate(model, weights=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
