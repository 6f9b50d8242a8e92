"""Whole models of others, wrapped unchanged, against their digital selves with ideal devices."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

import crossgrid as cg

IDEAL = cg.FloatingPointRPUConfig(mapping=cg.MappingParameter(max_input_size=256, max_output_size=256))


def agree(digital: nn.Module, call: object, tolerance: float) -> nn.Module:
    """Convert; outputs and the gradients of all digital parameters must agree; return the analog model.

    A product's rounding errors grow like the root of its terms (at most a few thousand here: 60 x 2^-24)
    and normalisations keep activations near one, so depth times that, generously, is the tolerance, taken
    relative to the largest value.
    """
    analog = cg.convert_to_analog(digital, IDEAL)
    outputs = []
    for model in (digital, analog):
        y = call(model)
        (y * torch.linspace(-1, 1, y.numel()).reshape(y.shape)).mean().backward()
        outputs.append(y.detach())
    scale = outputs[0].abs().max()
    torch.testing.assert_close(outputs[1] / scale, outputs[0] / scale, rtol=0, atol=tolerance)
    theirs = dict(digital.named_parameters())
    for name, parameter in analog.named_parameters():
        if not isinstance(parameter, cg.AnalogContext) and theirs[name].grad is not None:
            size = theirs[name].grad.abs().max().clamp(min=1e-6)
            torch.testing.assert_close(
                parameter.grad / size, theirs[name].grad / size, rtol=0, atol=10 * tolerance, msg=name
            )
    return analog


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.shortcut = (
            nn.Identity()
            if stride == 1 and channels == out
            else nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.shortcut(x))


class ResNet18(nn.Module):
    """He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016, for 32x32 images."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU())
        sizes = [(64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1)]
        self.blocks = nn.Sequential(*(BasicBlock(*s) for s in [*sizes, (256, 512, 2), (512, 512, 1)]))
        self.head = nn.Linear(512, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)).mean(dim=(2, 3)))


def test_resnet18() -> None:
    torch.manual_seed(0)
    digital = ResNet18()
    x = torch.randn(2, 3, 16, 16)
    layers = sum(isinstance(module, (nn.Conv2d, nn.Linear)) for module in digital.modules())
    analog = agree(digital, lambda model: model(x), tolerance=20 * 60 * 2.0**-24)
    assert layers == len(list(analog.analog_layers())) == 21
    assert [type(m) for m in analog.modules() if isinstance(m, (nn.Conv2d, nn.Linear))] == []
    assert isinstance(analog.blocks[2].shortcut[1], nn.BatchNorm2d)
    # running statistics were updated alike, and evaluation uses them
    x = torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(analog.eval()(x), digital.eval()(x), rtol=1e-3, atol=1e-3)


def transformers() -> object:
    return pytest.importorskip("transformers", reason="an extra: pip install 'crossgrid[models]'")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.slow
def test_bert() -> None:
    hf = transformers()
    torch.manual_seed(0)
    config = hf.BertConfig(
        vocab_size=99, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    digital = hf.BertModel(config).train()
    tokens = torch.randint(99, (3, 7))
    call = lambda model: model(input_ids=tokens).last_hidden_state  # noqa: E731
    analog = agree(digital, call, tolerance=16 * 60 * 2.0**-24)
    assert isinstance(analog, hf.BertModel)
    assert sum(1 for _ in analog.analog_layers()) == 2 * 6 + 1  # six a block, and the pooler


@pytest.mark.slow
def test_a_gpt2_block() -> None:
    """Its ``Conv1D`` layers keep their weights as [in, out]."""
    hf = transformers()
    torch.manual_seed(0)
    config = hf.GPT2Config(
        vocab_size=99, n_embd=64, n_layer=1, n_head=4, n_positions=16,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    digital = hf.GPT2Model(config).train()
    tokens = torch.randint(99, (3, 7))
    call = lambda model: model(input_ids=tokens).last_hidden_state  # noqa: E731
    analog = agree(digital, call, tolerance=8 * 60 * 2.0**-24)
    assert isinstance(analog.h[0].attn.c_attn, cg.AnalogLinear)
    assert analog.h[0].attn.c_attn.get_weights()[0].shape == digital.h[0].attn.c_attn.weight.shape
    assert (analog.h[0].attn.c_attn.grid.spec.out_size, analog.h[0].attn.c_attn.grid.spec.in_size) == (
        3 * 64,
        64,
    )
    with torch.no_grad():
        torch.testing.assert_close(call(cg.convert_to_digital(analog)), call(digital), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_gpt2_trains_on_pulsed_tiles_and_is_copied() -> None:
    hf = transformers()
    torch.manual_seed(0)
    config = hf.GPT2Config(
        vocab_size=20, n_embd=32, n_layer=1, n_head=2, n_positions=8, tie_word_embeddings=False
    )
    rpu_config = cg.SingleRPUConfig(device=cg.SoftBoundsDevice())
    analog = cg.convert_to_analog(hf.GPT2LMHeadModel(config), rpu_config, exclude_modules=["lm_head"])
    optimizer = cg.AnalogSGD(analog.parameters(), lr=0.1)
    tokens = torch.arange(8).repeat(4, 1)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = analog(input_ids=tokens, labels=tokens).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert cg.weights_sha256(copy.deepcopy(analog)) == cg.weights_sha256(analog)
