"""Tiles that layers share in time hold one block at a time, and every turn programs it anew.

A programming is a function of the block, its weights and its number, so the n-th turn of a layer leaves what
the n-th call of ``program_analog_weights`` leaves on tiles of its own.
"""

from __future__ import annotations

import dataclasses
import itertools
import re

import numpy as np
import pytest
import torch
from torch import nn

import crossgrid as cg
from crossgrid.chip.description.spec import Grid

#: three layers of a tile each, on two tiles: the first and the third take turns, the second has its tile
# alone
SIZES = (100, 120, 90, 10)


def chip(tiles: int = 2) -> cg.Chip:
    return dataclasses.replace(cg.load_chip("demo-128"), grid=Grid(1, tiles), chips=1)


def network(config: object | None = None) -> nn.Module:
    torch.manual_seed(4)
    layers = [nn.Linear(*sizes) for sizes in itertools.pairwise(SIZES)]
    return cg.convert_to_analog(nn.Sequential(*layers), config or cg.InferenceRPUConfig(), seed=6).eval()


def inputs(count: int = 6) -> torch.Tensor:
    return torch.linspace(-1, 1, count * SIZES[0]).reshape(count, -1)


def emulated(model: nn.Module, tiles: int = 2, **more: object) -> cg.Emulation:
    return cg.emulate(
        model, chip(tiles), strategy="time-multiplexed", example_input=(1, SIZES[0]), reprogram=True, **more
    )


def test_each_turn_leaves_what_that_programming_leaves_on_a_tile_of_its_own() -> None:
    twin = network()
    programmed = []
    for _ in range(3):
        cg.program_analog_weights(twin)
        with cg.emulate(twin, chip(3)) as running:
            running.infer(inputs())
            programmed.append(running.tile_weights())
    with emulated(network()) as running:
        for turn in range(3):
            running.infer(inputs(2))
            held = {name: list(tiles.values()) for name, tiles in running.tile_weights().items()}
            for name in ("0", "2"):
                assert torch.equal(held[name][0], next(iter(programmed[turn][name].values())))
            assert torch.equal(held["1"][0], next(iter(programmed[0]["1"].values())))
    assert not torch.equal(*(next(iter(programmed[turn]["0"].values())) for turn in (0, 1)))


@pytest.mark.parametrize(("micro_batch", "turns"), [(None, 1), (6, 1), (3, 2), (1, 6)])
def test_a_micro_batch_shares_a_programming(micro_batch: int | None, turns: int) -> None:
    with emulated(network()) as running:
        running.infer(inputs(), micro_batch)
        assert running.programmings == {"0": turns, "1": 1, "2": turns}
        report = running.report()
    events = report.events()
    assert events is not None
    written = turns * (SIZES[0] * SIZES[1] + SIZES[2] * SIZES[3]) + SIZES[1] * SIZES[2]
    assert events.program_weight == written


def test_the_same_run_has_the_same_bits_and_depth_changes_none() -> None:
    outputs = []
    for depth in (1, 4):
        with emulated(network()) as running:
            outputs.append(running.infer(inputs(), 2, depth))
    assert torch.equal(*outputs)
    with cg.emulate(network(), chip(), strategy="time-multiplexed", example_input=(1, SIZES[0])) as running:
        plain = running.infer(inputs(), 2)
        assert running.programmings == {}
    assert not torch.equal(plain, outputs[0])


def test_ray_programs_the_same_turns_with_the_same_bits() -> None:
    """The n-th programming of a block is the same wherever its tile lives: outputs, weights and counts."""
    found = []
    for backend in ("local", "ray"):
        with emulated(network(), backend=backend) as running:
            outputs = running.infer(inputs(), 2)
            tiles = [tile for layer in running.tile_weights().values() for tile in layer.values()]
            found.append((outputs, tiles, running.programmings, running.report().events()))
    (local, local_tiles, *local_counts), (ray, ray_tiles, *ray_counts) = found
    assert torch.equal(local, ray)
    assert len(local_tiles) == len(ray_tiles) == 3
    assert all(torch.equal(*pair) for pair in zip(local_tiles, ray_tiles, strict=True))
    assert local_counts == ray_counts
    assert local_counts[0] == {"0": 3, "1": 1, "2": 3}


def test_where_nothing_is_shared_every_layer_is_programmed_once() -> None:
    with emulated(network(), tiles=3) as running:
        assert running.plan is not None
        assert running.plan.rounds == 1
        running.infer(inputs(), 1)
        assert running.programmings == {"0": 1, "1": 1, "2": 1}


def test_a_layer_that_is_larger_than_the_chip_is_programmed_for_every_pass() -> None:
    """Two tiles for four blocks of one layer: each pass ends with other blocks than the next begins with."""
    torch.manual_seed(0)
    model = cg.convert_to_analog(nn.Sequential(nn.Linear(256, 256)), cg.InferenceRPUConfig(), seed=1).eval()
    with cg.emulate(model, chip(), strategy="time-multiplexed", reprogram=True) as running:
        running.infer(torch.zeros(4, 256) + 0.1, 2)
        assert running.programmings == {"0": 2}


def test_after_the_run_the_model_listens_no_longer() -> None:
    model = network()
    with emulated(model) as running:
        running.infer(inputs())
    counts = running.programmings
    model(inputs())
    assert running.programmings == counts
    with emulated(model) as again:
        again.infer(inputs())


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"reprogram": 1}, "reprogram = 1 must be True or False"),
        ({"chip": None, "strategy": "per-layer"}, "reprogram=True is of a chip's tiles: give chip="),
        ({"backend": "ray", "stages": 2}, "reprogram=True does not work with stages"),
    ],
)
def test_what_cannot_be_is_said_at_once(more: dict[str, object], words: str) -> None:
    arguments = {"chip": chip(), "strategy": "time-multiplexed", "reprogram": True, **more}
    with pytest.raises(cg.ConfigError, match=re.escape(words)):
        cg.emulate(network(), **arguments)


def test_devices_that_are_pulsed_are_refused_and_the_model_stays_as_it_was() -> None:
    model = network(cg.SingleRPUConfig(device=cg.ConstantStepDevice()))
    before = model(inputs()).shape, cg.weights_sha256(model)
    with pytest.raises(cg.ConfigError, match=r"'0' are pulsed.*InferenceRPUConfig"):  # noqa: SIM117
        with emulated(model):
            pass
    assert (model(inputs()).shape, cg.weights_sha256(model)) == before


def test_training_on_tiles_that_are_reprogrammed_is_refused() -> None:
    with emulated(network()) as running:
        running.model.train()
        with pytest.raises(cg.ConfigError, match=r"'0' is in training mode.*model.eval\(\)"):
            running.model(inputs())
        running.infer(inputs())  # evaluates by itself
    assert np.isfinite(running.model.eval()(inputs()).detach().numpy()).all()
