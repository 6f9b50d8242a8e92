"""Micro-batches in flight change when things happen, never a bit of the result."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

import crossgrid as cg

CONFIG = cg.SingleRPUConfig(mapping=cg.MappingParameter(max_output_size=12, max_input_size=16))


class Branching(nn.Module):
    """Not a sequence: two paths that meet, and one layer that is read twice."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(20, 14)
        self.right = nn.Linear(20, 14)
        self.again = nn.Linear(14, 14)
        self.out = nn.Linear(14, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.tanh(self.left(x)) * torch.sigmoid(self.right(x))
        h = torch.tanh(self.again(h))
        return self.out(torch.tanh(self.again(h)) + h)


def built(digital: nn.Module | None = None) -> nn.Module:
    torch.manual_seed(3)
    return cg.convert_to_analog(digital or Branching(), CONFIG)


X = torch.linspace(-1, 1, 24 * 20).reshape(24, 20)
Y = torch.arange(24) % 3


def inferred(**where: object) -> torch.Tensor:
    depth = where.pop("depth", 2)
    with cg.emulate(built(), **where) as running:
        return running.infer(X, micro_batch=5, depth=depth)


@pytest.fixture(scope="module")
def one_after_another() -> torch.Tensor:
    return inferred(depth=1)


@pytest.mark.parametrize("depth", [2, 4])
def test_depth_never_changes_a_bit(one_after_another: torch.Tensor, depth: int) -> None:
    assert torch.equal(inferred(depth=depth), one_after_another)


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.usefixtures("ray_session")
def test_nor_does_it_on_actors(one_after_another: torch.Tensor, depth: int) -> None:
    assert torch.equal(inferred(backend="ray", tiles_per_actor=4, depth=depth), one_after_another)


def test_infer_is_the_model_itself(one_after_another: torch.Tensor) -> None:
    """The same noise as plain forward passes of the same micro-batches, and the mode is left alone."""
    model = built()
    with torch.no_grad():
        expected = torch.cat([model.eval()(part) for part in X.split(5)])
    assert torch.equal(one_after_another, expected)
    with cg.emulate(model.train()) as running:
        loader = [(part, None) for part in X.split(10)]
        assert running.infer(loader, micro_batch=4).shape == (24, 3)
    assert model.training


def stepped(micro_batches: int, **where: object) -> tuple[str, float, torch.Tensor]:
    model = built()
    optimizer = cg.AnalogSGD(model.parameters(), lr=0.1)
    with cg.emulate(model, **where) as running:
        for _ in range(2):
            loss = running.train_step(X, Y, nn.CrossEntropyLoss(), optimizer, micro_batches)
    return cg.weights_sha256(model), loss, model.out.bias.detach()


def test_a_train_step_of_one_micro_batch_is_the_plain_step() -> None:
    model = built()
    optimizer = cg.AnalogSGD(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(X), Y)
        loss.backward()
        optimizer.step()
    sha256, mean_loss, bias = stepped(1)
    assert sha256 == cg.weights_sha256(model)
    assert mean_loss == pytest.approx(loss.item(), rel=1e-6)
    assert torch.equal(bias, model.out.bias.detach())


@pytest.mark.usefixtures("ray_session")
def test_train_steps_on_actors_have_the_bits_of_local() -> None:
    expected = stepped(4)
    again = stepped(4)
    actors = stepped(4, backend="ray", tiles_per_actor=5)
    for other in (again, actors):
        assert other[0] == expected[0]
        assert other[1] == expected[1]
        assert torch.equal(other[2], expected[2])


def test_the_mean_loss_weighs_micro_batches_by_size() -> None:
    """24 samples in 5 micro-batches: four of 5 and one of 4. A perfect layer shows the exact mean."""
    torch.manual_seed(0)
    model = cg.convert_to_analog(nn.Linear(20, 3), cg.FloatingPointRPUConfig())
    expected = nn.functional.cross_entropy(model(X), Y).item()
    with cg.emulate(model) as running:
        loss = running.train_step(X, Y, nn.CrossEntropyLoss(), cg.AnalogSGD(model.parameters(), lr=0.0), 5)
    assert loss == pytest.approx(expected, rel=1e-6)


def test_a_model_that_draws_random_numbers_keeps_its_order() -> None:
    """Dropout draws from torch's generator: its micro-batches run one after another, and repeat."""

    def run() -> str:
        torch.manual_seed(9)
        model = built(nn.Sequential(nn.Linear(20, 14), nn.Dropout(0.5), nn.Linear(14, 3)))
        with cg.emulate(model) as running:
            running.train_step(X, Y, nn.CrossEntropyLoss(), cg.AnalogSGD(model.parameters(), lr=0.1), 4)
        return cg.weights_sha256(model)

    assert run() == run()


def test_an_error_in_one_micro_batch_ends_all() -> None:
    bad = X.clone()
    bad[13, 0] = float("nan")
    with cg.emulate(built()) as running, pytest.raises(cg.InputError, match="NaN or infinite"):
        running.infer(bad, micro_batch=4, depth=3)


@pytest.mark.parametrize("name", ["micro_batch", "depth"])
def test_sizes_are_checked(name: str) -> None:
    with cg.emulate(built()) as running, pytest.raises(cg.ConfigError, match=f"{name} = 0 must be"):
        running.infer(X, **{name: 0})


def test_the_first_read_leaves_torch_its_threads() -> None:
    """Torch's sums follow its threads: the first run of a process has the bits of the second."""
    program = """
import torch
import crossgrid as cg
torch.set_num_threads(1)
model = cg.convert_to_analog(torch.nn.Linear(8, 4), cg.InferenceRPUConfig())
with cg.emulate(model) as running:
    running.infer(torch.rand(3, 8))
    assert torch.get_num_threads() == 1, torch.get_num_threads()
"""
    subprocess.run([sys.executable, "-c", program], check=True)
