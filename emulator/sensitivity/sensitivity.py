"""``sensitivity``: a run for each layer and cause, that cause at that layer alone, beside an exact model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from crossgrid.kernels.errors import ConfigError, unknown

from ..config.causes import CAUSES, EVERYTHING
from ..sweep.alone import ALL, NONE
from ..sweep.figures import Row
from ..sweep.points import Bench
from ..sweep.result import Sweep
from ..sweep.study import Study, study_of
from ..sweep.sweep import computed

#: a study before its layers are known
UNKNOWN = {"layer": [NONE], "cause": ["adc"]}


@dataclass(frozen=True)
class Sensitivity:
    """What each cause at each layer alone costs a model's accuracy."""

    sweep: Sweep
    layers: tuple[str, ...]
    causes: tuple[str, ...]
    samples: int

    @cached_property
    def _rows(self) -> dict[tuple[str, str], Row]:
        return {(row["layer"], row["cause"]): row for row in self.sweep.rows}

    @property
    def exact(self) -> float | None:
        """The accuracy of the model with nothing wrong anywhere; None: it could not be emulated."""
        accuracy: float | None = self._rows[NONE, self.causes[0]]["accuracy"]
        return accuracy

    def loss(self, layer: str, cause: str) -> float | None:
        """The exact accuracy less that with ``cause`` at ``layer`` alone, as fractions of the inputs.

        ``layer`` may be "all": the cause at all layers. Below 0: more inputs are right by chance. None: that
        run has an error.

        Raises:
            UnknownNameError: it is none of the layers or causes of this study.
        """
        for kind, name, known in (
            ("layer", layer, (*self.layers, ALL)),
            ("cause", cause, self.causes),
        ):
            if name not in known:
                raise unknown(kind, str(name), known)
        accuracy = self._rows[layer, cause]["accuracy"]
        return None if accuracy is None or self.exact is None else self.exact - accuracy

    @property
    def losses(self) -> dict[str, dict[str, float | None]]:
        """``losses[layer][cause]``, of every layer and then "all"."""
        return {
            layer: {cause: self.loss(layer, cause) for cause in self.causes} for layer in (*self.layers, ALL)
        }

    def ranked(self, cause: str | None = None) -> list[tuple[str, str, float]]:
        """Layer, cause and loss of each run, the largest loss first: of one cause, or of single causes."""
        causes = [each for each in self.causes if each != EVERYTHING] if cause is None else [cause]
        found = [(layer, each, self.loss(layer, each)) for layer in self.layers for each in causes]
        known = [(layer, each, loss) for layer, each, loss in found if loss is not None]
        return sorted(known, key=lambda entry: -entry[2])

    def __str__(self) -> str:
        ranked = self.ranked() if self.causes != (EVERYTHING,) else self.ranked(EVERYTHING)
        if not ranked or self.exact is None:
            return f"no run gave an accuracy; {self.sweep}"
        layer, cause, loss = ranked[0]
        said = (
            f"'{cause}' at '{layer}' costs most: {100 * loss:.4g} % of the inputs"
            if loss > 0.0
            else "no cause at one layer alone costs an input"
        )
        right = f"{100 * self.exact:.4g} % of {self.samples} inputs are right where nothing is wrong"
        return f"{right}; {said}; {self.sweep}"

    def draw(self, path: str | os.PathLike[str]) -> Path:
        """The losses as bars, a group a layer; the format is the name's ending."""
        from .chart import draw

        return draw(self, Path(path))

    def write_page(self, path: str | os.PathLike[str]) -> Path:
        """One self-contained page: bars, a table, what went wrong."""
        from .chart import page

        Path(path).write_text(page(self), encoding="utf-8")
        return Path(path)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"exact": self.exact, "samples": self.samples, "losses": self.losses}


def sensitivity(
    study: Study | Mapping[str, Any] | str | os.PathLike[str],
    rows: str | os.PathLike[str] | None = None,
    backend: Literal["local", "ray"] = "local",
    workers: int | None = None,
    *,
    layers: Sequence[str] | None = None,
    causes: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Sensitivity:
    """How much accuracy each layer loses to each cause of error, that cause at that layer alone.

    Everything else is exact, so a loss is that of one cause at one layer, beside the loss of the cause at all
    layers together ("all"), and of all causes ("all") at one. Equal numbers are emulated once, rows are kept
    in a file and found again, as in ``sweep``.

    Args:
        study: as for ``sweep``, without parameters or with one value for each.
        rows, backend, workers: as for ``sweep``.
        layers: names of layers in the model; all by default.
        causes: of "adc", "dac", "read", "programming", "drift", "faults" and "all"; by default those that the
            study has: programming and drift with ``drift_s``, faults with ``faults``.
        settings: values of a study's fields or parameters that take the place of its own, such as
            ``{"chip.adc.bits": 4, "drift_s": 86400.0}``.

    Raises:
        ConfigError: as for ``sweep``; a layer or cause that does not exist, a parameter with several values.
    """
    data = fixed(study_of(study), settings or {})
    asked = _causes(data, causes)
    probe = Study(**{**data, "parameters": {**data["parameters"], **UNKNOWN}})
    bench = Bench(probe)
    names = bench.layers()
    for name in () if layers is None else _texts("layers", layers):
        if name not in names:
            raise unknown("layer", name, names)
    chosen = names if layers is None else list(dict.fromkeys(layers))
    varied = {"layer": [NONE, *chosen, ALL], "cause": list(asked)}
    whole = replace(probe, parameters={**data["parameters"], **varied})
    done = computed(whole, rows, backend, workers, bench.with_study(whole))
    errors = {row["error"] for row in done.rows}
    if len(errors) == 1 and "" not in errors:
        raise ConfigError(errors.pop())  # what is wrong with every run is wrong with the study
    return Sensitivity(done, tuple(chosen), asked, len(bench.load()[3]))


def fixed(data: dict[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """A study's fields with one value for each parameter, none of them a layer or a cause."""
    given = data.get("parameters") or {}
    if not isinstance(given, Mapping):
        raise ConfigError(f"parameters = {given!r} must be a mapping of paths to values")
    parameters: dict[str, Any] = {name: v for name, v in given.items() if name not in UNKNOWN}
    own = {name: value for name, value in data.items() if name not in ("layer", "cause", "sampler")}
    for name, value in settings.items():
        if name in Study.__dataclass_fields__ and name not in ("parameters", "sampler", *UNKNOWN):
            own[name] = value
            parameters.pop(name, None)
        elif name.partition(".")[0] in UNKNOWN:
            raise ConfigError(f"'{name}' is what a sensitivity varies; give layers and causes instead")
        else:
            parameters[name] = _labelled(given.get(name), value)
    for name, values in parameters.items():
        if isinstance(values, Sequence) and not isinstance(values, str) and len(values) > 1:
            raise ConfigError(
                f"parameter '{name}' has {len(values)} values, and a sensitivity is of one chip and one "
                f"configuration: give the one that is meant, --set {name}=VALUE (settings= in Python)"
            )
    return {**own, "parameters": parameters}


def _labelled(values: Any, chosen: Any) -> list[Any]:
    """The chosen value; of values that change together the one with that label."""
    if isinstance(values, Sequence) and not isinstance(values, str):
        of_label = {str(v.get("label")): v for v in values if isinstance(v, Mapping) and "label" in v}
        if of_label and not isinstance(chosen, Mapping):
            if str(chosen) not in of_label:
                raise unknown("label", str(chosen), of_label)
            return [of_label[str(chosen)]]
    return [chosen]


def _causes(data: Mapping[str, Any], causes: Sequence[str] | None) -> tuple[str, ...]:
    """The causes that are asked for, or that a study has."""
    values = {**data, **{name: v[0] for name, v in data["parameters"].items() if len(v) == 1}}
    drifts, faults = values.get("drift_s") is not None, bool(values.get("faults"))
    if causes is None:
        has = {"programming": drifts or faults, "drift": drifts, "faults": faults}
        return (*(cause for cause in CAUSES if has.get(cause, True)), EVERYTHING)
    for cause in _texts("causes", causes):
        if cause not in (*CAUSES, EVERYTHING):
            raise unknown("cause", str(cause), (*CAUSES, EVERYTHING))
    if "drift" in causes and not drifts:
        raise ConfigError("cause 'drift' needs a time: give drift_s, seconds after programming")
    if "faults" in causes and not faults:
        raise ConfigError("cause 'faults' needs a fraction of devices: give faults, such as 0.01")
    return tuple(dict.fromkeys(causes))


def _texts(what: str, given: Sequence[str]) -> Sequence[str]:
    """A list of names, and nothing else."""
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise ConfigError(f"{what} = {given!r} must be a list of names")
    for name in given:
        if not isinstance(name, str):
            raise ConfigError(f"{what}: {name!r} is no name")
    return given
