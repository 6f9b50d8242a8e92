"""A saved run goes on with the same bits, wherever it was and wherever it goes on."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path

import msgpack
import pytest
import torch
from networks import CONFIG, batch, small_net, train
from torch import nn

import crossgrid as cg


def trained_on(steps: range, **where: object) -> tuple[str, torch.Tensor]:
    model, optimizer = small_net(5)
    with cg.emulate(model, **where) as running:
        train(model, optimizer, steps)
        return cg.weights_sha256(model), running.infer(batch(99)[0], micro_batch=3)


@pytest.fixture(scope="module")
def uninterrupted() -> tuple[str, torch.Tensor]:
    return trained_on(range(5))


def gone_on(directory: Path, **where: object) -> tuple[str, torch.Tensor]:
    """The last three steps, from another seed's model: all that counts is on disk."""
    model, optimizer = small_net(6)
    with cg.restore(directory, model, optimizer, **where) as running:
        train(model, optimizer, range(2, 5))
        return cg.weights_sha256(model), running.infer(batch(99)[0], micro_batch=3)


def saved(directory: Path, **where: object) -> Path:
    model, optimizer = small_net(5)
    with cg.emulate(model, **where) as running:
        train(model, optimizer, range(2))
        running.save(directory, optimizer)
    return directory


def test_a_restored_run_goes_on_with_the_same_bits(
    tmp_path: Path, uninterrupted: tuple[str, torch.Tensor]
) -> None:
    sha256, outputs = gone_on(saved(tmp_path))
    assert sha256 == uninterrupted[0]
    assert torch.equal(outputs, uninterrupted[1])


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("ends", ["ray", pytest.param("local", marks=pytest.mark.slow)])
def test_also_from_and_to_actors(tmp_path: Path, uninterrupted: tuple[str, torch.Tensor], ends: str) -> None:
    start = "local" if ends == "ray" else "ray"
    directory = saved(tmp_path, backend=start, tiles_per_actor=5)
    sha256, outputs = gone_on(directory, backend=ends, tiles_per_actor=3)
    assert sha256 == uninterrupted[0]
    assert torch.equal(outputs, uninterrupted[1])


def test_on_a_chip_with_late_updates_and_dropout(tmp_path: Path) -> None:
    """Saving applies late updates in the running run too, so that both go on alike; so does dropout."""

    def network(seed: int) -> tuple[nn.Module, cg.AnalogSGD]:
        torch.manual_seed(seed)
        digital = nn.Sequential(nn.Flatten(), nn.Linear(36, 150), nn.Dropout(0.5), nn.Linear(150, 4))
        model = cg.convert_to_analog(digital, cg.SingleRPUConfig())
        return model, cg.AnalogSGD(model.parameters(), lr=0.1)

    model, optimizer = network(1)
    with cg.emulate(model, "demo-128", update_delay=2) as running:
        train(model, optimizer, range(3))
        running.save(tmp_path, optimizer)
        train(model, optimizer, range(3, 6))
    expected = cg.weights_sha256(model)
    model, optimizer = network(2)
    with cg.restore(tmp_path, model, optimizer) as running:
        assert running.update_delay == 2
        assert running.chip.name == "demo-128"
        train(model, optimizer, range(3, 6))
    assert cg.weights_sha256(model) == expected


def test_a_programmed_network_keeps_what_was_programmed(tmp_path: Path) -> None:
    def network() -> nn.Module:
        return cg.convert_to_analog(nn.Linear(20, 6), cg.InferenceRPUConfig())

    x = torch.linspace(-1, 1, 60).reshape(3, 20)
    model = network()
    with cg.emulate(model) as running:
        cg.program_analog_weights(model)
        cg.drift_analog_weights(model, 3600.0)
        running.save(tmp_path)
        expected = running.infer(x)
    other = network()
    with cg.restore(tmp_path, other) as running:
        assert torch.equal(running.infer(x), expected)


def test_where_a_run_goes_on_is_chosen_as_for_a_new_one(tmp_path: Path) -> None:
    saved(tmp_path)
    model, optimizer = small_net(6)
    assert cg.restore(tmp_path, model, optimizer, device="cpu").device == "cpu"
    with pytest.raises(cg.ConfigError, match="device = 'tpu' does not exist"):
        cg.restore(tmp_path, model, optimizer, device="tpu")
    new, kept = inspect.signature(cg.emulate).parameters, {"strategy", "update_delay", "weights", "stages"}
    going_on = inspect.signature(cg.restore).parameters
    assert {name for name in new if name not in going_on} == kept
    assert all(new[name].default == going_on[name].default for name in new.keys() - kept)


def test_a_run_is_a_manifest_and_parts_named_by_their_digests(tmp_path: Path) -> None:
    """Msgpack with the digest of its body; each part is raw bytes under their own digest."""
    saved(tmp_path)
    kind, version, digest, body = msgpack.unpackb((tmp_path / "run.msgpack").read_bytes())
    assert (kind, version) == ("crossgrid run", 4)
    assert digest == hashlib.blake2b(body, digest_size=32).digest()
    parts = msgpack.unpackb(body)["parts"]
    assert {p.name for p in tmp_path.iterdir()} == {"run.msgpack", *(f"{d.hex()}.raw" for d, _ in parts)}
    for digest, size in parts:
        data = (tmp_path / f"{digest.hex()}.raw").read_bytes()
        assert len(data) == size
        assert hashlib.blake2b(data, digest_size=32).digest() == digest


def test_tiles_that_did_not_change_are_not_written_again(tmp_path: Path) -> None:
    """Two of three layers are frozen: their reads count, their tiles stay."""
    model, optimizer = small_net(5)
    model.features.requires_grad_(False)
    model.hidden.requires_grad_(False)
    with cg.emulate(model) as running:
        running.save(tmp_path)
        before = {p.name: p.stat().st_ino for p in tmp_path.glob("*.raw")}
        train(model, optimizer, range(1))
        running.save(tmp_path)
    after = {p.name: p.stat().st_ino for p in tmp_path.glob("*.raw")}
    assert len(after) == len(before)
    assert len(after.items() & before.items()) >= 2
    assert len(after.keys() - before.keys()) in (1, 2)  # the layer, and torch's generator


def test_what_cannot_be_restored_says_why(tmp_path: Path) -> None:
    model, optimizer = small_net(5)
    with pytest.raises(cg.ConfigError, match=r"there is no run\.msgpack"):
        cg.restore(tmp_path, model)
    with cg.emulate(model) as running:
        running.save(tmp_path)
        nn.functional.cross_entropy(model(batch(0)[0]), batch(0)[1]).backward()
        with pytest.raises(cg.ConfigError, match=r"save after optimizer\.step"):
            running.save(tmp_path)
        optimizer.zero_grad()
    with pytest.raises(cg.ConfigError, match="no optimizer was saved"):
        cg.restore(tmp_path, model, optimizer)
    with pytest.raises(cg.ConfigError, match="the saved layers are"):
        cg.restore(tmp_path, cg.convert_to_analog(nn.Linear(3, 2), CONFIG))
    uncut, _ = small_net(5, cg.SingleRPUConfig())
    with pytest.raises(cg.ConfigError, match="was cut into tiles"):
        cg.restore(tmp_path, uncut).__enter__()
    uncut(batch(0)[0])
    path = tmp_path / "run.msgpack"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(cg.ConfigError, match="damaged"):
        cg.restore(tmp_path, model)
