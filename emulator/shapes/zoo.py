"""Well-known models by name: layers and what stays digital; no weights, no torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from crossgrid.chip.plan.digital import DigitalWork
from crossgrid.chip.plan.layer_shape import LayerShape
from crossgrid.kernels.errors import unknown

from . import zoo_images as images
from . import zoo_language as language

Works = tuple[DigitalWork, ...]


class Entry(NamedTuple):
    """A model of the zoo."""

    layers: Callable[[], tuple[LayerShape, ...]]
    digital: Callable[[], Works]


def zoo_layers(name: str) -> tuple[LayerShape, ...]:
    """The layers of a model of the zoo, in the order in which they work."""
    return _entry(name).layers()


def zoo_digital(name: str) -> Works:
    """What stays digital of a model of the zoo."""
    return _entry(name).digital()


def _entry(name: str) -> Entry:
    if name not in ZOO:
        raise unknown("model", name, ZOO)
    return ZOO[name]


def _image(layers: Callable[[], tuple[LayerShape, ...]], normalized: bool = True) -> Entry:
    return Entry(layers, lambda: images.image_work(layers(), normalized))


def _transformer(
    layers: Callable[[], tuple[LayerShape, ...]], blocks: str, count: int, tokens: int, context: int,
    hidden: int, wide: int, vocabulary: int, heads: int,
) -> Entry:  # fmt: skip
    names = [blocks.format(k) for k in range(count)]
    work = language.transformer_work
    return Entry(layers, lambda: work(names, tokens, context, hidden, wide, vocabulary, heads))


ZOO: dict[str, Entry] = {
    "lenet5": _image(images.lenet5, normalized=False),
    "vgg8": _image(images.vgg8),
    "vgg16": _image(images.vgg16, normalized=False),
    "resnet9": _image(images.resnet9),
    "resnet18": _image(images.resnet18),
    "resnet50": _image(images.resnet50),
    "mobilenet-v2": _image(images.mobilenet_v2),
    "unet": Entry(images.unet, images.unet_work),
    "vit-b-16": _transformer(
        images.vit_b_16, "encoder.layers.encoder_layer_{}", 12, 197, 197, 768, 3072, 0, 12
    ),
    "bert-base": _transformer(language.bert_base, "encoder.layer.{}", 12, 128, 128, 768, 3072, 30522, 12),
    "gpt2": _transformer(language.gpt2, "transformer.h.{}", 12, 1, 1024, 768, 3072, 50257, 12),
    "llama-2-7b": _transformer(language.llama_2_7b, "model.layers.{}", 32, 1, 4096, 4096, 11008, 32000, 32),
    "llama-2-70b": _transformer(language.llama_2_70b, "model.layers.{}", 80, 1, 4096, 8192, 28672, 32000, 64),
    "mixtral-8x7b": _transformer(language.mixtral, "model.layers.{}", 32, 1, 32768, 4096, 28672, 32000, 32),
}
