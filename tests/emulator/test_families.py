"""Models of Hugging Face's families compute, learn and step with exact layers as their digital selves do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from families import ALWAYS, FAMILIES
from family_errors import compared, held

import crossgrid as cg

DOCUMENT = Path(__file__).parents[2] / "docs" / "families.md"

#: dozens of sums of a few hundred products in another order, see docs/families.md; at most 6e-6 as measured
LIMIT = 1e-5


@pytest.fixture(scope="module")
def transformers() -> Iterator[Any]:
    """The library, which must not look for anything elsewhere and says nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        library = pytest.importorskip("transformers", reason="an extra: pip install 'crossgrid[models]'")
        library.logging.set_verbosity_error()
        yield library


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(
    "name", [n if n in ALWAYS else pytest.param(n, marks=pytest.mark.slow) for n in FAMILIES]
)
@pytest.mark.filterwarnings("default")  # what the library says about tiny models
def test_a_family_is_its_digital_self(transformers: Any, name: str, training: bool) -> None:
    family = FAMILIES[name]
    model, inputs = family.made(transformers)
    errors = compared(model, inputs, training, family.past)
    assert errors.forward < LIMIT
    assert errors.gradient < LIMIT
    assert errors.step < LIMIT


@pytest.mark.case("F20")
@pytest.mark.parametrize("config", [cg.SingleRPUConfig, cg.InferenceRPUConfig])
@pytest.mark.parametrize("name", ALWAYS)
@pytest.mark.filterwarnings("ignore")  # what stays digital, as the library ties its embeddings
def test_a_saved_model_loads_with_the_same_bits(
    transformers: Any, name: str, config: Any, tmp_path: Path
) -> None:
    """``save_pretrained`` writes safetensors, which the library reads and analog layers load."""
    digital, _ = FAMILIES[name].made(transformers)
    model = cg.convert_to_analog(digital, config())
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").exists()
    read = type(digital).from_pretrained(tmp_path)
    other = cg.convert_to_analog(digital, config(), seed=1)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_state_dict(read.state_dict(), strict=True)
    held, found = dict(model.named_parameters()), dict(read.named_parameters())
    assert [*held] == [*found]
    for which, values in found.items():
        torch.testing.assert_close(held[which].detach().clone(), values.detach(), rtol=0, atol=0)
    if config is cg.InferenceRPUConfig:  # of weights that no device clips
        assert cg.weights_sha256(other) == cg.weights_sha256(model)


def shown(name: str) -> str:
    """As the document has it."""
    return f"**{name}**" if name in ALWAYS else name


def test_families_of_all_kinds_are_documented() -> None:
    kinds = {family.kind for family in FAMILIES.values()}
    assert len(FAMILIES) >= 24
    assert kinds == {
        "encoder", "decoder", "encoder-decoder", "vision", "speech", "state space", "mixture", "multimodal",
    }  # fmt: skip
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, family in FAMILIES.items():
        assert f"| {shown(name)} | {family.kind} |" in text


@pytest.mark.parametrize("name", ALWAYS)
@pytest.mark.filterwarnings("default")
def test_the_document_says_what_is_on_tiles(transformers: Any, name: str) -> None:
    family = FAMILIES[name]
    share = held(family.made(transformers)[0], family.past).on_tiles
    text = DOCUMENT.read_text(encoding="utf-8")
    assert f"| {shown(name)} | {family.kind} | {100 * share:.1f} % |" in text


def test_a_difference_is_seen(transformers: Any) -> None:
    """Else the tests above could not fail: a weight that is wrong by a thousandth."""
    model, inputs = FAMILIES["BERT"].made(transformers)
    made = type(model).forward

    class Off(type(model)):  # type: ignore[misc]
        def forward(self, **inputs: torch.Tensor) -> Any:
            analog = any(type(m).__name__.startswith("Analog") for m in self.modules())
            output = made(self, **inputs)
            output.last_hidden_state = output.last_hidden_state * (1.001 if analog else 1.0)
            return output

    model.__class__ = Off
    assert compared(model, inputs, training=True).forward > LIMIT
