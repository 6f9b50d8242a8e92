"""A model whose tiles are on a described chip and in the processes of a backend.

Inside the ``with`` block the model, the loss and the training loop are what they were; only the tiles
live elsewhere. Leaving it, also by an error, moves the tiles' state into this process.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from crossgrid.chip import Chip, MappingPlan
from crossgrid.kernels.backends import BackendName
from crossgrid.kernels.errors import ConfigError, CrossgridError, InputError

from ..analog_matrix.mini_batch import mini_batch
from ..config.recovery import Recovery
from ..errors import BackendError
from ..hosts.executor import Executor, Hosting, LocalExecutor
from ..hosts.grid import TileGrid
from ..hosts.interrupts import Uninterrupted
from ..hosts.warm import warm_kernels
from ..model.analog_model import analog_weights, require_analog
from ..model.filling import Filling
from ..model.joining import Criterion, flatten, join
from ..model.optim import end_digital_steps
from ..nn.dropout import addressed, step_key
from ..nn.hooks.batch_axis import BatchAxis
from ..nn.hooks.listening import Listener
from ..nn.hooks.turns import TileTurns
from ..nn.matrix import AnalogMatrix
from ..replay.steps import CardSteps
from ..shapes.analog import FirstBatch
from ..stages.orders import Schedule, require_schedule
from ..stages.passes.cut import Cut
from ..summary.summary import analog_summary
from ..tiles.layer_spec import LayerSpec
from ..tiles.messages import ReadWeights
from .checkpoint import Generators, save
from .homes import Homes, failure_of
from .metrics.totals import RunTotals, TileSample
from .metrics.watch import Watch
from .pipeline import (
    clip_gradients,
    forward_backward,
    infer,
    micro_batches,
    parts_of,
    refuse_batch_statistics,
)
from .progress import progress_bar
from .report import RunReport
from .resume import Resume
from .specs import spec_of

if TYPE_CHECKING:
    from ..stages.executor import StageExecutor


@dataclass(slots=True)
class Emulation:
    """A model whose tiles are on a chip. Made by ``emulate``."""

    model: nn.Module
    chip: Chip | None
    plan: MappingPlan | None
    backend: str
    tiles_per_actor: int | Literal["auto"]
    strategy: str
    metrics_port: int | None
    timeout_s: float
    update_delay: int
    device: BackendName = "cpu"
    #: what to do about actors that die; set it before entering; None: their state is lost with them
    recovery: Recovery | None = field(default_factory=Recovery, kw_only=True)
    reuse_known: bool = False  # whether the plan knows how often an input passes through each layer
    filling: Filling | None = None  # what a model without numbers gets on entering
    cut: Cut | None = None  # into stages; None: an actor for every few tiles, or this process
    reprogram: bool = False  # whether tiles that blocks share in time hold one of them at a time
    totals: RunTotals = field(default_factory=RunTotals)
    executor: Executor | None = field(default=None, init=False)
    stages: StageExecutor | None = field(default=None, init=False)  # the same, where it is one
    resume: Resume | None = field(default=None, init=False)  # of a restored run: what entering loads
    _layers: list[tuple[str, AnalogMatrix]] = field(default_factory=list, init=False)
    _watch: Watch | None = field(default=None, init=False)
    _homes: Homes | None = field(default=None, init=False)
    _hooks: list[Any] = field(default_factory=list, init=False)  # of torch, while the emulation runs
    _turns: TileTurns | None = field(default=None, init=False)
    _owner: int = field(default=0, init=False)  # the process that entered
    _first_batch: FirstBatch | None = field(default=None, init=False)
    _steps: CardSteps | None = field(default=None, init=False)
    _axis: BatchAxis | None = field(default=None, init=False)  # which one counts inputs

    def __enter__(self) -> Emulation:
        try:
            self._enter()
        except KeyboardInterrupt:  # where it was then tells nobody anything
            raise KeyboardInterrupt("before the emulation had started; nothing of it is left") from None
        return self

    def _enter(self) -> None:
        self._owner = os.getpid()
        if self.executor is not None:
            raise ConfigError("this emulation is running already; call cg.emulate again for another one")
        self._layers = require_analog(self.model)
        if self.filling is not None and self.cut is None:
            self.filling.begin(hosts_read=self.backend == "ray", recut=self.plan is not None)
        print(analog_summary(self.model, chip=self.chip).line)
        specs = [spec_of(name, layer, self.plan, self.chip) for name, layer in self._layers]
        if self.resume is not None and self.cut is not None:  # stages begin with what is in this process
            for (_, layer), spec in zip(self._layers, specs, strict=True):
                layer.analog_tile.grid = TileGrid.local(spec)
            self.resume.load(self)
        self._homes = homes = Homes(self._layers, specs)
        before = self._grids()  # not kept: when all have moved in nobody has these tiles any more
        try:
            self._start(homes)
        except BaseException:
            with Uninterrupted():
                homes.give_back(before)
                self._stop()
            raise

    def _start(self, homes: Homes) -> None:
        specs = homes.specs
        hostings = self._place(specs)
        assert self.executor is not None
        self.totals.recovered = self.executor.recovered
        filling = self.filling if self.cut is None else None  # stages read files themselves
        moves = self.cut is None and self.resume is None
        homes.move_in(self.executor, hostings, self.update_delay, filling, moves)
        if filling is not None:
            filling.let_hosts_read()
            filling.end()
            self.filling = None
        if self.resume is not None and self.cut is None:
            self.resume.load(self)
        if self.reprogram and self.plan is not None:
            self._turns = TileTurns(self.plan, self._layers)
        self.totals.update_delay = self.update_delay
        self.totals.utilization = self.plan.utilization if self.plan else 1.0
        self.totals.tiles = len({tile.label for spec in specs for tile in spec.tiles})
        with Uninterrupted():  # whatever has begun is known to ``_stop``
            self._watch = watch = Watch(self.totals, self._layers)
            watch.start(self.metrics_port)
            self._axis = BatchAxis(self.model)
            self._hooks = [self.model.register_forward_hook(Listener(self._count_samples), with_kwargs=True)]
            if self._on_this_card():
                self._hooks.append(end_digital_steps(self.model, self.executor))
            if self.plan is not None and not self.reuse_known:
                self._first_batch = FirstBatch(self.model, self._grids(), self._axis, self._learn_reuse)
        print(f"metrics: {watch.url}", flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if os.getpid() != self._owner:
            return  # a process that was forked off; what is here belongs to its parent
        with Uninterrupted():  # tiles on their way home would be lost
            try:
                self._move_out()
            except CrossgridError:
                # the error that is on its way, usually the same one, says more
                if error is None:
                    raise
            finally:
                self._stop()

    @property
    def metrics_url(self) -> str | None:
        """Where Prometheus finds this run, while it runs."""
        return None if self._watch is None else self._watch.url

    @property
    def layers(self) -> list[tuple[str, AnalogMatrix]]:
        """The analog layers by name, in the model's order."""
        return self._layers

    @property
    def batch(self) -> int:
        """The number of batches that was given to ``save``, of a restored run; 0 of a new one."""
        return 0 if self.resume is None else int(self.resume.saved.run["batch"])

    def save(
        self,
        directory: str | os.PathLike[str],
        optimizer: torch.optim.Optimizer | None = None,
        *,
        scheduler: Any = None,
        generators: Generators | None = None,
        batch: int = 0,
    ) -> None:
        """Write everything that changes: ``cg.restore`` goes on from there with the same bits.

        Call it between steps: gradients of digital parameters are not saved. Late updates (``update_delay``)
        are applied before, in this run too. Whoever is killed meanwhile leaves what was saved before.

        Args:
            directory: where; made if it is not there. Tiles that did not change since are not written again.
            optimizer, scheduler: of torch; their states are saved.
            generators: torch's generators by names of your own, for instance a loader's; or states of theirs.
                In the middle of an epoch give the state of the loader's as it was when the epoch began.
            batch: batches trained on: what ``batch`` of the restored run is.

        Raises:
            ConfigError: pulses of a pass that went backward are not applied yet, or somebody else is saving
                there.
            StorageError: the disk is full, or the folder cannot be written.
        """
        if self.stages is not None:
            self.stages.apply_late()
        save(self, directory, optimizer, scheduler, generators or {}, batch)

    @property
    def programmings(self) -> dict[str, int]:
        """How often each layer was programmed for its turn on tiles that others use too (``reprogram``)."""
        return {} if self._turns is None else dict(self._turns.counts)

    def weights(self) -> dict[str, Tensor]:
        """Every analog layer's present weight in torch's shape, float32, by the layer's name."""
        return analog_weights(self.model)

    def tile_weights(self) -> dict[str, dict[str, Tensor]]:
        """What every physical tile holds, by layer and tile; tiles whose process is gone are left out."""
        found: dict[str, dict[str, Tensor]] = {}
        for name, layer in self._layers:
            tiles = layer.grid.spec.tiles
            replies, _ = layer.grid.ask_reachable(ReadWeights(layer.grid.layer))
            found[name] = {
                tiles[block].label: torch.from_numpy(np.array(values))
                for reply in replies
                for block, values in zip(reply.blocks, reply.w, strict=True)
            }
        return found

    def record(self, loss: float) -> None:
        """Tell the metrics the training loop's present loss.

        Raises:
            ConfigError: it is not finite.
            InputError: on a card, where no step waits for its kernels: what they found wrong, and when.
        """
        if self.executor is not None:
            self.executor.raise_found()
        if not math.isfinite(loss):
            raise ConfigError(f"loss = {loss} is not finite; lower the learning rate")
        self.totals.loss = float(loss)

    def infer(self, x: Tensor | Iterable[Any], micro_batch: int | None = None, depth: int = 2) -> Tensor:
        """The model's outputs without gradients, in input order, pipelined through the tiles.

        Args:
            x: one input tensor, or an iterable of batches (tensors, or tuples that start with one).
            micro_batch: samples that go through the layers together; a batch as it comes if not given.
            depth: micro-batches in flight. It changes the speed, never the result. Tiles that are
                reprogrammed have one.

        Returns:
            What the model gives for the whole input, on the CPU: one tensor, or the tuple, mapping or
            dataclass that it gives, joined tensor by tensor (typed as what most give). The model
            computes in evaluation mode; every module's mode is left as it was.

        Raises:
            ConfigError: no batch, or several parts of inputs whose first dimension is time.
        """
        _require_positive("depth", depth)
        if micro_batch is not None:
            _require_positive("micro_batch", micro_batch)
        modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        total = parts_of(x, micro_batch)
        outputs, sizes = [], []
        try:
            found = self._outputs(micro_batches(x, micro_batch), depth)
            with contextlib.closing(found), progress_bar("inference", total) as advance:
                for output, samples in found:
                    leaves, back = flatten(output)
                    outputs.append(back([v.cpu() if isinstance(v, Tensor) else v for v in leaves]))
                    sizes.append(samples)
                    self.totals.micro_batches += 1
                    self.totals.progress = len(outputs) / total if total else None
                    advance()
        finally:
            for module, mode in modes:
                module.training = mode
        if self.executor is not None:
            self.executor.raise_found()
        if not outputs:
            raise ConfigError("infer was given no batch; give a tensor or an iterable of at least one batch")
        return join(self.model, outputs, sizes, "micro_batch").value

    def _outputs(self, parts: Iterator[Tensor], depth: int) -> Generator[tuple[Any, int], None, None]:
        """The outputs of micro-batches, and how many samples each has."""
        if self.stages is not None:
            return self.stages.inference.outputs(parts, depth)
        parts = parts if self._axis is None else self._axis.parts(parts)
        return infer(self.model, self._grids(), parts, 1 if self._turns is not None else depth)

    def train_step(
        self,
        x: Tensor,
        y: Any,
        criterion: Criterion,
        optimizer: torch.optim.Optimizer,
        micro_batches: int = 1,
        schedule: Schedule = "gpipe",
        max_norm: float | None = None,
    ) -> float | Tensor:
        """One synchronous training step; micro-batches go forward and backward through the tiles overlapped.

        The pulsed updates are applied afterwards, in logical order: the step is exact. Masks of
        ``nn.Dropout*`` follow from the layer, the step and the micro-batch.

        Args:
            x, y: a batch, split evenly into ``micro_batches``, and its targets.
            criterion: gives the loss of (outputs, targets). It sees the outputs of all micro-batches
                together, as the model gives them for the whole batch: means over tokens, class weights and
                sums are exact.
            optimizer: over parameters of the model. With stages one that moves each parameter on its own:
                ``AnalogSGD``, torch's SGD, Adam, AdamW and most others; its settings act as they are here.
            schedule: with stages the order of the passes: "gpipe", or "1f1b", which holds fewer activations
                and asks the criterion once more for each micro-batch. No bit depends on it.
            max_norm: the most that the norm of all digital gradients may be, see ``clip_grad_norm_``.

        Returns:
            The loss. Where tiles are on a card of this process, a 0-d tensor there: nobody has waited for
            it, and what kernels find wrong is said by the next look at weights, counters or report, or when
            the run is saved. Steps that are alike are replayed as one CUDA graph there; ``report`` says
            where they cannot be.

        Raises:
            ConfigError: batch normalisation in training mode, or time as the first dimension, with more than
                one micro-batch; with stages, an optimizer, a dropout, a criterion or tied weights that cannot
                work in parts.
        """
        _require_positive("micro_batches", micro_batches)
        require_schedule(schedule)
        if not isinstance(x, Tensor):
            raise InputError(f"train_step was given inputs that are a {type(x).__name__}; give one tensor")
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise ConfigError(f"optimizer is a {type(optimizer).__name__}; give one of torch's, or AnalogSGD")
        loss: float | Tensor
        if self.stages is not None:
            refuse_batch_statistics(self.model, len(x.chunk(micro_batches)))
            trainer = self.stages.trainer
            loss = trainer.step(x, y, criterion, optimizer, micro_batches, schedule, max_norm)
            self.totals.samples += len(x)
        elif micro_batches == 1 and max_norm is None and (steps := self._card_steps()) is not None:
            loss = steps.step(x, y, criterion, optimizer)
        else:
            optimizer.zero_grad()
            with mini_batch(), addressed(self.model, step_key(self.model)):
                found = forward_backward(
                    self.model, self._grids(), x, y, criterion, micro_batches, self._axis
                )
            if max_norm is not None:
                self.clip_grad_norm_(max_norm)
            optimizer.step()
            loss = found if self._on_this_card() else found.item()
        self.totals.micro_batches += micro_batches
        if isinstance(loss, Tensor):
            self.totals.loss = loss  # whoever scrapes waits for it
        else:
            self.record(loss)
        return loss

    def _on_this_card(self) -> bool:
        """Whether tiles are on a card of this process, and nobody waits for them."""
        return isinstance(self.executor, LocalExecutor) and self.executor.on_card

    def _card_steps(self) -> CardSteps | None:
        """Training steps that a card may repeat alone; None: tiles are elsewhere, or take turns."""
        if self._steps is None and self._on_this_card() and self._turns is None:
            assert isinstance(self.executor, LocalExecutor)
            counted = [(self.totals, "samples")]
            self._steps = CardSteps(self.model, self._layers, self.executor, counted)
        return self._steps

    def clip_grad_norm_(self, max_norm: float, norm_type: float = 2.0) -> Tensor:
        """Scale all digital gradients, as ``torch.nn.utils.clip_grad_norm_`` does; those of pulses stay.

        With stages there are gradients within ``train_step`` alone: give it ``max_norm``, or call this in a
        hook of the optimizer (``register_step_pre_hook``). The bits are the same without stages.

        Returns:
            The norm before, a scalar.
        """
        if self.stages is not None:
            return self.stages.trainer.clip(max_norm, norm_type)
        return clip_gradients(self.model, max_norm, norm_type)

    def _grids(self) -> list[TileGrid]:
        return [layer.grid for _, layer in self._layers]

    def report(self) -> RunReport:
        """Which layer sits on which tile, how full, and what its tiles have done."""
        if self.executor is not None:
            self.executor.raise_found()
        specs = [layer.grid.spec for _, layer in self._layers]
        return RunReport(
            self.plan, specs, self.tile_samples(), self.chip, self.reuse_known, self.update_delay,
            self.programmings if self.reprogram else None, self.totals.traffic,
            None if self._steps is None else self._steps.told(),
        )  # fmt: skip

    def tile_samples(self) -> list[TileSample]:
        """The counters of every physical tile; after the run those that were known last."""
        return [] if self._watch is None else self._watch.count()

    def _place(self, specs: list[LayerSpec]) -> list[Hosting]:
        """Start what hosts the tiles; ``executor`` is known before it starts anything, however that ends."""
        if self.backend == "local":
            self.executor = local = LocalExecutor(self.device)
            self.totals.actors = 1
            return [local.place(number, spec) for number, spec in enumerate(specs)]
        if self.cut is not None:
            return self._start_stages(self.cut, specs)
        from ..actors.executor import RayExecutor

        threads = torch.get_num_threads()
        warm_kernels(specs)
        torch.set_num_threads(threads)  # numba's began, and with OpenMP torch has as many then
        with Uninterrupted():
            self.executor = executor = RayExecutor(
                specs, self.tiles_per_actor, self.timeout_s, self.device, self.recovery
            )
        executor.start()
        self.totals.actors = len(executor.hosts)
        return executor.hostings

    def _start_stages(self, cut: Cut, specs: list[LayerSpec]) -> list[Hosting]:
        """Whole layers in the processes of stages; numbers in files go there at once."""
        from ..stages.executor import StageExecutor

        weights = None if self.filling is None else str(self.filling.files.path.resolve())
        with Uninterrupted():
            self.executor = self.stages = stages = StageExecutor(
                self.model, cut, weights, self.timeout_s, self.recovery, self.update_delay
            )
        stages.start(specs, self._grids())
        self.totals.actors, self.totals.traffic = cut.count, stages.traffic
        return stages.hostings

    def _move_out(self) -> None:
        """Bring every tile home; tiles whose process is gone are named, the others still come."""
        assert self.executor is not None
        assert self._homes is not None
        self.executor.forgive()
        failures = [failure_of(layer.grid.apply_late) for _, layer in self._layers]
        failures += [self.executor.settle(), failure_of(self.executor.raise_found)]
        with contextlib.suppress(BackendError):  # a dead tile has no counters; the report keeps the last ones
            self.tile_samples()
        if self.stages is not None:
            failures += [failure_of(self.stages.apply_late), failure_of(self.stages.trainer.bring_home)]
        failures += self._homes.come_home(self.stages)
        failure = next((each for each in failures if each is not None), None)
        if failure is not None:
            raise failure

    def _stop(self) -> None:
        self._steps = None
        while self._hooks:
            self._hooks.pop().remove()
        if self._axis is not None:
            self._axis.stop()
        if self._turns is not None:
            self._turns.stop()
        if self._first_batch is not None:
            self._first_batch.stop()
            self._first_batch = None
        if self._watch is not None:
            self._watch.stop_serving()
            self._watch.over = True
        if self.executor is not None:
            executor, self.executor, self.stages = self.executor, None, None
            executor.close()
        if self._watch is not None:
            self._watch.close()

    def _learn_reuse(self, reuse: list[int]) -> None:
        """Take over how often an input passes through each layer; where its blocks are stays."""
        assert self.plan is not None
        of_layer = dict(zip((name for name, _ in self._layers), reuse, strict=True))
        layers = tuple(replace(shape, reuse=of_layer[shape.name]) for shape in self.plan.layers)
        self.plan, self.reuse_known = replace(self.plan, layers=layers), True

    def _count_samples(
        self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        if self._axis is not None and model.training and torch.is_grad_enabled():
            self.totals.samples += self._axis.inputs_of(args, kwargs)


def _require_positive(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} = {value!r} must be a number of at least 1")
