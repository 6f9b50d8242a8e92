"""What one point gives: its cost from the plan alone, its accuracy from an emulation on that plan."""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from crossgrid.chip import Chip, LayerShape, MappingPlan, map_layers
from crossgrid.chip.reports.report import Report
from crossgrid.chip.reports.warnings import lost_bits
from crossgrid.chip.schedule.schedule import schedule
from crossgrid.kernels.errors import ConfigError, CrossgridError

from ..model.analog_model import analog_matrices, drift_analog_weights, program_analog_weights, require_analog
from ..model.convert import convert_to_analog
from ..run.emulate import emulate
from ..shapes.analog import traced_shapes
from ..shapes.attempts import attempt
from ..shapes.counting import ModelShapes
from .alone import Aged, aged, check_setting, faulty, ideal, isolated, layer_names
from .figures import Row, figures
from .numbers import numbers_of, peripheries_of
from .settings import Setting, Settings, config_of
from .study import Point, Study


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
    _said: dict[tuple[str, str], dict[str, list[bytes]]] = field(default_factory=dict)
    _alone: dict[str, nn.Module] = field(default_factory=dict)

    def cost(self, point: Point, setting: Setting) -> Costed:
        """The point's plan and what it costs.

        Raises:
            ConfigError: it does not fit, or a value cannot be.
        """
        chip = setting.chip
        _, shapes = self._analog(setting)
        chips = chip.chips if setting.chips is None else setting.chips
        plan = map_layers(
            shapes.layers, chip, setting.strategy, chips, setting.placement, shapes.digital,
            kinds=setting.kinds,
        )  # fmt: skip
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
            "numbers": self._numbers(setting, plan),
            "warning": "; ".join(lost_bits(plan, chip)),
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
        model, chip, plan, aged = self._run(setting, costed.plan)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.random.fork_rng([]):
            warnings.simplefilter("ignore", UserWarning)  # the row says where a converter falls short
            torch.manual_seed(setting.seed)
            with emulate(model, chip, plan=plan) as running:
                _age(model, setting, aged)
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
                    config = faulty(config_of(self.study.config, setting.config), setting.faults)
                    model = convert_to_analog(copy.deepcopy(model), config, seed=setting.seed).eval()
            elif setting.config or setting.faults:
                raise ConfigError("the model is analog and keeps its configuration: give a digital one")
            self._converted[key] = model, traced_shapes(model, require_analog(model), example)
        return self._converted[key]

    def with_study(self, study: Study) -> Bench:
        """The same model and data, which are not loaded again, for other parameters."""
        return Bench(study, self._loaded, self._converted)

    def layers(self) -> list[str]:
        """The layers that a study's ``layer`` can name."""
        settings = Settings(self.study)
        return layer_names(self._analog(settings.of(next(self.study.points())))[0])

    def shapes(self, setting: Setting) -> tuple[LayerShape, ...]:
        """The layers of a setting's model as a mapper places them."""
        return self._analog(setting)[1].layers

    def _numbers(self, setting: Setting, plan: MappingPlan) -> str:
        """The digest of a point's numbers."""
        if setting.layer is None and setting.cause is None:
            model = self._analog(setting)[0]
            aged = setting.drift_s if setting.faults == 0.0 else (setting.drift_s, setting.faults)
            return numbers_of(model, plan, self._peripheries(setting, model), aged)
        model, chip, plan, alone = self._run(setting, plan)
        assert alone is not None
        told = alone.drift_s, sorted(alone.layers)
        return numbers_of(model, plan, peripheries_of(model, chip), told)

    def _run(self, setting: Setting, plan: MappingPlan) -> tuple[nn.Module, Chip, MappingPlan, Aged | None]:
        """What is emulated for a setting: a copy of the model, the chip, the plan, what is programmed.

        With a layer and a cause the model's layers have the converters that they are to have, and the chip
        leaves numbers alone.
        """
        model = self._analog(setting)[0]
        if setting.layer is None and setting.cause is None:
            return copy.deepcopy(model), setting.chip, plan, None
        names = layer_names(model)
        check_setting(setting, names)
        digital = self.load()[0]
        if next(iter(analog_matrices(digital)), None) is not None:
            raise ConfigError("the model is analog and keeps its configuration: give a digital one")
        key = f"{_key(setting)} {setting.layer} {setting.cause} {setting.drift_s} {setting.chip.identity()}"
        key += f" {plan.layer_kind.tolist()}"
        if key not in self._alone:
            self._alone.clear()  # the next point's is another one, and a model may be large
            self._alone[key] = isolated(digital, config_of(self.study.config, setting.config), setting, plan)
        exact = ideal(setting.chip)
        moved = replace(plan, chip_identity=exact.identity())
        return copy.deepcopy(self._alone[key]), exact, moved, aged(setting, names)

    def _peripheries(self, setting: Setting, model: nn.Module) -> dict[str, list[bytes]]:
        key = _key(setting), setting.chip.identity()
        if key not in self._said:
            self._said[key] = peripheries_of(model, setting.chip)
        return self._said[key]


def _key(setting: Setting) -> str:
    """What a model is converted by."""
    return repr((sorted(setting.config.items()), setting.seed, setting.faults))


def _age(model: nn.Module, setting: Setting, alone: Aged | None) -> None:
    """Program what a setting has programmed, and let its time pass."""
    if alone is None:
        if setting.drift_s is not None or setting.faults > 0.0:
            program_analog_weights(model)
        if setting.drift_s is not None:
            drift_analog_weights(model, float(setting.drift_s))
        return
    for matrix in alone.matrices(model):
        matrix.program()
        if alone.drift_s is not None:
            matrix.drift(float(alone.drift_s))


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
