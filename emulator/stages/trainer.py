"""The driver's side of training in stages: what a step is told, what comes back, where its optimizer is."""

from __future__ import annotations

import io
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import ray
import torch
from ray import cloudpickle
from torch import Tensor, nn

from crossgrid.kernels.errors import ConfigError

from ..actors.wire import Letter, send
from ..errors import TileError
from ..hosts.grid import TileGrid
from ..hosts.interrupts import Uninterrupted
from ..model.deferred import put
from ..model.joining import Criterion, clip_factor, total_norm
from ..nn.dropout import step_key
from ..nn.hooks.listening import Listener
from .launch import given
from .letters import Values
from .optimizers import Options, Recipe, names_of, options_of, recipe_of
from .training import INPUT, Passed, Step

if TYPE_CHECKING:
    from .executor import StageExecutor


@dataclass(frozen=True, slots=True)
class Told:
    """A whole training step, so that it can be done again."""

    parts: tuple[Tensor, ...]
    step: Step
    factor: Tensor | None  # that gradients were multiplied with
    number: int  # of the optimizer
    options: tuple[Options, ...]


class StageTrainer:
    """Trains a model in stages."""

    def __init__(self, executor: StageExecutor) -> None:
        self.executor, self.model = executor, executor.model
        self.trained = False  # whether stages hold what the driver's model does not
        self.steps = 0
        self._numbers: weakref.WeakKeyDictionary[torch.optim.Optimizer, int] = weakref.WeakKeyDictionary()
        self._heard: weakref.WeakSet[torch.optim.Optimizer] = weakref.WeakSet()
        self._recipes: list[Recipe] = []
        self._owners: dict[str, int] = {}  # of parameters in several stages: which one trains it
        self._factor: Tensor | None = None
        self._open = False  # between a step's backward passes and its update
        self._hook: Any = self.model.register_state_dict_pre_hook(Listener(self._before_state))

    def step(
        self, x: Tensor, y: Any, criterion: Criterion, optimizer: torch.optim.Optimizer, micro_batches: int,
        schedule: str, max_norm: float | None,
    ) -> float:  # fmt: skip
        """One training step; the loss.

        Raises:
            ConfigError: something in it cannot be done in stages; nothing was updated then.
        """
        number = self._known_as(optimizer)
        parts = x.chunk(micro_batches)
        for part in parts:
            self.executor.path(part)
        step = Step(
            tuple(len(part) for part in parts), schedule,
            tuple(module.training for module in self.model.modules()),
            tuple(parameter.requires_grad for parameter in self.model.parameters()),
            self.executor.wanted[self.model.training], step_key(self.model), _packed(criterion), y,
        )  # fmt: skip
        optimizer.zero_grad()
        loss = self._pass_through(parts, step)
        self._factor, self._open = None, True
        done = False

        def update(*_: Any) -> None:
            nonlocal done
            if not done:  # an analog optimizer's class and torch's both call their hooks
                done = True
                options = options_of(optimizer)
                self._update(Told(parts, step, self._factor, number, options))

        hook = optimizer.register_step_pre_hook(update)  # behind those of the user, which may clip
        try:
            if max_norm is not None:
                self.clip(max_norm, 2.0)
            optimizer.step()
        finally:
            hook.remove()
            self._open = False
        return loss

    def _pass_through(self, parts: Sequence[Tensor], step: Step) -> float:
        """The loss of a step whose gradients the stages have now."""
        passed = self._round(parts, step)
        for stage, each in enumerate(passed):
            for name in each.reached:
                owner = self._owners.setdefault(name, stage)
                if owner != stage:
                    raise ConfigError(
                        f"{name} learns in stage {owner} of the model and in stage {stage}: its gradients "
                        "cannot be added there; begin the stages so that one has both places "
                        "(stages=[names]), untie the weights, or freeze them"
                    )
        loss = passed[-1].loss
        assert loss is not None
        return loss

    def _round(self, parts: Sequence[Tensor], step: Step) -> list[Passed]:
        """What the stages say of a step that went forward and backward.

        Raises:
            TileError: a stage died.
        """
        executor = self.executor
        executor.round, executor.busy = executor.round + 1, True
        others, last = without_targets(step), executor.cut.count - 1
        promises = {
            s.number: s.actor.train.remote(executor.round, step if s.number == last else others)
            for s in executor.stages
        }
        whole = False
        try:
            for number, part in enumerate(parts):
                content = Values.of(executor.round, number, {INPUT: part})
                with Uninterrupted():
                    send(executor.stages[0].socket, Letter(content, number, False))
            waiting = [*promises.values()]
            while waiting:
                ended, waiting = ray.wait(waiting, num_returns=1)
                given(ended, None)
            whole = True
        except ray.exceptions.RayActorError:
            dead = next((s for s in executor.stages if s.is_gone), executor.stages[0])
            raise TileError(
                f"{dead.where} died in a training step, which no stage finishes: restore the run from the "
                "last emulation.save(dir, optimizer) (cg.restore)"
            ) from None
        finally:
            executor.busy = False
            if not whole:
                executor.give_up(promises)
        return [passed for passed, _ in given([*promises.values()], None)]

    def _update(self, told: Told) -> None:
        """Let the stages make the update of a step."""
        clocks = self.executor.ask_all("update", told.number, told.options)
        for stage, after in zip(self.executor.stages, clocks, strict=True):
            stage.clocks = after
        self.trained, self.steps = True, self.steps + 1

    def clip(self, max_norm: float, kind: float) -> Tensor:
        """Scale the step's gradients so that their norm is at most ``max_norm``; the norm before.

        Raises:
            ConfigError: there is no step whose gradients could be scaled.
        """
        if not self._open:
            raise ConfigError(
                "the stages have gradients within train_step alone: give it max_norm=, or call "
                "clip_grad_norm_ in a hook (optimizer.register_step_pre_hook)"
            )
        norms: dict[str, Tensor] = {}
        for of_stage in self.executor.ask_all("of_training", "norms", kind):
            norms |= of_stage
        names = [name for name, _ in self.model.named_parameters()]
        norm = total_norm(norms, names, kind)
        factor = clip_factor(norm, max_norm)
        self.executor.ask_all("of_training", "scale", factor)
        self._factor = factor if self._factor is None else self._factor * factor
        return norm

    def _known_as(self, optimizer: torch.optim.Optimizer) -> int:
        """The number of an optimizer, which the stages have built."""
        number, names = self._numbers.get(optimizer), names_of(self.model, optimizer)
        if number is not None:
            if [[*each] for _, each in self._recipes[number].groups] == names:
                return number
            self.bring_home()  # groups were added: it is built again, in the state that it has
        recipe = recipe_of(self.model, optimizer)
        if number is None and optimizer not in self._heard:
            optimizer.register_state_dict_pre_hook(Listener(self._before_state))
            optimizer.register_load_state_dict_post_hook(Listener(self._forget))
            self._heard.add(optimizer)
        number = len(self._recipes)
        self.executor.ask_all("of_training", "build", number, recipe)
        self._recipes.append(recipe)
        self._numbers[optimizer] = number
        return number

    def _forget(self, optimizer: torch.optim.Optimizer) -> None:
        """An optimizer was given another state: the stages are to build it again."""
        self._numbers.pop(optimizer, None)

    def _before_state(self, *_: Any) -> None:
        """Somebody reads the state of the model or of an optimizer."""
        if self.executor.stages:
            self.bring_home()

    def bring_home(self) -> None:
        """Give the driver's model and optimizers what the stages trained."""
        if not self.trained:
            return
        self.trained = False
        learnt = not self.executor.brings_home
        tensors = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
        for stage, of_stage in enumerate(self.executor.ask_all("of_training", "numbers", learnt)):
            for name, values in of_stage.items():
                if self._owners.get(name, stage) == stage:
                    _take(self.model, name, tensors[name], values)
        for optimizer, number in [*self._numbers.items()]:
            self._bring_state(number, optimizer)

    def _bring_state(self, number: int, optimizer: torch.optim.Optimizer) -> None:
        states: dict[str, Any] = {}
        for stage, of_stage in enumerate(self.executor.ask_all("of_training", "state", number)):
            states |= {name: s for name, s in of_stage.items() if self._owners.get(name, stage) == stage}
        names = names_of(self.model, optimizer)
        for group, of_group in zip(optimizer.param_groups, names, strict=True):
            for parameter, name in zip(group["params"], of_group, strict=True):
                if name in states:
                    optimizer.state[parameter] = states[name]

    def require_none_lost(self, where: str) -> None:
        """An error where a stage that is gone had learnt something.

        Raises:
            TileError: names the stage, which is ``where``.
        """
        if self.steps:
            raise TileError(
                f"{where} died, and what it learnt in {self.steps} steps is gone with it: restore the run "
                "from the last emulation.save(dir, optimizer) (cg.restore), and call save more often"
            )

    def stop(self) -> None:
        """The stages end."""
        self._hook.remove()


def _take(model: nn.Module, name: str, tensor: Tensor, values: Tensor) -> None:
    if tensor.is_meta:
        put(model, name, tensor, values)
        return
    if torch.equal(tensor.detach(), values):
        return  # nobody wrote to it: what was programmed stays
    with torch.no_grad():
        tensor.copy_(values)


class _Criterion(cloudpickle.CloudPickler):  # type: ignore[misc]
    """Refuses what a criterion in another process cannot use."""

    def reducer_override(self, obj: Any) -> Any:
        """How ``obj`` is written."""
        if isinstance(obj, TileGrid) or (isinstance(obj, nn.Parameter) and obj.requires_grad):
            raise ConfigError(
                "the criterion holds layers or parameters that learn, and the stages train the model's: it "
                "sees outputs and targets alone; let the model give what it needs as an output, or leave "
                "stages= out"
            )
        return super().reducer_override(obj)


def _packed(criterion: Criterion) -> bytes:
    """A criterion as the last stage gets it."""
    file = io.BytesIO()
    _Criterion(file).dump(criterion)
    return file.getvalue()


def without_targets(step: Step) -> Step:
    """A step as it is told to stages that do not judge."""
    return replace(step, y=None, criterion=b"")
