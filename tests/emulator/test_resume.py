"""Three epochs, a save, another process' worth of new objects, and three more: the bits of six at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stored_runs.cells import CELLS
from stored_runs.devices import DEVICES
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import crossgrid as cg

MADE: dict[str, Callable[[], Any]] = {**DEVICES, **CELLS}


def run_config(name: str) -> Any:
    """A configuration of one device or cell, cut into two tiles, whose reads keep a running average."""
    made = MADE[name]()
    kind = cg.SingleRPUConfig if hasattr(made, "dw_min") else cg.UnitCellRPUConfig
    if isinstance(made, cg.FloatingPointDevice):
        return cg.FloatingPointRPUConfig(device=made)
    average = cg.IOParameters(noise_management=cg.NoiseManagementType.AVERAGE_ABS_MAX)
    return kind(device=made, forward=average, mapping=cg.MappingParameter(max_output_size=3))


def pulsed(name: str, seed: int) -> tuple[nn.Module, torch.optim.Optimizer, Any]:
    torch.manual_seed(seed)
    layer = cg.AnalogLinear(5, 4, rpu_config=run_config(name), seed=seed)
    optimizer = cg.AnalogSGD(layer.parameters(), lr=0.1)
    return layer, optimizer, None


def hardware_aware(seed: int) -> tuple[nn.Module, torch.optim.Optimizer, Any]:
    """Modified weights, dropout, learned output scales, Adam and a scheduler that counts epochs."""
    torch.manual_seed(seed)
    config = cg.InferenceRPUConfig(mapping=cg.MappingParameter(max_output_size=3, learn_out_scaling=True))
    config.modifier.type, config.modifier.std_dev = cg.WeightModifierType.ADD_NORMAL, 0.1
    digital = nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.5), nn.BatchNorm1d(8), nn.Linear(8, 4))
    model = cg.convert_to_analog(digital, config)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    return model, optimizer, torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 4], gamma=0.3)


def epochs(model: nn.Module, optimizer: torch.optim.Optimizer, scheduler: Any, numbers: range) -> None:
    """Two batches an epoch."""
    for number in numbers:
        drawn = torch.Generator().manual_seed(number)
        for _ in range(2):
            x, y = torch.randn(6, 5, generator=drawn), torch.randint(4, (6,), generator=drawn)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        if scheduler is not None:
            scheduler.step()


def everything(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[Any]:
    """All that a run holds, to compare bit by bit."""
    held = [*model.state_dict().values()]
    for state in optimizer.state_dict()["state"].values():
        held += [value for value in state.values() if isinstance(value, torch.Tensor)]
    return [*held, torch.get_rng_state(), optimizer.param_groups[0]["lr"]]


def same(a: list[Any], b: list[Any]) -> bool:
    pairs = zip(a, b, strict=True)
    return all(torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y for x, y in pairs)


def three_and_three_is_six(make: Callable[[int], Any], directory: Path, **where: Any) -> None:
    model, optimizer, scheduler = make(1)
    with cg.emulate(model, **where) as running:
        epochs(model, optimizer, scheduler, range(3))
        running.save(directory, optimizer, scheduler=scheduler)
        epochs(model, optimizer, scheduler, range(3, 6))
        expected = everything(model, optimizer)
    model, optimizer, scheduler = make(2)
    with cg.restore(directory, model, optimizer, scheduler=scheduler, **where):
        epochs(model, optimizer, scheduler, range(3, 6))
        assert same(everything(model, optimizer), expected)


@pytest.mark.parametrize("name", list(MADE))
def test_every_device_and_cell_goes_on_with_the_same_bits(name: str, tmp_path: Path) -> None:
    """By readable numpy, which needs no compiling: what is saved is the same."""
    three_and_three_is_six(lambda seed: pulsed(name, seed), tmp_path, device="naive")


def test_hardware_aware_training_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    three_and_three_is_six(hardware_aware, tmp_path)


@pytest.mark.parametrize(
    "schedule",
    [
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=9),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 2),
        lambda o: torch.optim.lr_scheduler.SequentialLR(
            o,
            [torch.optim.lr_scheduler.LinearLR(o, 0.1), torch.optim.lr_scheduler.ExponentialLR(o, 0.9)],
            milestones=[2],
        ),
    ],
    ids=["one-cycle", "warm-restarts", "sequential"],
)
def test_schedulers_go_on_as_they_were(tmp_path: Path, schedule: Callable[[Any], Any]) -> None:
    """Learning rates of eight steps; the optimizer is told of the last one too."""

    def rates(restored: bool) -> list[float]:
        layer = cg.AnalogLinear(3, 2, rpu_config=cg.FloatingPointRPUConfig(), seed=1)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
        scheduler, found = schedule(optimizer), []
        if restored:
            enter = cg.restore(tmp_path, layer, optimizer, scheduler=scheduler)
        else:
            enter = cg.emulate(layer)
        with enter as running:
            for number in range(3 if restored else 0, 8):
                if number == 3 and not restored:
                    running.save(tmp_path, optimizer, scheduler=scheduler)
                optimizer.step()
                scheduler.step()
                found.append(optimizer.param_groups[0]["lr"])
        return found

    assert rates(restored=False)[3:] == rates(restored=True)


def test_in_the_middle_of_an_epoch_a_shuffling_loader_goes_on_with_the_next_batch(tmp_path: Path) -> None:
    """The loader's generator as it was when the epoch began, and how many batches are done."""
    data = torch.Generator().manual_seed(0)
    samples = TensorDataset(torch.randn(12, 5, generator=data), torch.randint(4, (12,), generator=data))

    def train(seed: int, stop: int | None, restored: bool) -> tuple[list[Any], list[int]]:
        model, optimizer, scheduler = hardware_aware(seed)
        shuffle, seen = torch.Generator().manual_seed(seed), []
        loader = DataLoader(samples, batch_size=3, shuffle=True, generator=shuffle)
        order = {"shuffle": shuffle}
        enter = (
            cg.restore(tmp_path, model, optimizer, scheduler=scheduler, generators=order)
            if restored
            else cg.emulate(model)
        )
        with enter as running:
            first, skipped = divmod(running.batch, len(loader))
            for epoch in range(first, 3):
                began = shuffle.get_state()
                for number, (x, y) in enumerate(loader):
                    if epoch == first and number < skipped:
                        continue
                    optimizer.zero_grad()
                    nn.functional.cross_entropy(model(x), y).backward()
                    optimizer.step()
                    done = epoch * len(loader) + number + 1
                    seen.append(int(x.sum() * 1e6))
                    if done == stop:
                        running.save(
                            tmp_path,
                            optimizer,
                            scheduler=scheduler,
                            generators={"shuffle": began},
                            batch=done,
                        )
                        return [], seen
                scheduler.step()
            return everything(model, optimizer), seen

    expected, all_seen = train(1, None, restored=False)
    _, before = train(1, 6, restored=False)
    held, after = train(2, None, restored=True)
    assert before + after == all_seen
    assert same(held, expected)
