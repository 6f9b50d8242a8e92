"""Tile actors read their own parts of files: the bits are those of numbers that came through the driver."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import crossgrid as cg
from crossgrid.emulator.tiles.stored import Stored, as_floats, read_blocks

INFERENCE = cg.InferenceRPUConfig(
    mapping=cg.MappingParameter(weight_scaling_omega=0.8, max_input_size=7, max_output_size=5)
)
EACH_OUTPUT = cg.InferenceRPUConfig(
    mapping=cg.MappingParameter(
        weight_scaling_omega=0.8, weight_scaling_columnwise=True, max_input_size=7, max_output_size=5
    )
)
PLAIN = cg.InferenceRPUConfig()
SCALED = cg.SingleRPUConfig(
    device=cg.SoftBoundsDevice(write_noise_std=0.3),
    mapping=cg.MappingParameter(weight_scaling_omega=0.6, max_input_size=7, max_output_size=5),
)
COLUMN = cg.SingleRPUConfig(mapping=cg.MappingParameter(digital_bias=False, max_input_size=7))


class Mixed(nn.Module):
    """Matrices of several shapes, among them a grouped and a transposed convolution and a recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, groups=2)
        self.second = nn.ConvTranspose2d(4, 3, 2, bias=False)
        self.recurrent = nn.LSTM(5, 6, batch_first=True)
        self.head = nn.Linear(6, 9)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.second(torch.relu(self.first(x))))
        y, _ = self.recurrent(x.flatten(1, 2))
        return self.head(y[:, -1])


def numbers(dtype: torch.dtype) -> dict[str, Tensor]:
    torch.manual_seed(23)
    return {name: tensor.to(dtype) for name, tensor in Mixed().state_dict().items()}


def both(config: Any, held: dict[str, Tensor], seed: int | None) -> tuple[nn.Module, nn.Module]:
    """The model with its numbers, and without."""
    built = Mixed()
    built.load_state_dict(held)
    with cg.deferred():
        deferred = Mixed()
    models = []
    for model in (built, deferred):
        torch.manual_seed(7)
        models.append(cg.convert_to_analog(model, config, seed=seed))
    return models[0], models[1]


def images() -> Tensor:
    return torch.rand(3, 2, 6, 6, generator=torch.Generator().manual_seed(5))


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(
    ("config", "dtype", "seed"),
    [(INFERENCE, torch.float32, None), (EACH_OUTPUT, torch.bfloat16, 3), (PLAIN, torch.float16, None)],
    ids=["scaled", "each output", "plain"],
)
def test_an_inference_needs_no_weight_in_the_driver(
    config: Any, dtype: torch.dtype, seed: int | None, tmp_path: Path
) -> None:
    held = numbers(dtype)
    save_file(held, tmp_path / "model.safetensors")
    built, deferred = both(config, held, seed)
    built.eval(), deferred.eval()
    x = images()
    with (
        cg.emulate(built) as local,
        cg.emulate(deferred, backend="ray", tiles_per_actor="auto", weights=tmp_path) as running,
    ):
        for seconds in (None, 0.0, 3600.0):
            if seconds == 0.0:
                cg.program_analog_weights(built), cg.program_analog_weights(deferred)
            elif seconds is not None:
                cg.drift_analog_weights(built, seconds), cg.drift_analog_weights(deferred, seconds)
            assert torch.equal(running.infer(x), local.infer(x))
        assert all(layer.parameter.is_meta for _, layer in running.layers)
        state = {n: t.numpy().tobytes() for n, t in deferred.state_dict().items()}  # whoever asks gets them
        assert state == {n: t.contiguous().numpy().tobytes() for n, t in built.state_dict().items()}
        assert torch.equal(running.infer(x), local.infer(x))
    assert torch.equal(deferred(x), built(x))  # what the driver has read comes home


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("config", [SCALED, COLUMN], ids=["scaled", "column"])
def test_pulsed_tiles_are_written_by_their_own_actors(config: Any, tmp_path: Path) -> None:
    held = numbers(torch.float32)
    save_file(held, tmp_path / "model.safetensors")
    built, deferred = both(config, held, None)
    y = torch.zeros(3, 9)
    losses = []
    for model, how in ((built, {}), (deferred, {"backend": "ray", "weights": tmp_path})):
        optimizer = cg.AnalogSGD(model.parameters(), lr=0.05)
        with cg.emulate(model, tiles_per_actor="auto", **how) as running:
            losses.append(
                [running.train_step(images(), y, nn.functional.mse_loss, optimizer) for _ in range(2)]
            )
    assert losses[0] == losses[1]
    assert cg.weights_sha256(built) == cg.weights_sha256(deferred)


@pytest.mark.usefixtures("ray_session")
def test_what_the_driver_sends_does_not_grow_with_the_weights(tmp_path: Path) -> None:
    """A matrix of 4 MB is built, read and programmed with a few kilobytes of messages, and stays away."""
    save_file({"0.weight": torch.full((1024, 1024), 0.01)}, tmp_path / "model.safetensors")
    with cg.deferred():
        model = nn.Sequential(nn.Linear(1024, 1024, bias=False))
    model = cg.convert_to_analog(model, PLAIN, seed=1)
    with cg.emulate(model, backend="ray", tiles_per_actor="auto", weights=tmp_path) as running:
        running.infer(torch.ones(1, 1024))
        letters = [told for host in running.executor.hosts for told in host.history.told]
        assert sum(told.size for told in letters) < 4 * 1024 + 10_000 * len(running.executor.hosts)
        assert model[0].weight.is_meta
        (tmp_path / "model.safetensors").unlink()
        with pytest.raises(cg.StorageError, match=r"cannot read it: No such file.*all nodes see"):
            cg.program_analog_weights(model)
    with pytest.raises(cg.ConfigError, match="weights=FILE_OR_DIRECTORY"):
        cg.emulate(model)  # deferred again


def test_another_file_of_that_name_and_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    (tmp_path / "raw").write_bytes(b"headers!" + values.tobytes())
    stored = Stored(str(tmp_path / "raw"), 56, 8, "F32", (3, 4))
    assert np.array_equal(np.concatenate([*stored.pieces()]), values.ravel())
    with pytest.raises(cg.StorageError, match=r"it has 56 bytes .* and 57 where the driver is"):
        replace(stored, file_bytes=57).mapped()
    with pytest.raises(cg.StorageError, match="cannot be mapped"):
        replace(stored, shape=(30, 4)).mapped()
    spec = cg.AnalogLinear(4, 3, seed=1).grid.spec
    assert np.array_equal(dict(read_blocks(spec, [0], stored, None))[0], values)
    (tmp_path / "raw").write_bytes(b"headers!" + np.full((3, 4), np.inf, np.float32).tobytes())
    with pytest.raises(cg.InputError, match="12 of 12 entries of the weight are NaN or infinite"):
        dict(read_blocks(spec, [0], stored, None))


def test_the_bits_of_a_bfloat16_are_those_that_torch_reads() -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    wanted = torch.from_numpy(bits.view(np.int16)).view(torch.bfloat16).float().numpy()
    assert np.array_equal(as_floats(bits, "BF16").view(np.uint32), wanted.view(np.uint32))
