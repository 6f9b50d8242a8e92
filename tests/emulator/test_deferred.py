"""A model that gets its numbers from a file later is, bit for bit, the one that was built with them."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import crossgrid as cg

INFERENCE = cg.InferenceRPUConfig(
    mapping=cg.MappingParameter(weight_scaling_omega=0.8, max_input_size=7, max_output_size=5)
)
PULSED = cg.SingleRPUConfig(
    device=cg.ConstantStepDevice(), mapping=cg.MappingParameter(max_input_size=7, max_output_size=5)
)
NOISY = cg.SingleRPUConfig(device=cg.SoftBoundsDevice(write_noise_std=0.3))
CELL = cg.UnitCellRPUConfig(device=cg.TransferCompound(unit_cell_devices=[cg.SoftBoundsDevice()] * 2))
COLUMN = cg.SingleRPUConfig(mapping=cg.MappingParameter(digital_bias=False))


class Images(nn.Module):
    """Two convolutions and two linear layers, with a batch normalisation between."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
        self.second, self.head = nn.Conv2d(4, 6, 3, groups=2, bias=False), nn.Linear(6 * 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(torch.relu(self.norm(self.first(x)))).flatten(1))


class Words(nn.Module):
    """An embedding tied to the head, a recurrent layer, attention; a buffer that is not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.recurrent = nn.Embedding(11, 8), nn.LSTM(8, 8, batch_first=True)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("frequencies", torch.arange(8.0) / 8, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x, _ = self.recurrent(self.embed(tokens) + self.frequencies)
        x, _ = self.attention(x, x, x)
        return self.head(x)


def images() -> Tensor:
    return torch.rand(3, 1, 8 - 2, 6, generator=torch.Generator().manual_seed(5))


def words() -> Tensor:
    return torch.randint(11, (3, 4), generator=torch.Generator().manual_seed(5))


def numbers_of(make: Callable[[], nn.Module]) -> dict[str, Tensor]:
    """Numbers for a model, as a checkpoint holds them: what is tied stands there once."""
    with torch.random.fork_rng():
        torch.manual_seed(23)
        state = make().state_dict()
    seen: set[int] = set()
    return {n: t.clone() for n, t in state.items() if not (t.data_ptr() in seen or seen.add(t.data_ptr()))}


def ordinary(make: Callable[[], nn.Module], numbers: dict[str, Tensor], **how: Any) -> nn.Module:
    """The model with its numbers, converted as the generator stands after seed 7."""
    model = make()
    model.load_state_dict(numbers, strict=False)
    torch.manual_seed(7)
    return cg.convert_to_analog(model, **how)


def without(make: Callable[[], nn.Module], **how: Any) -> nn.Module:
    """The same without numbers."""
    with cg.deferred():
        model = make()
    torch.manual_seed(7)
    before = torch.get_rng_state()
    model = cg.convert_to_analog(model, **how)
    assert torch.equal(torch.get_rng_state(), before)
    return model


def as_bytes(model: nn.Module) -> dict[str, bytes]:
    return {name: tensor.contiguous().numpy().tobytes() for name, tensor in model.state_dict().items()}


def step(model: nn.Module, x: Tensor, rate: float = 0.05) -> float:
    optimizer = cg.AnalogSGD(model.parameters(), lr=rate)
    optimizer.zero_grad()
    loss = model(x).square().mean()
    loss.backward()
    optimizer.step()
    return loss.item()


MODELS = {"images": (Images, images), "words": (Words, words)}


@pytest.mark.filterwarnings("ignore:layer head stays digital")
@pytest.mark.parametrize("config", [INFERENCE, PULSED, NOISY, CELL, COLUMN], ids=str)
@pytest.mark.parametrize("name", [*MODELS])
@pytest.mark.parametrize("seed", [None, 3])
def test_the_bits_are_those_of_the_ordinary_build(
    name: str, config: Any, seed: int | None, tmp_path: Path
) -> None:
    make, inputs = MODELS[name]
    numbers = numbers_of(make)
    save_file(numbers, tmp_path / "numbers.safetensors")
    built = ordinary(make, numbers, rpu_config=config, seed=seed)
    deferred = without(make, rpu_config=config, seed=seed)
    with cg.emulate(built), cg.emulate(deferred, weights=tmp_path / "numbers.safetensors") as running:
        assert as_bytes(deferred) == as_bytes(built)
        assert [step(deferred, inputs()) for _ in range(2)] == [step(built, inputs()) for _ in range(2)]
        deferred.eval(), built.eval()
        assert torch.equal(running.infer(inputs()), built(inputs()))
    assert as_bytes(deferred) == as_bytes(built)


class Expert(nn.Module):
    """Slices of one parameter, read one after the other; and a weight that is computed from two."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.randn(3, 6, 4) / 3)
        self.head = torch.nn.utils.parametrizations.weight_norm(nn.Linear(4, 2))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.zeros(len(x), 4)
        for expert in range(3):
            y = y + x @ self.up[expert]
        return self.head(y)


def test_experts_and_computed_weights_get_their_numbers_too(tmp_path: Path) -> None:
    numbers = numbers_of(Expert)
    save_file(numbers, tmp_path / "model.safetensors")
    built = ordinary(Expert, numbers, rpu_config=INFERENCE)
    deferred = without(Expert, rpu_config=INFERENCE)
    x = torch.rand(5, 6, generator=torch.Generator().manual_seed(1))
    with cg.emulate(deferred, weights=tmp_path):
        assert as_bytes(deferred) == as_bytes(built)
        assert torch.equal(deferred(x), built(x))


def test_torchs_own_meta_device_does_as_well(tmp_path: Path) -> None:
    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))

    save_file(numbers_of(make), tmp_path / "model.safetensors")
    with torch.device("meta"):
        model = make()
    model = cg.convert_to_analog(model, INFERENCE, seed=1)
    with cg.emulate(model, weights=tmp_path):
        assert as_bytes(model) == as_bytes(ordinary(make, numbers_of(make), rpu_config=INFERENCE, seed=1))
    with torch.device("meta"):
        model = Words()
    with pytest.raises(
        cg.ConfigError, match=r"frequencies has no numbers, and no file holds it .*cg\.deferred"
    ):
        cg.emulate(cg.convert_to_analog(model, INFERENCE), weights=tmp_path)


def test_a_layer_of_its_own_needs_a_seed(tmp_path: Path) -> None:
    with cg.deferred():
        with pytest.raises(cg.ConfigError, match=r"AnalogLinear is built within .*seed="):
            cg.AnalogLinear(4, 3)
        model = nn.Sequential(cg.AnalogLinear(4, 3, seed=5), nn.Tanh(), cg.AnalogLinear(3, 2, seed=6))
    built = nn.Sequential(cg.AnalogLinear(4, 3, seed=5), nn.Tanh(), cg.AnalogLinear(3, 2, seed=6))
    numbers = {name: torch.full(p.shape, 0.1) for name, p in built.named_parameters()}
    built.load_state_dict(numbers, strict=False)
    save_file(numbers, tmp_path / "model.safetensors")
    with cg.emulate(model, weights=tmp_path):
        assert as_bytes(model) == as_bytes(built)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shards_with_an_index_are_read_as_hugging_face_writes_them(
    dtype: torch.dtype, tmp_path: Path
) -> None:
    numbers = {name: tensor.to(dtype) for name, tensor in numbers_of(mlp).items()}
    save_file(
        {n: t for n, t in numbers.items() if n[0] == "0"}, tmp_path / "model-00001-of-00002.safetensors"
    )
    save_file(
        {n: t for n, t in numbers.items() if n[0] == "2"}, tmp_path / "model-00002-of-00002.safetensors"
    )
    index = {
        "metadata": {},
        "weight_map": {n: f"model-0000{int(n[0]) // 2 + 1}-of-00002.safetensors" for n in numbers},
    }
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    deferred = without(mlp, rpu_config=PULSED)
    with cg.emulate(deferred, weights=tmp_path):
        assert as_bytes(deferred) == as_bytes(ordinary(mlp, numbers, rpu_config=PULSED))


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("chip", [None, "demo-128"])
@pytest.mark.parametrize("config", [INFERENCE, PULSED], ids=str)
def test_actors_hold_what_the_ordinary_build_gives_them(
    config: Any, chip: str | None, tmp_path: Path
) -> None:
    numbers = numbers_of(mlp)
    save_file(numbers, tmp_path / "model.safetensors")
    built, deferred = ordinary(mlp, numbers, rpu_config=config), without(mlp, rpu_config=config)
    x = torch.rand(5, 12, generator=torch.Generator().manual_seed(1))
    with (
        cg.emulate(built, chip) as local,
        cg.emulate(deferred, chip, "ray", weights=tmp_path, tiles_per_actor="auto") as running,
    ):
        assert [step(deferred, x) for _ in range(2)] == [step(built, x) for _ in range(2)]
        assert torch.equal(running.infer(x), local.infer(x))
    assert as_bytes(deferred) == as_bytes(built)


def test_nothing_works_without_numbers_and_the_error_says_where_they_come_from(tmp_path: Path) -> None:
    deferred = without(mlp, rpu_config=PULSED)
    assert all(
        parameter.is_meta or isinstance(parameter, cg.AnalogContext) for parameter in deferred.parameters()
    )
    way_out = r"weights=FILE_OR_DIRECTORY"
    for what in (
        lambda: cg.emulate(deferred),
        lambda: deferred(torch.rand(2, 12)),
        lambda: cg.analog_weights(deferred),
        deferred.state_dict,
    ):
        with pytest.raises(cg.ConfigError, match=way_out):
            what()
    assert "2 analog matrices" in cg.analog_summary(deferred).line
    save_file(numbers_of(mlp), tmp_path / "model.safetensors")
    with pytest.raises(cg.ConfigError, match="has its own: build it within"):
        cg.emulate(cg.convert_to_analog(mlp(), PULSED), weights=tmp_path)


def spoiled(numbers: dict[str, Tensor], how: str) -> dict[str, Tensor]:
    if how == "missing":
        return {n: t for n, t in numbers.items() if n != "2.weight"}
    if how == "extra":
        return {**numbers, "4.weight": torch.ones(2)}
    if how == "shape":
        return {**numbers, "0.bias": torch.ones(4)}
    if how == "type":
        return {**numbers, "2.bias": torch.ones(4, dtype=torch.int64)}
    return {**numbers, "0.weight": numbers["0.weight"].clone().fill_(math.nan)}


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("missing", r"lacks 2\.weight"),
        ("extra", r"has, and the model does not, 4\.weight"),
        ("shape", r"0\.bias has shape \(4,\), 0\.bias of the model \(9,\)"),
        ("type", r"2\.bias is of type torch\.int64, 2\.bias of the model of torch\.float32"),
        ("nan", r"0: 108 of 108 entries of the weight are NaN"),
    ],
)
@pytest.mark.parametrize("config", [INFERENCE, PULSED], ids=str)
def test_a_checkpoint_of_another_model_is_one_line(config: Any, how: str, said: str, tmp_path: Path) -> None:
    numbers = numbers_of(mlp)
    save_file(spoiled(numbers, how), tmp_path / "model.safetensors")
    deferred = without(mlp, rpu_config=config)
    with pytest.raises(cg.CrossgridError, match=said) as caught, cg.emulate(deferred, weights=tmp_path):
        pass
    assert "\n" not in str(caught.value)
    save_file(numbers, tmp_path / "model.safetensors")
    with cg.emulate(deferred, weights=tmp_path):  # the failure has left nothing behind
        assert as_bytes(deferred) == as_bytes(ordinary(mlp, numbers, rpu_config=config))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no index"),
        ('{"weight_map": 3}', "no index"),
        ('{"weight_map": {"0.weight": "../a.safetensors"}}', "no file beside the index"),
        ('{"weight_map": {"0.weight": 3}}', "no file beside the index"),
        ('{"weight_map": {"0.weight": "b.safetensors"}}', "b.safetensors: this file is missing"),
        ('{"weight_map": {"9.weight": "a.safetensors"}}', "has no tensor '9.weight'"),
        ('{"weight_map": {"0.weight": "c.safetensors"}}', "no safetensors file, or a damaged one"),
    ],
)
def test_an_index_that_lies_is_one_line(text: str, said: str, tmp_path: Path) -> None:
    save_file(numbers_of(mlp), tmp_path / "a.safetensors")
    (tmp_path / "c.safetensors").write_bytes(b"\xff" * 64)
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(cg.ConfigError, match=said):
        cg.emulate(without(mlp, rpu_config=PULSED), weights=tmp_path)
    with pytest.raises(cg.ConfigError, match="there is no such file"):
        cg.emulate(without(mlp, rpu_config=PULSED), weights=tmp_path / "nowhere")


def test_converting_takes_no_memory_for_crosspoints() -> None:
    """Ten billion weights, 40 GB as float32: their conversion raises the peak by less than a hundredth."""
    code = (
        "import resource, torch, crossgrid as cg\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10\n"
        "before = peak()\n"
        "with cg.deferred():\n"
        "    each = [torch.nn.Linear(1 << 14, 1 << 14, bias=False) for _ in range(38)]\n"
        "model = torch.nn.Sequential(*each)\n"
        "for config in (cg.InferenceRPUConfig(), cg.SingleRPUConfig()):\n"
        "    assert cg.analog_summary(cg.convert_to_analog(model, config)).weights > 10e9\n"
        "print(peak() - before)\n"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(printed.stdout) < 400e6


@pytest.mark.parametrize("config", [INFERENCE, PULSED], ids=str)
def test_a_saved_run_is_restored_into_a_model_without_numbers(config: Any, tmp_path: Path) -> None:
    numbers = numbers_of(mlp)
    save_file(numbers, tmp_path / "model.safetensors")
    first = without(mlp, rpu_config=config)
    x = torch.rand(5, 12, generator=torch.Generator().manual_seed(1))
    with cg.emulate(first, weights=tmp_path) as running:
        step(first, x)
        running.save(tmp_path / "run")
        step(first, x)
    again = without(mlp, rpu_config=config)
    with cg.restore(tmp_path / "run", again):
        step(again, x)
    assert as_bytes(again) == as_bytes(first)
