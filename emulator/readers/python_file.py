"""A model from a user's file: ``FILE.py:CALLABLE`` to its layers and its digital work."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from crossgrid.chip import LayerShape
from crossgrid.kernels.errors import ConfigError, nearest

from ..model.analog_model import analog_matrices
from ..shapes.analog import plain_shapes, traced_shapes
from ..shapes.attempts import attempt, on_meta_or_else
from ..shapes.counting import ModelShapes
from ..shapes.digital import shapes_of


def load_layers(text: str) -> tuple[LayerShape, ...]:
    """The layers of ``file.py:callable``: it returns a model, or it and an example input or its shape.

    Raises:
        ConfigError: the file, its callable or the model cannot be used; one line says why.
    """
    return load_shapes(text).layers


def load_shapes(text: str, inputs: Any = None) -> ModelShapes:
    """The layers and the digital work of ``file.py:callable``, made on the meta device if it can be.

    Of a model that is analog already, layers are as its tiles hold them: with a bias's column where its
    configuration has one. ``inputs`` take the place of the callable's example.
    """
    model, example = load_model(text, on_meta_or_else)
    example = example if inputs is None else inputs
    matrices = attempt(
        lambda: list(analog_matrices(model)), f"the layers of a {type(model).__name__} cannot be read",
        "give a module that torch runs, and one batch as it takes it",
    )  # fmt: skip
    if not matrices:
        return shapes_of(model, example)
    return plain_shapes(model, matrices) if example is None else traced_shapes(model, matrices, example)


def load_model(text: str, made_by: Callable[[Callable[[], Any]], Any]) -> tuple[nn.Module, Any]:
    """The model of ``file.py:callable`` and its example input or None; ``made_by`` calls the callable.

    Raises:
        ConfigError: the file, its callable or the model cannot be used; one line says why.
    """
    where = f"model '{text}'"
    name, make = _callable(text, where, "give FILE.py:CALLABLE or a name of the zoo")
    made = attempt(
        lambda: made_by(make), f"{where}: {name}() fails",
        "give a function without arguments that returns a model, or a model and an example input",
    )  # fmt: skip
    model, example = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(model, nn.Module):
        raise ConfigError(f"{where}: {name}() returned a {type(model).__name__}, not a torch.nn.Module")
    return model, example


def load_value(text: str, kind: str) -> Any:
    """What ``file.py:callable`` returns; ``kind`` is named in errors.

    Raises:
        ConfigError: the file or its callable cannot be used.
    """
    where = f"{kind} '{text}'"
    name, make = _callable(text, where, "give FILE.py:CALLABLE")
    return attempt(make, f"{where}: {name}() fails", "give a function without arguments that runs by itself")


def _callable(text: str, where: str, way_out: str) -> tuple[str, Callable[[], Any]]:
    """The name and the callable of ``file.py:callable``."""
    path, _, name = text.rpartition(":")
    if not path or not Path(path).is_file():
        raise ConfigError(f"{where}: no file '{path or text}'; {way_out}")
    module = _load(where, path)
    make = vars(module).get(name)
    if not callable(make):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ConfigError(f"{where}: {path} has no callable '{name}': {nearest(name, known)}")
    return name, make


def _load(where: str, path: str) -> Any:
    """The module that the file ``path`` defines."""
    name = f"model_of_{Path(path).stem}"  # hides no module of another file's
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{where}: '{path}' is no Python file; give FILE.py:CALLABLE")
    module, loader = importlib.util.module_from_spec(spec), spec.loader
    folder = str(Path(path).resolve().parent)
    sys.path.insert(0, folder)
    sys.modules[name] = module  # dataclasses and pickle look a class's module up
    try:
        attempt(
            lambda: loader.exec_module(module), f"{where}: {path} cannot be loaded",
            "it must run by itself in this environment: python " + path,
        )  # fmt: skip
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
    return module
