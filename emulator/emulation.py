"""emulate: put a model's tiles on a described chip and into the processes of a backend.

Inside the ``with`` block the model, the loss and the training loop are what they were; only the tiles
live elsewhere. Leaving it, also by an error, moves the tiles' state into this process.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from ..chip import Chip, MappingPlan, converted_by, load_chip, map_layers
from ..kernels.errors import ConfigError, nearest
from .configs import FloatingPointRPUConfig, RPUConfig
from .errors import BackendError
from .executor import Executor, LocalExecutor, Placement
from .grid import TileGrid
from .layer_spec import LayerSpec, TileSpec, placed
from .metrics import MetricsServer, RunCollector, RunTotals, TileSample, check_port
from .nn.base import AnalogLayer
from .nn.model import analog_weights, require_analog
from .pipeline import run_pipelined
from .report import RunReport
from .warm import warm_kernels

BACKENDS = ("local", "ray")

Criterion: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def emulate(
    model: nn.Module,
    chip: str | os.PathLike[str] | Chip | None = None,
    backend: Literal["local", "ray"] = "local",
    tiles_per_actor: int | Literal["auto"] = 1,
    strategy: str = "per-layer",
    metrics_port: int | None = None,
    timeout_s: float = 60.0,
) -> Emulation:
    """Emulate ``model`` on ``chip``; use it as a context manager.

    Args:
        model: a model with analog layers (see ``convert_to_analog``).
        chip: a preset's name, a YAML file's path or a ``Chip``. Its tile size, ADC and DAC replace the
            configuration's. Without one, layers are cut at ``mapping.max_input_size``/``max_output_size``.
        backend: "local" keeps the tiles in this process, "ray" puts them into Ray actors. Same bits.
        tiles_per_actor: physical tiles that share an actor, or "auto": one actor a processor.
        strategy: how the mapper places blocks, see ``crossgrid map``.
        metrics_port: where to serve metrics for Prometheus; a free port if not given.
        timeout_s: how long a tile actor may take for one answer before it counts as hanging.

    Raises:
        ConfigError: no analog layers, a model that does not fit the chip, an argument out of range.
        BackendError: Ray is not installed or does not start (on entering).
        PortError: ``metrics_port`` is taken.
    """
    if backend not in BACKENDS:
        raise ConfigError(f"backend = {backend!r} does not exist: {nearest(str(backend), BACKENDS)}")
    if tiles_per_actor != "auto" and (
        isinstance(tiles_per_actor, bool) or not isinstance(tiles_per_actor, int) or tiles_per_actor < 1
    ):
        raise ConfigError(f"tiles_per_actor = {tiles_per_actor!r} must be a number of at least 1, or 'auto'")
    if backend == "ray":
        _require_ray()
    if metrics_port is not None:
        check_port(metrics_port)
    layers = require_analog(model)
    described = None if chip is None else load_chip(chip if isinstance(chip, (str, Chip)) else Path(chip))
    plan = None if described is None else _plan(layers, described, strategy)
    return Emulation(model, described, plan, backend, tiles_per_actor, metrics_port, timeout_s)


def _require_ray() -> None:
    for module in ("ray", "zmq"):
        if importlib.util.find_spec(module) is None:
            raise BackendError(
                f"backend='ray' needs the package {module}, which is not installed: "
                "pip install 'crossgrid[ray]', or use backend='local'"
            )


def _plan(layers: list[tuple[str, AnalogLayer]], chip: Chip, strategy: str) -> MappingPlan:
    shapes = [shape for name, layer in layers for shape in layer.grid.spec.shapes(name)]
    return map_layers(shapes, chip, strategy=strategy, chips=chip.chips)


@dataclass(slots=True)
class Emulation:
    """A model whose tiles are on a chip. Made by ``emulate``."""

    model: nn.Module
    chip: Chip | None
    plan: MappingPlan | None
    backend: str
    tiles_per_actor: int | Literal["auto"]
    metrics_port: int | None
    timeout_s: float
    totals: RunTotals = field(default_factory=RunTotals)
    executor: Executor | None = field(default=None, init=False)
    _layers: list[tuple[str, AnalogLayer]] = field(default_factory=list, init=False)
    _server: MetricsServer | None = field(default=None, init=False)
    _hook: Any = field(default=None, init=False)
    _last_samples: list[TileSample] = field(default_factory=list, init=False)

    def __enter__(self) -> Emulation:
        if self.executor is not None:
            raise ConfigError("this emulation is running already; call cg.emulate again for another one")
        self._layers = require_analog(self.model)
        specs = [self._spec(name, layer) for name, layer in self._layers]
        homes = [layer.grid for _, layer in self._layers]
        try:
            self.executor, placements = self._place(specs)
            self._move_in(specs, placements)
            collector = RunCollector(self.totals, self.tile_samples)
            self._server = MetricsServer.start(collector, self.metrics_port)
        except BaseException:
            for (_, layer), home in zip(self._layers, homes, strict=True):
                layer.analog_tile.grid = home
            self._stop()
            raise
        self._hook = self.model.register_forward_pre_hook(self._count_samples)
        self.totals.utilization = self.plan.utilization if self.plan else 1.0
        self.totals.tiles = len({tile.label for spec in specs for tile in spec.tiles})
        print(f"metrics: {self._server.url}", flush=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._move_out()
        except BackendError:
            # the error that is on its way, usually the same one, says more
            if error is None:
                raise
        finally:
            self._stop()

    @property
    def metrics_url(self) -> str | None:
        """Where Prometheus finds this run, while it runs."""
        return self._server.url if self._server else None

    def weights(self) -> dict[str, Tensor]:
        """Every analog layer's present weight in torch's shape, float32, by the layer's name."""
        return analog_weights(self.model)

    def record(self, loss: float) -> None:
        """Tell the metrics the training loop's present loss."""
        if not math.isfinite(loss):
            raise ConfigError(f"loss = {loss} is not finite; lower the learning rate")
        self.totals.loss = float(loss)

    def infer(self, x: Tensor | Iterable[Any], micro_batch: int | None = None, depth: int = 2) -> Tensor:
        """The model's outputs without gradients, in input order, pipelined through the tiles.

        Args:
            x: one input tensor, or an iterable of batches (tensors, or tuples that start with one).
            micro_batch: samples that go through the layers together; a batch as it comes if not given.
            depth: micro-batches in flight. It changes the speed, never the result.

        Returns:
            One CPU tensor. The model's training mode is left as it was; it computes in evaluation mode.
        """
        _require_positive("depth", depth)
        if micro_batch is not None:
            _require_positive("micro_batch", micro_batch)
        batches = [x] if isinstance(x, Tensor) else [b if isinstance(b, Tensor) else b[0] for b in x]
        parts = [part for batch in batches for part in batch.split(micro_batch or max(len(batch), 1))]

        def job(part: Tensor) -> Tensor:
            with torch.no_grad():
                output: Tensor = self.model(part)
            return output

        mode = self.model.training
        self.model.eval()
        try:
            jobs = [partial(job, part) for part in parts]
            return torch.cat(list(run_pipelined(self.model, self._grids(), jobs, depth)))
        finally:
            self.model.train(mode)

    def train_step(
        self,
        x: Tensor,
        y: Tensor,
        criterion: Criterion,
        optimizer: torch.optim.Optimizer,
        micro_batches: int = 1,
    ) -> float:
        """One synchronous training step; micro-batches go forward and backward through the tiles overlapped.

        The pulsed updates are applied afterwards, in logical order: the step is exact.

        Args:
            x, y: a batch and its targets; split evenly into ``micro_batches``.
            criterion: gives the mean loss of (outputs, targets).

        Returns:
            The mean loss, micro-batches weighted by their size.
        """
        _require_positive("micro_batches", micro_batches)
        optimizer.zero_grad()
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        xs, ys = x.chunk(micro_batches), y.chunk(micro_batches)

        def job(x_part: Tensor, y_part: Tensor) -> tuple[Tensor, tuple[Tensor | None, ...]]:
            loss = criterion(self.model(x_part), y_part) * (len(x_part) / len(x))
            return loss.detach(), torch.autograd.grad(loss, parameters, allow_unused=True)

        jobs = [partial(job, x_part, y_part) for x_part, y_part in zip(xs, ys, strict=True)]
        total = 0.0
        for loss, gradients in run_pipelined(self.model, self._grids(), jobs, len(jobs)):
            total += loss.item()
            for parameter, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        optimizer.step()
        self.record(total)
        return total

    def _grids(self) -> list[TileGrid]:
        return [layer.grid for _, layer in self._layers]

    def report(self) -> RunReport:
        """Which layer sits on which tile, how full, and what its tiles have done."""
        specs = [layer.grid.spec for _, layer in self._layers]
        return RunReport(self.plan, specs, self.tile_samples(), self.chip)

    def tile_samples(self) -> list[TileSample]:
        """The counters of every physical tile."""
        if self.executor is not None:
            self._last_samples = [
                (
                    {"tile": layer.grid.spec.tiles[block].label, "layer": name},
                    counters,
                )
                for name, layer in self._layers
                for block, counters in sorted(layer.grid.stats().items())
            ]
        return self._last_samples

    def _spec(self, name: str, layer: AnalogLayer) -> LayerSpec:
        """The layer as it will be cut on this chip (or as it is cut, where there is none)."""
        old = layer.grid.spec
        if self.plan is None or self.chip is None:
            return replace(old, name=name, tiles=_labelled(old.tiles, name))
        return placed(old, name, self.plan, _with_periphery(old.rpu_config, self.chip))

    def _place(self, specs: list[LayerSpec]) -> tuple[Executor, list[Placement]]:
        if self.backend == "local":
            local = LocalExecutor()
            self.totals.actors = 1
            return local, [local.place(number, spec) for number, spec in enumerate(specs)]
        from .ray_executor import RayExecutor

        warm_kernels(specs)
        executor = RayExecutor(specs, self.tiles_per_actor, self.timeout_s)
        self.totals.actors = len(executor.hosts)
        return executor, executor.placements

    def _move_in(self, specs: list[LayerSpec], placements: list[Placement]) -> None:
        assert self.executor is not None
        for number, ((_, layer), spec) in enumerate(zip(self._layers, specs, strict=True)):
            old = layer.grid
            grid = TileGrid(spec, self.executor, number, placements[number], copy.copy(old.ticks))
            if _same_tiles(old.spec, spec):
                grid.load_state(old.state())
            else:
                grid.set_weights(old.weights())
            layer.analog_tile.grid = grid

    def _move_out(self) -> None:
        """Bring every tile home; tiles whose process is gone are named, the others still come."""
        with contextlib.suppress(BackendError):  # a dead tile has no counters; the report keeps the last ones
            self.tile_samples()
        failure: BackendError | None = None
        for _, layer in self._layers:
            grid = layer.grid
            home = TileGrid.local(grid.spec, copy.copy(grid.ticks))
            try:
                home.load_state(grid.state())
            except BackendError as error:
                failure = failure or error
            layer.analog_tile.grid = home
        if failure is not None:
            raise failure

    def _stop(self) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
        if self._server is not None:
            self._server.close()
            self._server = None
        if self.executor is not None:
            executor, self.executor = self.executor, None
            with contextlib.suppress(KeyboardInterrupt):
                executor.close()

    def _count_samples(self, model: nn.Module, args: tuple[Any, ...]) -> None:
        if model.training and torch.is_grad_enabled() and args and isinstance(args[0], Tensor):
            self.totals.samples += args[0].shape[0] if args[0].dim() else 1


def _require_positive(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} = {value!r} must be a number of at least 1")


def _labelled(tiles: tuple[TileSpec, ...], name: str) -> tuple[TileSpec, ...]:
    return tuple(replace(tile, label=f"{name}/{tile.row},{tile.column}") for tile in tiles)


def _with_periphery(config: RPUConfig, chip: Chip) -> RPUConfig:
    """``config`` with the chip's converters in place of its own."""
    if chip.ideal or isinstance(config, FloatingPointRPUConfig):
        return config
    config = copy.deepcopy(config)
    config.forward = converted_by(chip, config.forward)
    config.backward = converted_by(chip, config.backward)
    return config


def _same_tiles(a: LayerSpec, b: LayerSpec) -> bool:
    """Whether two cuts are the same physical tiles: same key, same blocks, same configuration."""
    return (
        a.key == b.key
        and [(t.out_start, t.out_stop, t.in_start, t.in_stop) for t in a.tiles]
        == [(t.out_start, t.out_stop, t.in_start, t.in_stop) for t in b.tiles]
        and a.rpu_config == b.rpu_config
    )
