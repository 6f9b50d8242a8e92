"""Torch's contract of modules and parameters: what an analog layer is asked for beside its twin."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.utils._pytree import tree_leaves

import crossgrid as cg


class Twice(nn.Module):
    """A bilinear form of one input."""

    def __init__(self) -> None:
        super().__init__()
        self.form = nn.Bilinear(5, 5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.form(x, x)


class Attends(nn.Module):
    """Self-attention of two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


class Experts(nn.Module):
    """Three experts that are slices of two parameters; every third token goes to the same one."""

    def __init__(self) -> None:
        super().__init__()
        self.gate_up = nn.Parameter(torch.randn(3, 8, 5) / 2)  # [experts, out, in]
        self.down = nn.Parameter(torch.randn(3, 4, 5) / 2)  # [experts, in, out]

    def forward(self, x: Tensor) -> Tensor:
        y = torch.zeros_like(x)
        for expert in range(3):
            gate, up = nn.functional.linear(x[expert::3], self.gate_up[expert]).chunk(2, dim=-1)
            y[expert::3] = (torch.sigmoid(gate) * up) @ self.down[expert]
        return y


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "Linear": (lambda: nn.Linear(5, 4), (3, 5)),
    "Conv1d": (lambda: nn.Conv1d(2, 4, 3, padding=1), (3, 2, 6)),
    "Conv2d": (lambda: nn.Conv2d(4, 4, 3, groups=2), (2, 4, 5, 5)),
    "Conv3d": (lambda: nn.Conv3d(2, 3, 2), (2, 2, 3, 3, 3)),
    "Conv1d, same, circular": (
        lambda: nn.Conv1d(2, 4, 3, padding="same", padding_mode="circular"),
        (3, 2, 6),
    ),
    "Conv2d, reflect": (lambda: nn.Conv2d(2, 4, 3, 2, padding=2, padding_mode="reflect"), (2, 2, 5, 5)),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(2, 4, 3, dilation=2), (3, 2, 6)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 4, 3, 2, 1, 1, groups=2), (2, 4, 3, 3)),
    "ConvTranspose3d": (lambda: nn.ConvTranspose3d(2, 3, 2, stride=2), (2, 2, 2, 2, 2)),
    "RNN": (lambda: nn.RNN(5, 4), (3, 2, 5)),
    "LSTM": (lambda: nn.LSTM(5, 4, bidirectional=True), (3, 2, 5)),
    "GRU": (lambda: nn.GRU(5, 4, num_layers=2, batch_first=True), (2, 3, 5)),
    "RNNCell": (lambda: nn.RNNCell(5, 4), (3, 5)),
    "LSTMCell": (lambda: nn.LSTMCell(5, 4), (3, 5)),
    "GRUCell": (lambda: nn.GRUCell(5, 4), (3, 5)),
    "experts": (Experts, (6, 5)),
}

#: layers that read several inputs, within a model of one
WITHIN: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "bilinear form": (Twice, (3, 5)),
    "attention": (Attends, (2, 3, 4)),
}

CONFIGS: dict[str, Callable[[], Any]] = {
    "exact twin": cg.FloatingPointRPUConfig,
    "perfect inference": lambda: cg.InferenceRPUConfig(forward=cg.IOParameters(is_perfect=True)),
}


def first(output: Any) -> Tensor:
    leaf: Tensor = tree_leaves(output)[0]
    return leaf


def close(analog: Any, twin: Any, tolerance: float = 1e-5) -> None:
    for ours, theirs in zip(tree_leaves(analog), tree_leaves(twin), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def weight_of(layer: nn.Module) -> tuple[str, Tensor]:
    return next(iter(layer.named_parameters()))


def config_of(analog: nn.Module) -> Any:
    return next(module.rpu_config for module in analog.modules() if hasattr(module, "rpu_config"))


def forward(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    close(analog(x), twin(x))


def parameters(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    ours, theirs = dict(analog.named_parameters()), dict(twin.named_parameters())
    assert [*ours] == [*theirs]
    for name, p in theirs.items():
        q = ours[name]
        assert (q.shape, q.dtype, q.device, q.requires_grad) == (p.shape, p.dtype, p.device, p.requires_grad)
        assert isinstance(q, nn.Parameter)
        close(q.detach().clone(), p.detach())


def gradient_of_input(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    found = []
    for layer in (analog, twin):
        read = x.clone().requires_grad_()
        found.append(torch.autograd.grad(first(layer(read)).square().sum(), read))
    close(*found)


def step(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    for layer, steps in ((analog, cg.AnalogSGD), (twin, torch.optim.SGD)):
        optimizer = steps(layer.parameters(), lr=0.1)
        first(layer(x)).square().mean().backward()
        optimizer.step()
    parameters(analog, twin, x)


def copy_in_place(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        for p, q in zip(analog.parameters(), twin.parameters(), strict=True):
            q.mul_(0.5).add_(0.01)
            p.copy_(q)
            p[0] *= 2
            q[0] *= 2
            p.data.add_(0.25)
            q.data.add_(0.25)
    forward(analog, twin, x)


def initialize(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    for layer in (analog, twin):
        nn.init.orthogonal_(weight_of(layer)[1], generator=torch.Generator().manual_seed(1))
    forward(analog, twin, x)


def average(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    averages = [torch.optim.swa_utils.AveragedModel(layer) for layer in (analog, twin)]
    for averaged, layer in zip(averages, (analog, twin), strict=True):
        averaged.update_parameters(layer)
    with torch.no_grad():
        for layer in (analog, twin):
            for p in layer.parameters():
                p.mul_(0.5)
    for averaged, layer in zip(averages, (analog, twin), strict=True):
        averaged.update_parameters(layer)
    close(averages[0](x), averages[1](x))


def deep_copy(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    copied = copy.deepcopy(analog)
    with torch.no_grad():
        weight_of(copied)[1].zero_()
    forward(analog, twin, x)


def pickled(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    forward(pickle.loads(pickle.dumps(analog)), twin, x)
    file = io.BytesIO()
    torch.save(analog, file)
    file.seek(0)
    forward(torch.load(file, weights_only=False), twin, x)


def plain_state(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    state = {name: value.cpu() for name, value in analog.state_dict().items()}
    assert all(type(value) is Tensor for value in state.values())
    assert {*twin.state_dict()} <= {*state}
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    other = cg.convert_to_analog(copy.deepcopy(twin), config_of(analog))
    with torch.no_grad():
        weight_of(other)[1].zero_()
    other.load_state_dict(torch.load(file, weights_only=True))
    assert cg.weights_sha256(other) == cg.weights_sha256(analog)


def digital_checkpoint(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        for p in twin.parameters():
            p.mul_(0.5)
    analog.load_state_dict(twin.state_dict(), strict=True)
    forward(analog, twin, x)


def edited_checkpoint(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    state, name = analog.state_dict(), weight_of(analog)[0]
    state[name] = state[name] * 0.5
    analog.load_state_dict(state)
    with torch.no_grad():
        weight_of(twin)[1].mul_(0.5)
    forward(analog, twin, x)


def cast(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        ours, theirs = copy.deepcopy(analog).to(dtype), copy.deepcopy(twin).to(dtype)
        y, z = ours(x.to(dtype)), theirs(x.to(dtype))
        assert [leaf.dtype for leaf in tree_leaves(y)] == [leaf.dtype for leaf in tree_leaves(z)]
        assert {p.dtype for p in ours.parameters()} == {dtype}
        assert first(cg.convert_to_digital(ours)(x.to(dtype))).dtype is dtype
        close(y, z, 0.05 if dtype.itemsize == 2 else 1e-5)


def frozen(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    analog.requires_grad_(False)
    before = cg.weights_sha256(analog)
    read = x.clone().requires_grad_()
    optimizer = cg.AnalogSGD(analog.parameters(), lr=0.1)
    first(analog(read)).sum().backward()
    optimizer.step()
    assert cg.weights_sha256(analog) == before
    assert read.grad is not None
    assert not any(p.requires_grad for p in cg.convert_to_digital(analog).parameters())


def hooked(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    seen: list[str] = []
    analog.register_forward_pre_hook(lambda *_: seen.append("before"))
    analog.register_forward_hook(lambda *_: seen.append("after"))
    forward(analog, twin, x)
    assert seen == ["before", "after"]


def empty_batch(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    recurrent = isinstance(twin, nn.RNNBase) and not twin.batch_first
    none = x[:, :0] if recurrent else x[:0]
    close(analog(none), twin(none))
    first(analog(none)).sum().backward()


def compiled(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    close(torch.compile(analog, backend="eager")(x), twin(x))


def pruned(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    for layer in (analog, twin):
        prune.l1_unstructured(layer, weight_of(layer)[0], amount=0.5)
    forward(analog, twin, x)


def pruned_for_good(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    for layer in (analog, twin):
        name = weight_of(layer)[0]
        prune.l1_unstructured(layer, name, amount=0.5)
        prune.remove(layer, name)
    forward(analog, twin, x)


class Halved(nn.Module):
    def forward(self, w: Tensor) -> Tensor:
        return w * 0.5


def parametrized(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    for layer in (analog, twin):
        parametrize.register_parametrization(layer, weight_of(layer)[0], Halved(), unsafe=True)
    forward(analog, twin, x)


def functional(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    other = {name: p.detach() * 0.5 for name, p in twin.named_parameters()}
    close(torch.func.functional_call(analog, other, (x,)), torch.func.functional_call(twin, other, (x,)))


def assigned(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    name, weight = weight_of(twin)
    new = nn.Parameter(weight.detach() * 0.5)
    setattr(analog, name, new)
    setattr(twin, name, nn.Parameter(new.detach().clone()))
    forward(analog, twin, x)


def made_a_parameter(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    ours, theirs = (nn.Parameter(weight_of(layer)[1]) for layer in (analog, twin))
    assert isinstance(ours, nn.Parameter)
    close(ours.detach(), theirs.detach())


def normalized(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    for layer in (analog, twin):
        nn.utils.parametrizations.weight_norm(layer, weight_of(layer)[0])
        with torch.no_grad():
            next(p for name, p in layer.named_parameters() if name.endswith("original0")).mul_(0.5)
    forward(analog, twin, x)


def mapped_over(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    torch.vmap(analog)(x.unsqueeze(0))


def traced(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    torch.fx.symbolic_trace(nn.Sequential(analog))


def scripted(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    torch.jit.script(analog)


def exported(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    torch.export.export(analog, (x,))


def complex_input(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    analog(x + 0j)


def nested(analog: nn.Module, twin: nn.Module, x: Tensor) -> None:
    analog(torch.nested.as_nested_tensor([*x]))


PULSED = "another tensor stands in the place of its weight"

#: behaviour -> what is done, what the exact twin refuses it with, what inference does ("" = as torch)
BEHAVIOURS: dict[str, tuple[Callable[..., None], str, str]] = {
    "forward": (forward, "", ""),
    "parameters: names, order, shapes, types, values": (parameters, "", ""),
    "gradient of the input alone": (gradient_of_input, "", ""),
    "one step of SGD": (step, "", ""),
    "copy_, indexing, .data in place": (copy_in_place, "", ""),
    "nn.init on the weight": (initialize, "", ""),
    "AveragedModel": (average, "", ""),
    "deepcopy": (deep_copy, "", ""),
    "pickle, torch.save(model)": (pickled, "", ""),
    "state_dict of tensors, weights_only": (plain_state, "", ""),
    "digital checkpoint, strict": (digital_checkpoint, "", ""),
    "checkpoint with an edited weight": (edited_checkpoint, "", ""),
    "bfloat16, float16, float64": (cast, "", ""),
    "frozen": (frozen, "", ""),
    "forward hooks": (hooked, "", ""),
    "empty batch": (empty_batch, "", ""),
    "torch.compile (breaks its graph)": (compiled, "", ""),
    "pruning, while it computes the weight": (pruned, PULSED, ""),
    "pruning, made permanent": (pruned_for_good, "", ""),
    "parametrization": (parametrized, PULSED, ""),
    "functional_call": (functional, PULSED, ""),
    "assigning a parameter": (assigned, "a parameter cannot take the place", ""),
    "nn.Parameter(layer.weight)": (made_a_parameter, "nn.Parameter .* cannot be made of", ""),
    "weight normalization": (normalized, "nn.Parameter .* cannot be made of", ""),
    "vmap, torch.func": (mapped_over, "torch.func's transforms", "torch.func's transforms"),
    "torch.fx": (traced, "torch.fx cannot look", "torch.fx cannot look"),
    "torch.jit": (scripted, "torch.jit.script cannot look", "torch.jit.script cannot look"),
    "torch.export": (exported, "torch.export and fake tensors", "torch.export and fake tensors"),
    "nested tensor": (nested, "a nested tensor", "a nested tensor"),
    "complex input": (complex_input, "an input of complex numbers", "an input of complex numbers"),
}
