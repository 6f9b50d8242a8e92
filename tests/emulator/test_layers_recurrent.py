"""Recurrent layers on ideal tiles against torch's own, and the same bits wherever their tiles live."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import crossgrid as cg

INPUTS, HIDDEN, STEPS, BATCH = 5, 4, 6, 3
KINDS = {
    "rnn": lambda **more: nn.RNN(INPUTS, HIDDEN, **more),
    "relu": lambda **more: nn.RNN(INPUTS, HIDDEN, nonlinearity="relu", **more),
    "lstm": lambda **more: nn.LSTM(INPUTS, HIDDEN, **more),
    "gru": lambda **more: nn.GRU(INPUTS, HIDDEN, **more),
}
SHAPES = {
    "plain": {},
    "two layers, both ways": {"num_layers": 2, "bidirectional": True},
    "batch first, no bias": {"batch_first": True, "bias": False},
}
#: every gate adds up to 2 HIDDEN + HIDDEN products and two biases of magnitude about one, each rounded to
#: 2^-24; an error passes on with a factor of at most about one a step and layer (|slope of tanh| <= 1,
#: |W| < 1/2), so at most the errors of all steps and layers add up
TOLERANCE = 2 * STEPS * (3 * HIDDEN + 2) * 2.0**-24
#: a gradient of a sum over all outputs is that of STEPS x BATCH x 2 HIDDEN such values
GRADIENT_TOLERANCE = TOLERANCE * STEPS * BATCH * 2


def ideal(size: int = 512) -> cg.FloatingPointRPUConfig:
    mapping = cg.MappingParameter(max_output_size=size, max_input_size=size)
    return cg.FloatingPointRPUConfig(mapping=mapping)


def flat(result: object) -> list[torch.Tensor]:
    output, state = result
    return [output, *(state if isinstance(state, tuple) else (state,))]


@pytest.mark.parametrize("size", [512, 3])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_an_ideal_network_is_the_torch_network(kind: str, shape: str, size: int) -> None:
    """Outputs, last states, input gradients and one step of SGD, cut into tiles or not."""
    torch.manual_seed(0)
    digital = KINDS[kind](**SHAPES[shape])
    analog = cg.convert_to_analog(digital, ideal(size))
    x = torch.randn(STEPS, BATCH, INPUTS)
    x = x.transpose(0, 1) if digital.batch_first else x
    inputs, weights = [], []
    for model, optimizer in (
        (digital, torch.optim.SGD(digital.parameters(), lr=0.1)),
        (analog, cg.AnalogSGD(analog.parameters(), lr=0.1)),
    ):
        read = x.clone().requires_grad_()
        parts = flat(model(read))
        loss = sum((part * torch.linspace(-1, 1, part.numel()).reshape(part.shape)).sum() for part in parts)
        loss.backward()
        optimizer.step()
        inputs.append((*[part.detach() for part in parts], read.grad))
        weights.append(dict(cg.convert_to_digital(model).named_parameters()) if model is analog else
                       dict(model.named_parameters()))  # fmt: skip
    for theirs, ours in zip(inputs[0][:-1], inputs[1][:-1], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(inputs[1][-1], inputs[0][-1], rtol=0, atol=GRADIENT_TOLERANCE)
    assert weights[0].keys() == weights[1].keys()
    for key, theirs in weights[0].items():
        torch.testing.assert_close(weights[1][key], theirs, rtol=0, atol=0.1 * GRADIENT_TOLERANCE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_given_state_and_a_sequence_without_batch(kind: str) -> None:
    torch.manual_seed(1)
    digital = KINDS[kind](num_layers=2)
    analog = cg.convert_to_analog(digital, ideal())
    x = torch.randn(STEPS, INPUTS)
    state: object = torch.randn(2, HIDDEN)
    if kind == "lstm":
        state = (state, torch.randn(2, HIDDEN))
    for ours, theirs in zip(flat(analog(x, state)), flat(digital(x, state)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=TOLERANCE)


def test_dropout_acts_between_layers_while_training() -> None:
    """With everything dropped the second layer reads zeros, so its output does not depend on the input."""
    layer = cg.AnalogGRU(INPUTS, HIDDEN, num_layers=2, dropout=1.0, rpu_config=ideal())
    a, b = torch.randn(2, STEPS, BATCH, INPUTS)
    assert torch.equal(layer(a)[0], layer(b)[0])
    layer.eval()
    assert not torch.equal(layer(a)[0], layer(b)[0])


def test_input_is_read_once_and_the_state_once_a_step() -> None:
    """STEPS x BATCH vectors through either matrix; the update pulses the devices for all of them."""
    layer = cg.AnalogLSTM(INPUTS, HIDDEN)
    optimizer = cg.AnalogSGD(layer.parameters(), lr=0.1)
    layer(torch.randn(STEPS, BATCH, INPUTS))[0].sum().backward()
    optimizer.step()
    for kind in ("ih", "hh"):
        ticks = layer.matrix(kind, 0).grid.ticks
        assert ticks.forward == ticks.update == STEPS * BATCH
    assert layer.matrix("hh", 0).grid.ticks.backward == (STEPS - 1) * BATCH  # the first state needs none
    assert layer.matrix("hh", 0).grid.spec.out_size == 4 * HIDDEN


def test_a_seed_gives_every_matrix_a_key_of_its_own() -> None:
    def keys(seed: int) -> list[int]:
        layer = cg.AnalogGRU(INPUTS, HIDDEN, bidirectional=True, seed=seed)
        return [matrix.grid.spec.key for matrix in layer.children()]

    assert keys(3) == keys(3)
    assert len({*keys(3), *keys(4)}) == 8


def trained(backend: str) -> tuple[str, list[float]]:
    torch.manual_seed(2)
    model = nn.ModuleDict({"lstm": nn.LSTM(INPUTS, HIDDEN, bidirectional=True), "out": nn.Linear(8, 2)})
    config = cg.SingleRPUConfig(mapping=cg.MappingParameter(max_output_size=8, max_input_size=8))
    analog = cg.convert_to_analog(model, config)
    optimizer = cg.AnalogSGD(analog.parameters(), lr=0.1)
    losses = []
    with cg.emulate(analog, backend=backend, tiles_per_actor=3):
        for x in torch.randn(3, STEPS, BATCH, INPUTS):
            optimizer.zero_grad()
            loss = analog["out"](analog["lstm"](x)[0]).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return cg.weights_sha256(analog), losses


@pytest.mark.usefixtures("ray_session")
def test_training_has_the_same_bits_on_both_backends() -> None:
    local = trained("local")
    assert trained("local") == local
    assert trained("ray") == local


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: cg.AnalogLSTM(0, 3), "input_size = 0 must be at least 1"),
        (lambda: cg.AnalogGRU(3, 3, dropout=1.5), r"dropout = 1.5 must be in \[0, 1\]"),
        (lambda: cg.AnalogRNN(3, 3, nonlinearity="gelu"), "nonlinearity = 'gelu' must be 'tanh' or 'relu'"),
        (lambda: cg.AnalogGRU(3, 4, proj_size=2), "proj_size = 2 must be 0 or, of an LSTM, below"),
    ],
)
def test_what_cannot_be_built_says_so(make: object, words: str) -> None:
    with pytest.raises(cg.ConfigError, match=words):
        make()


def test_what_cannot_be_read_says_so() -> None:
    layer = cg.AnalogGRU(INPUTS, HIDDEN)
    x = torch.randn(STEPS, BATCH, INPUTS)
    with pytest.raises(cg.InputError, match="5 features wide"):
        layer(x[..., :4])
    with pytest.raises(cg.InputError, match=r"1 of shape \(1, 3, 4\)"):
        layer(x, torch.zeros(1, 2, HIDDEN))
    with pytest.raises(cg.InputError, match="5 features wide"):
        layer(nn.utils.rnn.pack_sequence([x[:, 0, :4]]))
