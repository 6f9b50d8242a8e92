"""Transposed convolutions, borders and cells beyond what every layer is asked; whole transformers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import crossgrid as cg

EXACT = cg.FloatingPointRPUConfig()


def beside(digital: nn.Module, *inputs: object, **named: object) -> tuple[Tensor, Tensor]:
    """What a module and its exact twin make of the same inputs."""
    return cg.convert_to_analog(digital, EXACT)(*inputs, **named), digital(*inputs, **named)


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("size", [[9, 10], [10, 11]])
def test_the_size_that_a_stride_leaves_open(size: list[int]) -> None:
    torch.manual_seed(0)
    close(*beside(nn.ConvTranspose2d(2, 3, (3, 2), (2, 3), (1, 1)), torch.randn(2, 2, 5, 4), size))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: cg.AnalogConv2d(1, 1, 3, padding="full"), "padding 'full'"),
        (lambda: cg.AnalogConv2d(1, 1, 3, padding_mode="mirror"), "padding_mode 'mirror'"),
        (lambda: cg.AnalogConv2d(1, 1, 3, 2, padding="same"), "'same' with stride"),
        (lambda: cg.AnalogConvTranspose1d(1, 1, 3, 2, output_padding=2), "must be below stride or dilation"),
        (lambda: cg.AnalogConvTranspose1d(3, 4, 3, groups=2), "groups = 2 must divide"),
        (lambda: cg.AnalogBilinear(0, 1, 1), "at least 1"),
        (lambda: cg.AnalogLSTMCell(1, 0), "hidden_size = 0 must be at least 1"),
        (lambda: cg.AnalogRNNCell(1, 1, nonlinearity="sigmoid"), "must be 'tanh' or 'relu'"),
    ],
)
def test_what_cannot_be_built_is_said_in_one_line(make: Callable[[], nn.Module], words: str) -> None:
    with pytest.raises((cg.ConfigError, cg.UnknownNameError), match=words) as told:
        make()
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("layer", "inputs", "words"),
    [
        (cg.AnalogConvTranspose1d(2, 3, 3, 2), ((1, 2, 4), [12]), "not between"),
        (cg.AnalogConvTranspose1d(2, 3, 3, padding=3), ((1, 2, 2),), "less padding"),
        (cg.AnalogConvTranspose1d(2, 3, 3), ((1, 3, 4),), "2 channels"),
        (cg.AnalogLSTMCell(2, 3), ((4, 2), torch.zeros(4, 3)), "2 of"),
        (cg.AnalogGRUCell(2, 3), ((4, 3),), "2 features"),
        (cg.AnalogBilinear(2, 3, 4), ((5, 2), torch.zeros(4, 3)), "otherwise alike"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(layer: nn.Module, inputs: tuple, words: str) -> None:
    with pytest.raises(cg.InputError, match=words) as told:
        layer(torch.zeros(inputs[0]), *inputs[1:])
    assert len(str(told.value).splitlines()) == 1


def test_a_cell_walks_as_its_layer_does() -> None:
    torch.manual_seed(0)
    cell, x = nn.LSTMCell(3, 4), torch.randn(5, 2, 3)
    layer = nn.LSTM(3, 4)
    layer.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
    analog, state = cg.convert_to_analog(cell, EXACT), None
    outputs = []
    for step in x:
        state = analog(step, state)
        outputs.append(state[0])
    close(torch.stack(outputs), layer(x)[0])


@pytest.mark.parametrize("mode", ["training", "evaluation"])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.filterwarnings("ignore:enable_nested_tensor", "ignore:The PyTorch API of nested tensors")
def test_a_transformer_is_whole(batch_first: bool, norm_first: bool, mode: str) -> None:
    """In evaluation torch has a path of its own past the modules, which analog weights keep it off.

    That path gives zeros where a mask says that nothing is read.
    """
    torch.manual_seed(0)
    like = {"dropout": 0.0, "batch_first": batch_first, "norm_first": norm_first}
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, **like), 2).train(mode == "training")
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16, **like), 2).train(mode == "training")
    x = torch.randn((3, 5, 8) if batch_first else (5, 3, 8))
    padding = torch.zeros(3, 5, dtype=torch.bool)
    padding[0, 3:] = True
    causal = nn.Transformer.generate_square_subsequent_mask(5)
    read = (~padding if batch_first else ~padding.T).unsqueeze(-1)
    with torch.set_grad_enabled(mode == "training"):
        close(*(y * read for y in beside(encoder, x, src_key_padding_mask=padding)))
        close(*beside(encoder, x, mask=causal, is_causal=True))
        close(*beside(decoder, x, x, tgt_mask=causal, tgt_is_causal=True, memory_key_padding_mask=padding))


@pytest.mark.parametrize("lengths", [[4, 2, 1], [1, 4, 2]], ids=["sorted", "unsorted"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.RNN(3, 4, 2, bidirectional=True),
        lambda: nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2, batch_first=True),
        lambda: nn.GRU(3, 4, 3, dropout=0.5),
    ],
    ids=["RNN", "LSTM", "GRU"],
)
def test_packed_sequences(make: Callable[[], nn.RNNBase], lengths: list[int]) -> None:
    torch.manual_seed(0)
    digital = make().eval()  # dropout draws for whole layers, in an order that no twin can share
    sequences = [torch.randn(length, 3) for length in lengths]
    packed = nn.utils.rnn.pack_sequence(sequences, enforce_sorted=lengths == sorted(lengths, reverse=True))
    analog = cg.convert_to_analog(digital, EXACT)
    (ours, our_state), (theirs, their_state) = analog(packed), digital(packed)
    close(ours.data, theirs.data)
    assert torch.equal(ours.batch_sizes, theirs.batch_sizes)
    pairs = (
        zip(our_state, their_state, strict=True)
        if isinstance(our_state, tuple)
        else [(our_state, their_state)]
    )
    for one, other in pairs:
        close(one, other)
