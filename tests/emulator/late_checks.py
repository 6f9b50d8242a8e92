"""What a card finds wrong is said late, by name and step. Run as a script for Triton's interpreter:

TRITON_INTERPRET=1 python late_checks.py
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import crossgrid as cg

UPDATE = cg.UpdateParameters(desired_bl=3)
DEVICE = cg.ConstantStepDevice(w_max_dtod=0.0, w_min_dtod=0.0)


def model_of(**forward: Any) -> tuple[nn.Module, Any]:
    """Two layers and their optimizer."""
    config = cg.SingleRPUConfig(device=DEVICE, update=UPDATE, forward=cg.IOParameters(**forward))
    torch.manual_seed(2)
    net = nn.Sequential(nn.Conv2d(1, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3))
    model = cg.convert_to_analog(net, config, seed=4)
    return model, cg.AnalogSGD(model.parameters(), lr=0.1)


def weights(model: nn.Module) -> np.ndarray:
    """All analog weights."""
    return np.concatenate([w.numpy().ravel() for w in cg.analog_weights(model).values()])


def step(model: nn.Module, optimizer: Any, x: torch.Tensor) -> None:
    """A training step as users write it."""
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x), torch.arange(len(x)) % 3).backward()
    optimizer.step()


def check_finding() -> None:
    """Step 2 of 4 reads an input that is no number: nothing moves from there on; whoever looks is told."""
    model, optimizer = model_of()
    good = torch.linspace(-1, 1, 18).reshape(2, 1, 3, 3)
    bad = good.clone()
    bad[1, 0, 2, 2] = torch.nan
    with cg.emulate(model, device="cuda") as running:
        step(model, optimizer, good)
        after = weights(model)
        step(model, optimizer, bad)
        step(model, optimizer, good)
        running.tile_samples()  # as a scrape: it says nothing and forgets nothing
        with pytest.raises(
            cg.InputError, match="0, step 2 of this run: its input has NaN or infinite entries"
        ):
            running.record(0.5)
        assert np.array_equal(weights(model), after)
        step(model, optimizer, good)  # told, training goes on
        running.record(0.5)
        assert not np.array_equal(weights(model), after)


def check_bad_weights_are_told_on_leaving() -> None:
    """Leaving says it too, and the tiles come home."""
    model, optimizer = model_of()
    before = weights(model)
    bad = torch.full((2, 1, 3, 3), torch.inf)
    leaving = pytest.raises(cg.InputError, match="step 1 of this run")
    with leaving, cg.emulate(model, device="cuda"):
        step(model, optimizer, bad)
    assert np.array_equal(weights(model), before)


LOOKS: dict[str, Callable[[Any, nn.Module, str], object]] = {
    "record": lambda running, _model, _folder: running.record(0.5),
    "report": lambda running, _model, _folder: running.report(),
    "weights of the run": lambda running, _model, _folder: running.weights(),
    "weights of the model": lambda _running, model, _folder: cg.analog_weights(model),
    "save": lambda running, _model, folder: running.save(folder),
    "inference": lambda running, _model, _folder: running.infer(torch.zeros(1, 1, 3, 3)),
}


def check_who_looks_is_told() -> None:
    """Whatever brings something of the tiles here says it, once; a scrape says nothing."""
    model, optimizer = model_of()
    good = torch.linspace(-1, 1, 18).reshape(2, 1, 3, 3)
    with cg.emulate(model, device="cuda") as running, tempfile.TemporaryDirectory() as folder:
        for number, (name, look) in enumerate(LOOKS.items(), 1):
            step(model, optimizer, good * torch.nan)
            running.tile_samples()
            with pytest.raises(cg.InputError, match="0, step 1 of this run: its input"):
                look(running, model, folder)
            look(running, model, folder)
            print("told by", name, number, flush=True)


CELLS: dict[str, Callable[[], Any]] = {
    "vector": lambda: cg.VectorUnitCell(unit_cell_devices=[DEVICE, DEVICE]),
    "transfer": lambda: cg.TransferCompound(unit_cell_devices=[DEVICE, DEVICE], transfer_every=1.0),
    "buffered": lambda: cg.BufferedTransferCompound(unit_cell_devices=[DEVICE, DEVICE], thres_scale=0.1),
    "chopped": lambda: cg.ChoppedTransferCompound(
        unit_cell_devices=[DEVICE, DEVICE], auto_scale=True, fast_lr=0.5, buffer_granularity=0.1
    ),
    "mixed precision": lambda: cg.MixedPrecisionCompound(device=DEVICE),
    "decaying": lambda: cg.ConstantStepDevice(lifetime=10.0, diffusion=0.01, w_max_dtod=0.0, w_min_dtod=0.0),
}


def check_cells_of_several_devices() -> None:
    """An input or a gradient that is no number moves no device and no sum: training goes on with numbers."""
    for name, device in CELLS.items():
        config = cg.UnitCellRPUConfig(device=device(), update=cg.UpdateParameters(desired_bl=3))
        torch.manual_seed(2)
        model = cg.convert_to_analog(nn.Sequential(nn.Linear(3, 2)), config, seed=4)
        optimizer, x = cg.AnalogSGD(model.parameters(), lr=0.1), torch.linspace(-1, 1, 6).reshape(2, 3)

        def step_of(
            x: torch.Tensor, factor: float = 1.0, model: Any = model, optimizer: Any = optimizer
        ) -> None:
            optimizer.zero_grad()
            (model(x).sum() * factor).backward()
            optimizer.step()

        with cg.emulate(model, device="cuda") as running:
            step_of(x)
            step_of(x)
            before = weights(model)
            step_of(torch.full_like(x, torch.inf))
            with pytest.raises(cg.InputError, match="0, step 3 of this run: its input"):
                running.record(0.5)
            assert np.array_equal(weights(model), before), name
            step_of(x, torch.nan)
            with pytest.raises(cg.InputError, match="0, step 3 of this run: the gradient of its update"):
                running.record(0.5)
            assert np.array_equal(weights(model), before), name
            for _ in range(3):
                step_of(x)
            running.record(0.5)
            assert np.isfinite(weights(model)).all(), name
            assert not np.array_equal(weights(model), before), name
        print("stopped by what was found:", name, flush=True)


def digital(config: Any, **layer: Any) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A layer that torch trains through its tiles, without a bias of torch's alone."""
    torch.manual_seed(2)
    model = cg.convert_to_analog(nn.Sequential(nn.Linear(3, 3, **layer)), config, seed=4)
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


def check_digital_trainer() -> None:
    """What is no number gives weights that torch moves a gradient of zeros; who looks is told of the step."""
    model, optimizer = digital(cg.InferenceRPUConfig(), bias=False)
    x = torch.linspace(-1, 1, 6).reshape(2, 3)

    def step_of(x: torch.Tensor, factor: float = 1.0) -> None:
        optimizer.zero_grad()
        (model(x).sum() * factor).backward()
        optimizer.step()

    wrong: dict[str, Callable[[], object]] = {
        "step 3 of this run: its input": lambda: step_of(torch.full_like(x, torch.inf)),
        "step 4 of this run: its gradient": lambda: step_of(x, torch.nan),
    }
    with cg.emulate(model, device="cuda") as running:
        for _ in range(2):
            step_of(x)
        for said, do in wrong.items():
            held = model[0].weight.detach().clone()
            do()
            step_of(x)
            running.tile_samples()
            with pytest.raises(cg.InputError, match=f"0, {said}"):
                running.record(0.5)
            assert torch.equal(model[0].weight, held), said
            step_of(x)
            running.record(0.5)
            assert not torch.equal(model[0].weight, held), said
        with torch.no_grad():
            model[0].weight[1, 2] = torch.nan
        step_of(x)
        with pytest.raises(cg.InputError, match="0, step 5 of this run: its weight"):
            running.record(0.5)
        with torch.no_grad():
            model[0].weight.fill_(0.25)
        model.eval()
        with pytest.raises(cg.InputError, match=r"0, step .* of this run: its input"):
            running.infer(x * torch.nan)


def check_digital_steps() -> None:
    """A digital trainer's steps on a card are those on a processor, but for the order of sums of products."""
    modifier = cg.WeightModifierParameter(type=cg.WeightModifierType.ADD_NORMAL, std_dev=0.05)
    scaled = cg.MappingParameter(
        digital_bias=False, weight_scaling_omega=0.6, weight_scaling_columnwise=True, learn_out_scaling=True,
        max_input_size=2,
    )  # fmt: skip
    clipping = cg.IOParameters(
        out_bound=0.15, noise_management=cg.NoiseManagementType.NONE,
        bound_management=cg.BoundManagementType.NONE,
    )  # fmt: skip
    ranged = cg.PrePostProcessingParameter(
        input_range=cg.InputRangeParameter(
            enable=True, init_from_data=1, manage_output_clipping=True, decay=0.01, gradient_relative=False
        )
    )
    configs = {
        "modified": cg.InferenceRPUConfig(modifier=modifier),
        "scaled, on two tiles with its bias": cg.InferenceRPUConfig(modifier=modifier, mapping=scaled),
        "clipped by converters, with a range": cg.InferenceRPUConfig(forward=clipping, pre_post=ranged),
        "with a range and its bias": cg.InferenceRPUConfig(
            mapping=cg.MappingParameter(digital_bias=False), pre_post=ranged, forward=clipping
        ),
    }
    x = torch.rand(40, 3, generator=torch.Generator().manual_seed(1)) - 0.5
    for name, config in configs.items():
        found = []
        for device in ("cpu", "cuda"):
            model, optimizer = digital(config)
            with cg.emulate(model, device=device):
                for _ in range(3):
                    step(model, optimizer, x)
            found.append(torch.cat([p.detach().ravel() for p in model.parameters()]))
        start = torch.cat([p.detach().ravel() for p in digital(config)[0].parameters()])
        assert (found[0] - start).abs().max() > 1e-3, name
        assert (found[0] - found[1]).abs().max() < 1e-6, (name, found)
        print("learns the same digitally:", name, flush=True)


def check_gradient_written_to() -> None:
    """A gradient is kept as it is until the update: one that somebody wrote to is refused."""
    model, optimizer = model_of()
    x, gradient = torch.linspace(-1, 1, 18).reshape(2, 1, 3, 3), torch.ones(2, 3)
    with cg.emulate(model, device="cuda"):
        before = weights(model)
        model(x).backward(gradient)
        gradient.zero_()
        with pytest.raises(cg.InputError, match="written to in place before the optimizer's step"):
            optimizer.step()
        assert np.array_equal(weights(model)[-24:], before[-24:])  # of the layer that saw it


def check_counters() -> None:
    """Clips, retries, pulses and devices at a bound are those of the processors, retries among them."""
    found = []
    for device in ("cpu", "cuda"):
        model, optimizer = model_of(out_bound=0.2, out_noise=0.0)
        x = torch.linspace(-1, 1, 18).reshape(2, 1, 3, 3)
        with cg.emulate(model, device=device) as running:
            for _ in range(2):
                step(model, optimizer, x)
            running.report()
            samples = [counted for _, counted in running.tile_samples()]
            plain = [{k: n for k, n in each.items() if not k.endswith("seconds")} for each in samples]
            found.append((plain, weights(model)))
    (wanted, w), (there, w_there) = found
    assert sum(each["retries"] for each in wanted) > 0
    assert sum(each["pulses"] for each in wanted) > 0
    assert wanted == there, (wanted, there)
    assert np.abs(w - w_there).max() < 1e-6


def main() -> None:
    """All of it."""
    check_finding()
    check_bad_weights_are_told_on_leaving()
    check_who_looks_is_told()
    check_cells_of_several_devices()
    check_digital_trainer()
    check_digital_steps()
    check_gradient_written_to()
    check_counters()
    print("agrees")


if __name__ == "__main__":
    main()
