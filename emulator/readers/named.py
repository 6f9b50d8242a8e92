"""What a command's MODEL stands for: a name of the zoo, a file, or a Hugging Face configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from crossgrid.chip.files.neurosim import read_neurosim_csv
from crossgrid.chip.plan.digital import DigitalWork
from crossgrid.chip.plan.layer_shape import LayerShape
from crossgrid.kernels.errors import ConfigError

from ..shapes.zoo import ZOO, zoo_digital, zoo_layers

#: begins the name of a Hugging Face model
HUB = "hf:"

FORMS = (
    f"FILE.py:CALLABLE, FILE.onnx, a NetWork.csv, {HUB}NAME or a directory with a Hugging Face config.json, "
    f"or one of {', '.join(ZOO)}"
)


class Model(NamedTuple):
    """What a mapper takes: layers, and what stays digital."""

    layers: tuple[LayerShape, ...]
    digital: tuple[DigitalWork, ...] = ()
    notes: tuple[str, ...] = ()  # what has to be said of it


def read_model(text: str, inputs: Sequence[str] = ()) -> Model:
    """The layers and the digital work of what ``text`` names.

    Args:
        text: one of ``FORMS``.
        inputs: ``NAME=SHAPE`` of inputs, see ``named_inputs``: by name in place of those that the model comes
            with.

    Raises:
        ConfigError: it cannot be read; one line says why.
    """
    kind = _kind(text)
    if kind in ("zoo", "csv"):
        if inputs:
            raise ConfigError(f"model '{text}' has inputs of its own: leave out --input")
        return Model(read_neurosim_csv(text)) if kind == "csv" else Model(zoo_layers(text), zoo_digital(text))
    from .inputs import named_inputs

    given = named_inputs(inputs)
    if kind == "onnx":
        from .onnx.model import onnx_shapes

        read = onnx_shapes(text, given)
        return Model(read.shapes.layers, read.shapes.digital, read.notes)
    if kind == "hub":
        from .hugging_face import hugging_face_shapes

        found = hugging_face_shapes(text.removeprefix(HUB), given)
    else:
        from .python_file import load_shapes

        found = load_shapes(text, given or None)
    return Model(found.layers, found.digital)


def _kind(text: str) -> str:
    """Of which kind a model's name is; what is nothing else is a name of the zoo, or a wrong one."""
    if text.startswith(HUB):
        return "hub"
    if text in ZOO:
        return "zoo"
    suffix = Path(text).suffix.lower()
    if suffix in (".onnx", ".csv"):
        return suffix[1:]
    if ":" in text:
        return "python"
    return "hub" if _holds_configuration(text) or text.count("/") == 1 else "zoo"


def _holds_configuration(text: str) -> bool:
    try:
        return (Path(text) / "config.json").is_file()
    except (OSError, ValueError):
        return False
