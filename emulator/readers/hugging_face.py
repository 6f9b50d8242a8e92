"""A Hugging Face model by its configuration alone: the class that it names, built without numbers."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from crossgrid.kernels.errors import ConfigError

from ..model.deferred import deferred
from ..shapes.attempts import attempt
from ..shapes.counting import ModelShapes
from ..shapes.digital import shapes_of

#: an input's size where neither a user nor the configuration says it
TOKENS, PIXELS, CHANNELS, SAMPLES, BANDS = 128, 224, 3, 16_000, 80

#: which inputs get a mask: ways that are tried one after the other
MASKS: tuple[dict[str, str], ...] = (
    {},
    {"input_ids": "attention_mask"},
    {"decoder_input_ids": "decoder_attention_mask"},
    {"input_ids": "attention_mask", "decoder_input_ids": "decoder_attention_mask"},
)


def hugging_face_shapes(name: str, inputs: Mapping[str, Tensor]) -> ModelShapes:
    """The layers and the digital work of the model that the configuration ``name`` describes.

    Its weights are neither read nor made; code that comes with a model is never run.

    Args:
        name: a directory with a config.json, or the name of a model whose configuration is in the local cache
            or can be fetched.
        inputs: by name; others are one sequence of 128 tokens, one image or one recording as the
            configuration describes it.

    Raises:
        ConfigError: transformers is not installed, the configuration is not to be had, or the model does not
            run on shapes.
    """
    if importlib.util.find_spec("transformers") is None:
        raise ConfigError(
            f"model '{name}' needs the package transformers, which is not installed: pip install "
            "'crossgrid[models]', or give FILE.py:CALLABLE"
        )
    import transformers

    transformers.logging.set_verbosity_error()
    config = _configuration(transformers, name)
    model = attempt(
        lambda: _built(transformers, config), f"model '{name}' cannot be built from its configuration",
        "give FILE.py:CALLABLE that builds it",
    )  # fmt: skip
    example = _example(model, config, inputs)
    for masks in MASKS[:-1]:
        try:
            return shapes_of(model, _masked(model, example, masks))
        except ConfigError:  # some look in the numbers for what a mask would tell, others in the mask's
            continue
    return shapes_of(model, _masked(model, example, MASKS[-1]))


def _configuration(transformers: Any, name: str) -> Any:
    """From a directory or the cache; only what is in neither is asked for."""
    load = transformers.AutoConfig.from_pretrained
    try:
        return load(name, local_files_only=True)
    except Exception:
        return attempt(
            lambda: load(name), f"the configuration of '{name}' is not to be had",
            "give a directory that holds its config.json (it is all that is needed), a name of the zoo, or "
            "go online",
        )  # fmt: skip


def _built(transformers: Any, config: Any) -> nn.Module:
    """The class that the configuration names, or the bare model, without numbers."""
    for part in (config, getattr(config, "text_config", None)):
        if part is not None:
            part.use_cache = False
            part._attn_implementation = "eager"  # others ask whether a mask hides anything
    names = getattr(config, "architectures", None) or []
    kind = next((getattr(transformers, each) for each in names if hasattr(transformers, each)), None)
    make = transformers.AutoModel.from_config if kind is None else kind._from_config
    try:
        with torch.device("meta"):
            model = make(config)
    except (RuntimeError, NotImplementedError):  # it asks numbers of what it makes
        with deferred():
            model = make(config)
    return model.eval()


def _example(model: nn.Module, config: Any, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One input by name: those that are given, and what else the model cannot do without."""
    made = dict(given)
    taken = inspect.signature(model.forward).parameters
    main = getattr(model, "main_input_name", "input_ids")
    needed = [main]
    if "decoder_input_ids" in taken and getattr(config, "is_encoder_decoder", False):
        needed.append("decoder_input_ids")
    if {"input_ids", "pixel_values"} <= set(taken) and _said(config, "image_size", None) is not None:
        needed += ["input_ids", "pixel_values"]
    for name in needed:
        if name not in made and (name in taken or name == main):
            made[name] = _input(name, config)
    return made


def _masked(model: nn.Module, inputs: Mapping[str, Tensor], masks: Mapping[str, str]) -> dict[str, Tensor]:
    """The inputs with masks that hide nothing, where the model takes them."""
    taken = inspect.signature(model.forward).parameters
    made = {
        mask: torch.empty_like(inputs[name])
        for name, mask in masks.items()
        if name in inputs and mask in taken
    }
    return {**made, **inputs}


def _input(name: str, config: Any) -> Tensor:
    """An input of one sample on the meta device."""
    if name == "pixel_values":
        size = _said(config, "image_size", PIXELS)
        sides = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
        return torch.empty((1, _said(config, "num_channels", CHANNELS), *sides), device="meta")
    if name == "input_features":
        bands, frames = _said(config, "num_mel_bins", BANDS), 2 * _said(config, "max_source_positions", 1500)
        return torch.empty((1, bands, frames), device="meta")
    if name == "input_values":
        return torch.empty((1, SAMPLES), device="meta")
    tokens = min(TOKENS, _said(config, "max_position_embeddings", TOKENS))
    return torch.empty((1, tokens), dtype=torch.int64, device="meta")


def _said(config: Any, name: str, otherwise: Any) -> Any:
    """What the configuration, or the part of it that is about images or text, says of ``name``."""
    parts = (config, getattr(config, "vision_config", None), getattr(config, "text_config", None))
    found = (getattr(part, name, None) for part in parts if part is not None)
    return next((value for value in found if value is not None), otherwise)
