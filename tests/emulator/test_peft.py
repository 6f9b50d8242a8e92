"""Adapters of low rank beside analog weights that stay as they are: the PEFT library on a converted Llama."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import crossgrid as cg

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Unsupported layer type:UserWarning"),  # said of any custom module
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),  # PEFT asks
]

TOKENS = torch.arange(24).reshape(2, 12) * 7 % 100
ADAPTED = ("q_proj", "v_proj")


def peft() -> Any:
    """The library itself: loading it takes seconds, which collecting these tests should not."""
    return pytest.importorskip("peft", reason="the library of adapters: pip install 'crossgrid[models]'")


def llama() -> nn.Module:
    transformers = pytest.importorskip("transformers", reason="pip install 'crossgrid[models]'")
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, vocab_size=100
        )
    )


def lora() -> Any:
    return peft().LoraConfig(r=4, lora_alpha=8, target_modules=[*ADAPTED], task_type="CAUSAL_LM")


def digital_adapters(name: str, layer: nn.Module, config: Any) -> Any:
    """No tiles for adapters: they are what is trained."""
    return None if "lora_" in name else config


def adapted_then_converted(config: Any) -> nn.Module:
    torch.manual_seed(1)
    model = peft().get_peft_model(llama(), lora())
    return cg.convert_to_analog(model, config, specific_rpu_config_fun=digital_adapters, seed=1)


def converted_then_adapted(config: Any) -> nn.Module:
    model, of_layers = cg.convert_to_analog(llama(), config, seed=1), lora()
    of_layers._register_custom_module({cg.AnalogLinear: peft().tuners.lora.layer.Linear})
    torch.manual_seed(1)
    return peft().get_peft_model(model, of_layers)


def train(model: nn.Module, steps: int, kind: Any = torch.optim.AdamW, lr: float = 0.05) -> list[float]:
    model.train()
    optimizer = kind([p for p in model.parameters() if p.requires_grad], lr=lr)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model(input_ids=TOKENS, labels=TOKENS).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


MODES = pytest.mark.parametrize("make", [adapted_then_converted, converted_then_adapted])


@MODES
@pytest.mark.parametrize("config", [cg.InferenceRPUConfig, cg.SingleRPUConfig])
def test_adapters_are_digital_and_learn_while_the_base_stays_on_its_tiles(make: Any, config: Any) -> None:
    better = config(mapping=cg.MappingParameter(weight_scaling_omega=0.6))
    model = make(better)
    adapted = [m for name, m in model.named_modules() if name.endswith(ADAPTED)]
    assert len(adapted) == 4
    for layer in adapted:
        assert isinstance(layer.base_layer, cg.AnalogLinear)
        assert type(layer.lora_A["default"]) is type(layer.lora_B["default"]) is nn.Linear
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)
    before = cg.weights_sha256(model)
    losses, digital = train(model, 40), train(peft().get_peft_model(llama(), lora()), 40)
    learned = (sum(each[:3]) - sum(each[-3:]) for each in (losses, digital))
    assert next(learned) > 0.5 * next(learned) > 0.3
    assert cg.weights_sha256(model) == before
    on_tiles = cg.analog_summary(model)
    assert not any("lora_" in row.name for row in on_tiles.analog)
    assert any("lora_" in row.name for row in on_tiles.digital)


@MODES
def test_with_exact_tiles_training_is_that_of_the_digital_model(make: Any) -> None:
    torch.manual_seed(1)
    digital = peft().get_peft_model(llama(), lora())
    model = make(cg.FloatingPointRPUConfig())
    model.load_state_dict(copy.deepcopy(digital.state_dict()), strict=False)
    sgd = torch.optim.SGD  # Adam makes a step of a rounding error
    assert train(model, 5, sgd) == pytest.approx(train(digital, 5, sgd), abs=1e-5)
    found, wanted = dict(model.named_parameters()), dict(digital.named_parameters())
    for name, parameter in wanted.items():
        if "lora_" in name:
            torch.testing.assert_close(found[name], parameter, rtol=0, atol=1e-5)


def test_merging_writes_the_adapted_weight_to_the_tiles() -> None:
    """W + (alpha / r) B A with alpha = 8, r = 4."""
    model = adapted_then_converted(cg.InferenceRPUConfig())
    train(model, 5)
    layer = model.base_model.model.model.layers[0].self_attn.q_proj
    a, b = (part["default"].weight.detach() for part in (layer.lora_A, layer.lora_B))
    wanted = layer.base_layer.get_weights()[0] + 2.0 * b @ a
    merged = model.merge_and_unload().model.layers[0].self_attn.q_proj
    assert isinstance(merged, cg.AnalogLinear)
    torch.testing.assert_close(merged.get_weights()[0], wanted, rtol=0, atol=1e-6)


def test_a_programmed_base_ages_beside_adapters_that_do_not() -> None:
    model = adapted_then_converted(
        cg.InferenceRPUConfig(mapping=cg.MappingParameter(weight_scaling_omega=1.0))
    ).eval()
    cg.program_analog_weights(model)
    cg.drift_analog_weights(model, 1e6)
    with torch.no_grad():
        aged = model(input_ids=TOKENS).logits
        adapters = {n: p.clone() for n, p in model.named_parameters() if "lora_" in n}
        cg.drift_analog_weights(model, 1e7)
        later = model(input_ids=TOKENS).logits
    assert not torch.equal(aged, later)
    assert all(torch.equal(p, adapters[n]) for n, p in model.named_parameters() if n in adapters)
