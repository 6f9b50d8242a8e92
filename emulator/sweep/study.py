"""What a sweep varies: a study as data, from a YAML file or a mapping, and its points."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from crossgrid.chip.description.load import presets
from crossgrid.chip.description.yaml_text import from_yaml
from crossgrid.chip.mapping.kinds import Kinds
from crossgrid.kernels.errors import ConfigError, shown, unknown

from ..readers.python_file import load_model, load_value
from .figures import COLUMNS

#: points of a study at most: each takes a row, and milliseconds for its cost alone
MOST_POINTS = 1_000_000

#: what a study may vary beside fields of ``chip.`` and ``config.``
ROOTS = (
    "chip", "config", "strategy", "placement", "chips", "drift_s", "seed", "faults", "layer", "cause",
    "kinds",
)  # fmt: skip

#: settings that tell studies apart only where they are set: rows from before there were such stay valid
LATER = ("sampler", "schedule", "faults", "layer", "cause", "kinds")


@dataclass(frozen=True, slots=True)
class Point:
    """One combination of the parameters' values."""

    number: int
    labels: dict[str, Any]  # parameter -> its value, or the label of its values
    values: dict[str, Any]  # path -> value


@dataclass(frozen=True)
class Study:
    """A model with its test data, on a chip, and the parameters that vary.

    Args:
        model: ``FILE.py:CALLABLE`` that gives a trained model (or one and an example input), or the model.
        data: ``FILE.py:CALLABLE`` that gives inputs and labels, two tensors, or the pair.
        parameters: for each path (``chip.adc.bits``, ``config.forward.out_noise``, ``strategy``,
            ``placement``, ``chips``, ``drift_s``, ``seed``, ``faults``, ``layer``, ``cause``, ``kinds``) its
            values. A
            parameter of any other name has mappings of paths to values, which change together, with a
            ``label``.
        chip: a preset's name or a YAML file: where each point begins.
        config: a configuration's name; a model that is analog already keeps its own.
        strategy, placement, chips: as in ``emulate``.
        drift_s: seconds after programming at which the accuracy is taken; None: without programming.
        seed: of the devices.
        faults: fraction of the devices that programming leaves stuck, half of them without conductance, half
            at the largest.
        layer, cause: where they are given, the numbers are those of a model in which this layer alone (by
            its name in the model; ``all`` or ``none``) is wrong by this cause alone: ``adc``, ``dac``,
            ``read`` (noise and wires), ``programming``, ``drift``, ``faults``, or ``all`` that the study has.
            Everything else is exact. The cost is the chip's. See ``sensitivity``.
        kinds: on a chip with several kinds of tiles, which one layers are on, as text or as a mapping, as in
            ``emulate``: ``"*=coarse,conv1=fine"``.
        batch: inputs that go through the tiles together. It changes no number.
        samples: inputs to take at most; all by default.
        sampler: which points of all combinations are computed, see ``Sampler``: a mapping of ``name`` (nsga2,
            tpe, random), ``points``, ``seed`` and ``objectives``. None: all of them.
        schedule: follow so many inputs row by row too (``cg.schedule``): latency, interval, stalls, time of
            tiles and peak of buffers are further columns. None: by the closed form alone.
        folder: where the names of files begin.
    """

    model: str | nn.Module
    data: str | tuple[Tensor, Tensor]
    parameters: Mapping[str, Sequence[Any]]
    chip: str = "demo-128"
    config: str = "InferenceRPUConfig"
    strategy: str = "per-layer"
    placement: str = "row-major"
    chips: int | None = None
    drift_s: float | None = None
    seed: int = 0
    faults: float = 0.0
    layer: str | None = None
    cause: str | None = None
    kinds: Kinds | None = None
    batch: int = 250
    samples: int | None = None
    sampler: Mapping[str, Any] | None = None
    schedule: int | None = None
    folder: Path = field(default_factory=Path)

    def __post_init__(self) -> None:
        if not isinstance(self.parameters, Mapping) or not self.parameters:
            raise ConfigError("a study needs parameters: paths such as chip.adc.bits with lists of values")
        for name, values in self.parameters.items():
            _check_values(name, values)
        if len(self) > MOST_POINTS and self.sampler is None:
            raise ConfigError(
                f"the study has {len(self)} points, at most {MOST_POINTS} are swept; give fewer values, or a "
                "sampler"
            )
        for key, kinds in (
            ("model", (str, nn.Module)),
            ("data", (str, tuple, list)),
            ("chip", str),
            ("config", str),
        ):
            if not isinstance(getattr(self, key), kinds):
                raise ConfigError(
                    f"study: {key} = {shown(getattr(self, key))} must be a name such as FILE.py:CALLABLE"
                )
        for key in ("batch", "samples", "schedule"):
            value = getattr(self, key)
            if (value is not None or key == "batch") and (type(value) is not int or value < 1):
                raise ConfigError(f"study: {key} = {shown(value)} must be a number of at least 1")

    def __len__(self) -> int:
        count = 1
        for values in self.parameters.values():
            count *= len(values)
        return count

    def points(self) -> Iterator[Point]:
        """Every combination, the last parameter fastest."""
        for number, chosen in enumerate(itertools.product(*self.parameters.values())):
            yield self.point(number, chosen)

    def point(self, number: int, chosen: Sequence[Any]) -> Point:
        """The point of one value a parameter."""
        labels: dict[str, Any] = {}
        values: dict[str, Any] = {}
        for name, value in zip(self.parameters, chosen, strict=True):
            if isinstance(value, Mapping) and name == "kinds":
                labels[name], values[name] = ",".join(f"{k}={v}" for k, v in value.items()), value
            elif isinstance(value, Mapping):
                paths = {path: each for path, each in value.items() if path != "label"}
                labels[name] = value.get("label", ", ".join(f"{each}" for each in paths.values()))
                values.update(paths)
            else:
                labels[name] = value
                values[name] = value
        return Point(number, labels, values)

    @property
    def chip_name(self) -> str:
        """The chip as it is loaded: a preset's name, or a path."""
        return self.chip if self.chip in presets() else str(self.folder / self.chip)

    def load_model(self) -> tuple[nn.Module, Any]:
        """The model, and an example input or None."""
        if isinstance(self.model, nn.Module):
            return self.model, None
        return load_model(str(self.folder / self.model), lambda make: make())

    def load_data(self) -> tuple[Tensor, Tensor]:
        """Inputs and labels."""
        name = f"data '{self.data}'" if isinstance(self.data, str) else "data"
        data = load_value(str(self.folder / self.data), "data") if isinstance(self.data, str) else self.data
        if not isinstance(data, (tuple, list)) or len(data) != 2:
            raise ConfigError(f"{name} is a {type(data).__name__}; give inputs and labels, two tensors")
        try:
            x, y = (torch.as_tensor(part) for part in data)
        except (ValueError, TypeError, RuntimeError) as error:
            raise ConfigError(f"{name}: inputs or labels are no tensors ({error!s:.120})") from None
        if x.dim() == 0 or len(x) == 0 or y.shape != x.shape[:1]:
            raise ConfigError(
                f"{name}: inputs have shape {tuple(x.shape)}, labels {tuple(y.shape)}; give a label an input"
            )
        return x[: self.samples], y[: self.samples]

    @cached_property
    def identity(self) -> str:
        """Tells studies apart: what they say, and what is in the files that they name."""
        digest = hashlib.blake2b(digest_size=6)
        for spec in fields(self):
            value = getattr(self, spec.name)
            left_out = value == spec.default and spec.name in LATER
            if not left_out and spec.name not in ("folder", "batch"):
                _add(digest, spec.name, value)
        for name in (self.model, self.data, self.chip):
            if isinstance(name, str):
                path = self.folder / name.rpartition(":")[0] if ":" in name else self.folder / name
                digest.update(path.read_bytes() if path.is_file() else b"")
        return digest.hexdigest()


def _add(digest: Any, name: str, value: Any) -> None:
    if isinstance(value, nn.Module):
        digest.update(repr(value).encode())
        value = tuple(tensor for tensor in value.state_dict().values() if isinstance(tensor, Tensor))
    if isinstance(value, tuple) and value and all(isinstance(part, Tensor) for part in value):
        for part in value:
            digest.update(part.detach().cpu().contiguous().numpy().tobytes())
        return
    digest.update(json.dumps([name, value], sort_keys=False, default=str).encode())


def _check_values(name: str, values: Any) -> None:
    if name in COLUMNS:
        raise ConfigError(f"parameter '{name}' has the name of a column of the rows; give it another one")
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise ConfigError(f"parameter '{name}' = {shown(values)} must be a list of values")
    if name.partition(".")[0] in ROOTS:
        paths: list[str] = [name]
    elif all(isinstance(value, Mapping) for value in values):
        paths = [path for value in values for path in value if path != "label"]
    else:
        raise unknown("parameter", name, ROOTS)
    for path in paths:
        root, dot, rest = path.partition(".")
        if root not in ROOTS:
            raise unknown("parameter", path, ROOTS)
        if (root in ("chip", "config")) != bool(dot and rest):
            raise ConfigError(
                f"parameter '{path}': give a field such as chip.adc.bits, or one of {ROOTS[2:]}"
            )


def as_study(study: Study | Mapping[str, Any] | str | os.PathLike[str]) -> Study:
    """A study as it is, of a mapping, or of a YAML file, whose folder is where its names of files begin.

    Raises:
        ConfigError: it cannot be read, or has a key that does not exist.
    """
    if isinstance(study, Study):
        return study
    where = "study" if isinstance(study, Mapping) else f"study '{Path(study)}'"
    return _made(study_of(study), where)


def study_of(study: Study | Mapping[str, Any] | str | os.PathLike[str]) -> dict[str, Any]:
    """What a study says, by its fields' names, whether it can be made or not.

    Raises:
        ConfigError: it cannot be read, or lacks model or data, or has a key that does not exist.
    """
    if isinstance(study, Study):
        return {spec.name: getattr(study, spec.name) for spec in fields(Study)}
    if isinstance(study, Mapping):
        return _checked(dict(study), "study")
    if not isinstance(study, (str, os.PathLike)):
        raise ConfigError(f"study = {shown(study)} must be a YAML file, a mapping or a Study")
    path = Path(study)
    try:
        data = from_yaml(path.read_text(encoding="utf-8"))
    except ConfigError as error:
        raise ConfigError(f"study '{path}': {error}") from None
    except OSError as error:
        raise ConfigError(f"study '{path}' cannot be read: {error.strerror or error}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"study '{path}' is no readable YAML: {said:.300}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"study '{path}' holds a {type(data).__name__}; give model, data and parameters")
    return _checked({"folder": path.parent, **data}, f"study '{path}'")


def _checked(data: dict[str, Any], where: str) -> dict[str, Any]:
    """The fields, each of which exists."""
    known = [spec.name for spec in fields(Study)]
    for key in data:
        if key not in known:
            raise unknown(f"key of {where}", str(key), known)
    for key in ("model", "data"):
        if key not in data:
            raise ConfigError(f"{where} has no '{key}'; give model, data and parameters")
    return data


def _made(data: dict[str, Any], where: str) -> Study:
    if "parameters" not in data:
        raise ConfigError(f"{where} has no 'parameters'; give model, data and parameters")
    return Study(**data)
