"""Cases of use: what torch's users do to models, steps and runs, with the numbers that must come out."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import rnn
from torch.utils._pytree import tree_leaves

import crossgrid as cg

EXACT = cg.FloatingPointRPUConfig
#: sums of some twenty products of magnitude one, each rounded to 2^-24, over at most ten layers and steps
ROUNDING = 1e-5


def perfect(**more: Any) -> cg.InferenceRPUConfig:
    return cg.InferenceRPUConfig(forward=cg.IOParameters(is_perfect=True), **more)


def close(a: Any, b: Any, tolerance: float = ROUNDING) -> None:
    for ours, theirs in zip(tree_leaves(a), tree_leaves(b), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


CRITERIA: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": nn.CrossEntropyLoss(),
    "class weights": nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0, 0.1])),
    "sum": nn.CrossEntropyLoss(reduction="sum"),
    "norm of all outputs": lambda y, _: y.square().sum().sqrt(),
}


@pytest.mark.case("F07")
@pytest.mark.parametrize("micro_batches", [2, 3])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_step_in_micro_batches_is_the_step_of_the_batch(criterion: str, micro_batches: int) -> None:
    """The loss and the weights of torch's own step over the whole batch."""
    x = torch.randn(8, 20, generator=torch.Generator().manual_seed(3))
    y = torch.tensor([-100, -100, -100, 0, 1, 2, 1, 0])
    torch.manual_seed(0)
    digital = nn.Sequential(nn.Linear(20, 30), nn.Tanh(), nn.Linear(30, 3))
    analog = cg.convert_to_analog(digital, EXACT())
    steps = torch.optim.SGD(digital.parameters(), lr=0.1)
    expected = CRITERIA[criterion](digital(x), y)
    expected.backward()
    steps.step()
    with cg.emulate(analog) as run:
        optimizer = cg.AnalogSGD(analog.parameters(), lr=0.1)
        loss = run.train_step(x, y, CRITERIA[criterion], optimizer, micro_batches=micro_batches)
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    close(analog[0].get_weights()[0], digital[0].weight.detach())


@pytest.mark.case("F07")
@pytest.mark.parametrize("frozen", [False, True])
def test_batch_statistics_over_micro_batches_are_refused(frozen: bool) -> None:
    """Another function, unless the statistics are frozen: then a step is that of the whole batch."""
    torch.manual_seed(0)
    digital = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4))
    model = cg.convert_to_analog(digital, EXACT())
    model[1].train(not frozen)
    with cg.emulate(model) as run:
        optimizer = cg.AnalogSGD(model.parameters(), lr=0.1)
        arguments = torch.randn(6, 5), torch.randn(6, 4), nn.MSELoss(), optimizer
        if frozen:
            run.train_step(*arguments, micro_batches=2)
            digital[1].eval()
            nn.MSELoss()(digital(arguments[0]), arguments[1]).backward()
            torch.optim.SGD(digital.parameters(), lr=0.1).step()
            for name, p in digital.named_parameters():
                held = dict(model.named_parameters())[name].detach()
                torch.testing.assert_close(held.clone(), p.detach(), rtol=1e-5, atol=1e-6)
            return
        with pytest.raises(cg.ConfigError, match=r"^1: batch normalisation over 2"):
            run.train_step(*arguments, micro_batches=2)


@pytest.mark.case("F13")
@pytest.mark.parametrize("sort", [True, False])
@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("both_ways", [False, True])
def test_packed_sequences_are_read_as_torch_reads_them(kind: type, both_ways: bool, sort: bool) -> None:
    """Outputs, last states, input gradients and one step."""
    torch.manual_seed(0)
    digital = kind(3, 4, num_layers=2, bidirectional=both_ways)
    analog = cg.convert_to_analog(digital, EXACT())
    lengths = [5, 2, 1] if sort else [2, 5, 1]
    found = []
    for model, steps in ((digital, torch.optim.SGD), (analog, cg.AnalogSGD)):
        data = [torch.randn(n, 3, generator=torch.Generator().manual_seed(n)) for n in lengths]
        read = [part.requires_grad_() for part in data]
        optimizer = steps(model.parameters(), lr=0.1)
        packed, state = model(rnn.pack_sequence(read, enforce_sorted=sort))
        padded, counts = rnn.pad_packed_sequence(packed)
        (padded.square().sum() + sum(part.square().sum() for part in tree_leaves(state))).backward()
        optimizer.step()
        weights = [p.detach().clone() for p in model.parameters()]
        found.append([padded.detach(), counts, state, [part.grad for part in read], weights])
    close(found[1], found[0], 1e-4)


@pytest.mark.case("F15")
@pytest.mark.parametrize("make", [EXACT, perfect])
@pytest.mark.parametrize("first", [False, True])
def test_an_encoder_layer_reads_its_tiles_in_evaluation_too(make: Callable[[], Any], first: bool) -> None:
    """Torch's fused kernel would read weights past the modules."""
    torch.manual_seed(0)
    digital = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0, norm_first=first)
    analog, x = cg.convert_to_analog(digital, make()), torch.randn(2, 5, 8)
    for mode in (True, False):
        close(analog.train(mode)(x), digital.train(mode)(x))
    analog.linear1.set_weights(torch.zeros(16, 8), torch.zeros(16))
    with torch.no_grad():
        digital.linear1.weight.zero_()
        digital.linear1.bias.zero_()
        close(analog.eval()(x), digital.eval()(x))


@pytest.mark.case("F15")
def test_the_weight_is_read_as_a_tensor() -> None:
    """In torch's functions; its gradient is refused with the way out."""
    layer, x = cg.AnalogLinear(8, 3, rpu_config=EXACT()), torch.randn(2, 8, requires_grad=True)
    y = nn.functional.linear(x, layer.weight)
    close(y, x @ layer.get_weights()[0].t())
    assert layer.weight.norm().item() == pytest.approx(layer.get_weights()[0].norm().item())
    with pytest.raises(cg.ConfigError, match=r"pulsed devices cannot follow.*layer\.weight\.detach"):
        y.sum().backward()
    x.grad = None
    nn.functional.linear(x, layer.weight.detach()).sum().backward()
    close(x.grad, layer.get_weights()[0].sum(0).expand(2, 8))


@pytest.mark.case("F16")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_model_computes_in_its_own_type(dtype: torch.dtype) -> None:
    """Converted, moved, back to digital, and saved by a run."""
    model = nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6), nn.Linear(6, 3)).to(dtype)
    x = torch.randn(2, 5, dtype=dtype)
    analog = cg.convert_to_analog(model, EXACT())
    assert analog[0](x).dtype is analog(x).dtype is cg.convert_to_digital(analog)(x).dtype is dtype
    moved = cg.convert_to_analog(nn.Sequential(nn.Linear(5, 6)), perfect()).to(dtype)
    assert cg.convert_to_digital(moved)(x).dtype is dtype


@pytest.mark.case("F21")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_run_of_any_type_is_saved_and_restored(dtype: torch.dtype, tmp_path: Any) -> None:
    model = cg.convert_to_analog(nn.Sequential(nn.Linear(5, 3)), EXACT()).to(dtype)
    x = torch.randn(2, 5, dtype=dtype)
    with cg.emulate(model, chip="demo-128") as run:
        expected = model(x)
        run.save(tmp_path)
    other = cg.convert_to_analog(nn.Sequential(nn.Linear(5, 3)), EXACT()).to(dtype)
    with cg.restore(tmp_path, other):
        assert torch.equal(other(x), expected)


def _copies(model: nn.Module) -> list[nn.Module]:
    return [copy.deepcopy(model), pickle.loads(pickle.dumps(model)), cg.convert_to_digital(model)]


@pytest.mark.case("F17", "F18")
@pytest.mark.parametrize("make", [EXACT, perfect])
@pytest.mark.parametrize("backend", ["local", "ray"])
def test_copies_inside_an_emulation_are_their_own(
    make: Callable[[], Any], backend: str, request: pytest.FixtureRequest
) -> None:
    """They hold what the model holds, in this process, and nothing of the run."""
    if backend == "ray":
        request.getfixturevalue("ray_session")
    model, x = cg.convert_to_analog(nn.Sequential(nn.Linear(5, 3)), make()), torch.randn(2, 5)
    with cg.emulate(model, chip="demo-128", backend=backend) as run:
        expected = model(x)
        copies = _copies(model)
        with torch.no_grad():
            model[0].weight.zero_()
        samples = run.totals.samples
        for copied in copies:
            close(copied(x), expected)
        assert run.totals.samples == samples
    for copied in copies:
        close(copied(x), expected)


@pytest.mark.case("F19")
def test_flattening_parameters_does_nothing() -> None:
    layer, x = cg.convert_to_analog(nn.LSTM(3, 4), EXACT()), torch.randn(5, 2, 3)
    expected = layer(x)
    layer.flatten_parameters()
    close(layer(x), expected)
    assert [[tuple(p.shape) for p in each] for each in layer.all_weights] == [
        [(16, 3), (16, 4), (16,), (16,)]
    ]


@pytest.mark.case("F20")
@pytest.mark.parametrize("make", [EXACT, perfect])
def test_state_is_plain_and_loads_with_the_same_bits(make: Callable[[], Any]) -> None:
    """Tensors under torch's names."""
    model = cg.convert_to_analog(nn.Sequential(nn.Linear(3, 2)), make())
    kept = {name: value.cpu().clone() for name, value in model.state_dict().items()}
    assert [*kept] == ["0.weight", "0.bias", "0.analog_tile.state"]
    assert {type(value) for value in kept.values()} == {Tensor}
    model[0].set_weights(np.zeros((2, 3), np.float32), np.zeros(2, np.float32))
    model.load_state_dict(kept)
    assert torch.equal(model[0].get_weights()[0], kept["0.weight"])


@dataclass
class Output:
    logits: Tensor
    extra: dict[str, Any]


class Several(nn.Module):
    """A model whose output is no tensor."""

    def __init__(self, wrap: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.out, self.wrap = nn.Linear(4, 3), wrap

    def forward(self, x: Tensor) -> Any:
        return self.wrap(self.out(x))


WRAPS: dict[str, Callable[[Tensor], Any]] = {
    "tuple": lambda y: (y, y * 2),
    "dict": lambda y: {"logits": y, "more": [y + 1]},
    "dataclass": lambda y: Output(y, {"double": 2 * y}),
}


@pytest.mark.case("F24")
@pytest.mark.parametrize("wrap", WRAPS)
def test_outputs_in_any_wrapping_are_joined(wrap: str) -> None:
    """By infer, and by train_step before the criterion."""
    model, x = cg.convert_to_analog(Several(WRAPS[wrap]), EXACT()), torch.randn(5, 4)
    leaves = lambda value: tree_leaves(vars(value) if isinstance(value, Output) else value)  # noqa: E731
    with cg.emulate(model) as run:
        found, expected = run.infer(x, micro_batch=2), model(x)
        assert type(found) is type(expected)
        close(leaves(found), leaves(expected))
        optimizer = cg.AnalogSGD(model.parameters(), lr=0.1)
        loss = run.train_step(x, None, lambda y, _: sum(v.mean() for v in leaves(y)), optimizer, 2)
    assert loss == pytest.approx(sum(v.mean().item() for v in leaves(expected)), abs=1e-5)


@pytest.mark.case("F24")
def test_states_of_recurrent_networks_are_joined_along_their_samples() -> None:
    model, x = cg.convert_to_analog(nn.LSTM(4, 5, batch_first=True), EXACT()), torch.randn(5, 3, 4)
    with cg.emulate(model) as run:
        close(run.infer(x, micro_batch=2), model(x))
        deep = cg.convert_to_analog(nn.LSTM(4, 5, num_layers=2, batch_first=True), EXACT())
    with cg.emulate(deep) as run, pytest.raises(cg.ConfigError, match="two axes of 2 samples"):
        run.infer(x[:4], micro_batch=2)


@pytest.mark.case("F29")
def test_inference_leaves_every_module_in_its_mode() -> None:
    layers = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Dropout(), nn.Linear(6, 3))
    model = cg.convert_to_analog(layers, EXACT()).train()
    model[1].eval()
    with cg.emulate(model) as run:
        run.infer(torch.randn(8, 5))
    assert [module.training for module in model] == [True, False, True, True]


@pytest.mark.case("S2")
def test_a_bias_is_taken_as_it_is() -> None:
    """Where there is none, or of another size, it is refused; arrays are weights too."""
    with pytest.raises(cg.ConfigError, match="has no bias; build it with bias=True"):
        cg.AnalogLinear(2, 3, bias=False).set_weights(torch.zeros(3, 2), torch.zeros(3))
    with pytest.raises(cg.ConfigError, match=r"a bias of shape \(1,\) cannot be set"):
        cg.AnalogLinear(2, 3).set_weights(torch.zeros(3, 2), torch.zeros(1))
    layer = cg.AnalogLinear(2, 3, rpu_config=EXACT())
    layer.set_weights(np.ones((3, 2)), np.ones(3))
    close(layer(torch.ones(1, 2)), torch.full((1, 3), 3.0))


ATTENTION: dict[str, tuple[dict[str, Any], list[tuple[int, ...]], dict[str, Any]]] = {
    "of itself": ({}, [(5, 3, 8)], {}),
    "learned and zero keys": (
        {"batch_first": True, "add_bias_kv": True, "add_zero_attn": True}, [(3, 5, 8)],
        {"average_attn_weights": False},
    ),
    "of others": ({"kdim": 6, "vdim": 4}, [(5, 3, 8), (7, 3, 6), (7, 3, 4)], {"need_weights": False}),
    "masked": ({"batch_first": True}, [(3, 5, 8)], {"attn_mask": torch.ones(5, 5, dtype=torch.bool).triu(1)}),
    "padded": (
        {}, [(5, 2, 8)], {"key_padding_mask": torch.tensor([[False] * 5, [False] * 3 + [True] * 2])},
    ),
    "causal": (
        {}, [(5, 3, 8)],
        {"attn_mask": torch.ones(5, 5, dtype=torch.bool).triu(1), "is_causal": True, "need_weights": False},
    ),
    "no bias, no batch": ({"bias": False}, [(5, 8)], {}),
}  # fmt: skip


@pytest.mark.case("F27")
@pytest.mark.parametrize("make", [EXACT, perfect])
@pytest.mark.parametrize("case", ATTENTION)
def test_attention_on_tiles_is_torchs(case: str, make: Callable[[], Any]) -> None:
    """Results, weights, gradients of the inputs, and a training step; and back to digital."""
    sizes, shapes, how = ATTENTION[case]
    torch.manual_seed(0)
    digital = nn.MultiheadAttention(8, 2, **sizes)
    analog = cg.convert_to_analog(copy.deepcopy(digital), make())
    found = []
    for model, steps in ((digital, torch.optim.SGD), (analog, cg.AnalogSGD)):
        inputs = [torch.randn(s, generator=torch.Generator().manual_seed(len(s))) for s in shapes]
        read = [x.requires_grad_() for x in inputs] * (3 if len(inputs) == 1 else 1)
        optimizer = steps(model.parameters(), lr=0.01)
        y, weights = model(*read, **how)
        y.square().sum().backward()
        optimizer.step()
        parameters = [p.detach().clone() for p in model.parameters()]
        found.append([y.detach(), weights, [x.grad for x in read], parameters])
    close(found[1], found[0], 1e-4)
    close([*cg.convert_to_digital(analog).parameters()], [*analog.parameters()], 1e-6)
