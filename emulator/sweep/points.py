"""What one point gives: its cost from the plan alone, its accuracy from an emulation on that plan."""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from crossgrid.chip import MappingPlan, map_layers
from crossgrid.chip.description.adc import shortfall
from crossgrid.chip.reports.report import Report
from crossgrid.chip.schedule.schedule import schedule
from crossgrid.kernels.errors import ConfigError, CrossgridError

from ..model.analog_model import analog_matrices, drift_analog_weights, program_analog_weights, require_analog
from ..model.convert import convert_to_analog
from ..run.emulate import emulate
from ..shapes.analog import traced_shapes
from ..shapes.attempts import attempt
from ..shapes.counting import ModelShapes
from .figures import figures
from .numbers import numbers_of, peripheries_of
from .settings import Setting, config_of
from .study import Point, Study
from .table import Row


@dataclass(frozen=True, slots=True)
class Costed:
    """A point whose accuracy is not known yet."""

    setting: Setting
    plan: MappingPlan
    row: Row


@dataclass
class Bench:
    """A study's model and data, loaded once, and its models as they are converted."""

    study: Study
    _loaded: tuple[nn.Module, Any, Tensor, Tensor] | None = None
    _converted: dict[str, tuple[nn.Module, ModelShapes]] = field(default_factory=dict)
    _said: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)

    def cost(self, point: Point, setting: Setting) -> Costed:
        """The point's plan and what it costs.

        Raises:
            ConfigError: it does not fit, or a value cannot be.
        """
        chip = setting.chip
        model, shapes = self._analog(setting)
        chips = chip.chips if setting.chips is None else setting.chips
        plan = map_layers(shapes.layers, chip, setting.strategy, chips, setting.placement, shapes.digital)
        report = Report.of(plan, chip)
        cost = report.cost
        row = blank(self.study, point) | {
            "energy_pj": cost.energy_pj,
            "area_mm2": cost.area_mm2,
            "latency_ns": cost.latency_ns,
            "interval_ns": cost.interval_ns,
            "tops_per_w": cost.tops_per_w,
            "tiles": plan.tiles_used,
            "chips_used": plan.chips_used,
            "utilization": plan.utilization,
            "tiles_busy": report.tiles_busy,
            "bottleneck": cost.bottleneck,
            "numbers": numbers_of(model, plan, self._peripheries(setting, model), setting.drift_s),
            "warning": shortfall(chip),
        }
        if self.study.schedule is not None:
            found = schedule(plan, chip, self.study.schedule)
            row |= {
                "schedule_latency_ns": found.latency_ns,
                "schedule_interval_ns": found.interval_ns,
                "schedule_stalls_ns": sum(found.stalls_ns.values()),
                "schedule_tiles_busy": float(found.tile_busy.mean()),
                "schedule_buffer_bytes": float(found.tile_buffer_bytes.max()),
            }
        return Costed(setting, plan, {key: _plain(value) for key, value in row.items()})

    def accuracy(self, costed: Costed) -> float:
        """The share of inputs that the model on the point's tiles gives the right label for."""
        _, _, x, labels = self.load()
        setting = costed.setting
        model = copy.deepcopy(self._analog(setting)[0])
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.random.fork_rng([]):
            warnings.simplefilter("ignore", UserWarning)  # the row says where a converter falls short
            torch.manual_seed(setting.seed)
            with emulate(model, setting.chip, plan=costed.plan) as running:
                if setting.drift_s is not None:
                    program_analog_weights(model)
                    drift_analog_weights(model, float(setting.drift_s))
                outputs = attempt(
                    lambda: running.infer(x, self.study.batch), "the model fails on the study's inputs",
                    "give inputs and a batch that it takes",
                )  # fmt: skip
        if not isinstance(outputs, Tensor) or outputs.dim() != 2 or len(outputs) != len(labels):
            given = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            raise ConfigError(
                f"the model gives {given} for {len(labels)} inputs; an accuracy needs a row of classes each"
            )
        return float((outputs.argmax(dim=1) == labels).double().mean())

    def load(self) -> tuple[nn.Module, Any, Tensor, Tensor]:
        """The model, an example input, inputs and labels, loaded when they are first asked for.

        Raises:
            ConfigError: the study's files do not give them.
        """
        if self._loaded is None:
            model, example = self.study.load_model()
            x, labels = self.study.load_data()
            self._loaded = model.eval(), x[:1] if example is None else example, x, labels
        return self._loaded

    def _analog(self, setting: Setting) -> tuple[nn.Module, ModelShapes]:
        """The model with the setting's configuration, and what a mapper places."""
        key = _key(setting)
        if key not in self._converted:
            model, example, _, _ = self.load()
            if next(iter(analog_matrices(model)), None) is None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)
                    config = config_of(self.study.config, setting.config)
                    model = convert_to_analog(copy.deepcopy(model), config, seed=setting.seed).eval()
            elif setting.config:
                raise ConfigError("the model is analog and keeps its configuration: give a digital one")
            self._converted[key] = model, traced_shapes(model, require_analog(model), example)
        return self._converted[key]

    def _peripheries(self, setting: Setting, model: nn.Module) -> dict[str, bytes]:
        key = _key(setting), setting.chip.identity()
        if key not in self._said:
            self._said[key] = peripheries_of(model, setting.chip)
        return self._said[key]


def _key(setting: Setting) -> str:
    """What a model is converted by."""
    return repr((sorted(setting.config.items()), setting.seed))


def blank(study: Study, point: Point, error: str = "") -> Row:
    """A row that says nothing yet but which point it is, and what is wrong with it."""
    empty = {name: "" if kind is str else None for name, kind in figures(study.schedule).items()}
    labels = {name: str(label) for name, label in point.labels.items()}
    return {"point": point.number, **labels, **empty, "error": error, "study": study.identity}


def _plain(value: Any) -> Any:
    """numpy's numbers as Python's."""
    return value.item() if hasattr(value, "item") else value


def accuracy_or_error(bench: Bench, costed: Costed) -> tuple[float | None, str]:
    """A point's accuracy, or what its emulation says is wrong."""
    try:
        return bench.accuracy(costed), ""
    except CrossgridError as error:
        return None, str(error)
