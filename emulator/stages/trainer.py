"""The driver's side of training in stages: what a step is told, what comes back, where its optimizer is."""

from __future__ import annotations

import contextlib
import io
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import ray
import torch
from ray import cloudpickle
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from crossgrid.kernels.errors import ConfigError

from ..config.recovery import Recovery
from ..hosts.grid import TileGrid
from ..hosts.interrupts import Uninterrupted
from ..model.deferred import put
from ..model.joining import Criterion, clip_factor, total_norm
from ..nn.dropout import step_key
from ..nn.hooks.listening import Listener
from ..wire.letters import Letter, send
from .actor import moved
from .launch import LOOK_SECONDS, STEP, Stage, StageGone, answers, given
from .links import Values
from .optimizers import Options, Recipe, names_of, options_of, recipe_of
from .revival import unsure_within
from .training import INPUT, Manner, Passed, Step

if TYPE_CHECKING:
    from .executor import StageExecutor


Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Told:
    """A whole training step, so that it can be done again."""

    parts: tuple[Tensor, ...]
    step: Step
    factors: tuple[Tensor, ...]  # that gradients were multiplied with
    number: int  # of the optimizer
    options: tuple[Options, ...]


class StageTrainer:
    """Trains a model in stages."""

    def __init__(self, executor: StageExecutor) -> None:
        self.executor, self.model = executor, executor.model
        self.trained = False  # whether stages hold what the driver's model does not
        self._bytes = 0  # of inputs that are remembered
        self._numbers: weakref.WeakKeyDictionary[torch.optim.Optimizer, int] = weakref.WeakKeyDictionary()
        self._heard: weakref.WeakSet[torch.optim.Optimizer] = weakref.WeakSet()
        self._recipes: list[Recipe] = []
        self._owners: dict[str, int] = {}  # of parameters in several stages: which one trains it
        self._unheard = False
        self._present: Told | None = None  # between a step's backward passes and its update
        self._hook: Any = self.model.register_state_dict_pre_hook(Listener(self._before_state))

    def step(
        self, x: Tensor, y: Any, criterion: Criterion, optimizer: torch.optim.Optimizer, micro_batches: int,
        schedule: str, max_norm: float | None,
    ) -> float:  # fmt: skip
        """One training step; the loss.

        Raises:
            ConfigError: something in it cannot be done in stages; nothing was updated then.
        """
        with self.executor.turn:
            self.executor.require_open()
            return self._step(x, y, criterion, optimizer, micro_batches, schedule, max_norm)

    def _step(
        self, x: Tensor, y: Any, criterion: Criterion, optimizer: torch.optim.Optimizer, micro_batches: int,
        schedule: str, max_norm: float | None,
    ) -> float:  # fmt: skip
        number = self._known_as(optimizer)
        x, y = tree_map_only(
            Tensor, lambda t: t.detach().clone(), (x, y)
        )  # remembered until the next snapshot
        parts = x.chunk(micro_batches)
        for part in parts:
            self.executor.crossings.path(part)
        manner = Manner(
            schedule,
            tuple(module.training for module in self.model.modules()),
            tuple(parameter.requires_grad for parameter in self.model.parameters()),
            self.executor.crossings.wanted[self.model.training],
            _packed(criterion),
        )
        step = Step(manner, tuple(len(part) for part in parts), step_key(self.model), y)
        optimizer.zero_grad()
        told = Told(parts, step, (), number, ())
        self.executor.revival.settle()
        loss = self._surviving(lambda: self._pass_through(told), None)
        self._present = told

        def update(*_: Any) -> None:
            if self._present is not None:  # an analog optimizer's class and torch's both call their hooks
                present = replace(self._present, options=options_of(optimizer))
                with Uninterrupted():  # or some stages would have learnt, and others not
                    self._update(present)
                    self._present = None

        hook = optimizer.register_step_pre_hook(update)  # behind those of the user, which may clip
        try:
            if max_norm is not None:
                self.clip(max_norm, 2.0)
            optimizer.step()
        finally:
            hook.remove()
            if self._present is not None:  # the passes moved more than the clocks, and no update followed
                self._present = None
                self.executor.mark_unsure()
        return loss

    def _surviving(self, do: Callable[[], Result], told: Told | None) -> Result:
        """What ``do`` gives; where a stage dies, all go on from the last snapshot, and it is done again.

        Args:
            told: the step whose gradients it needs.
        """
        revived = False
        while True:
            try:
                if revived and told is not None:
                    self._gradients(told)
                return do()
            except StageGone:
                self.executor.revival.revive(self.executor.stages)  # the living have done a part of it
                revived = True

    def _pass_through(self, told: Told) -> float:
        """The loss of a step whose gradients the stages have now."""
        passed = self._round(told)
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

    def _gradients(self, told: Told) -> None:
        """Let the stages have the gradients of a step once more."""
        self._round(told)
        self.executor.tell_all("of_training", "scale", told.factors)

    def repeat(self, told: Told) -> None:
        """Do a whole step once more."""
        self._gradients(told)
        self._update_all(told)

    def _change_all(self, told: Told) -> list[Any]:
        """The same, where it is broken off and not begun anew."""
        with unsure_within(self.executor.stages):
            return self._update_all(told)

    def _update_all(self, told: Told) -> list[Any]:
        """How the clocks of the stages have moved once all have made the update of a step."""
        executor, options = self.executor, cloudpickle.dumps(told.options)
        promises = []
        for s in executor.stages:
            new = None if s.options.get(told.number) == options else options
            promises.append((s, s.actor.update.remote((told.number, new))))
            s.options.pop(told.number, None)  # nobody knows until it has answered
        found = answers(promises, executor.timeout_s)
        for s in executor.stages:
            s.options[told.number] = options
        return found

    def _round(self, told: Told) -> list[Passed]:
        """What the stages say of a step that went forward and backward."""
        executor, parts, step = self.executor, told.parts, told.step
        others, last = without_targets(step), executor.cut.count - 1
        told_stages = [step if s.number == last else others for s in executor.stages]
        promises: dict[int, Any] = {}
        with unsure_within(executor.stages):  # of a step that is broken off more than the clocks may stay
            try:
                with Uninterrupted():
                    executor.begin_round()
                    for s, each in zip(executor.stages, told_stages, strict=True):
                        known, s.manner = s.manner == each.manner, None  # until it has answered
                        content = (None if known else each.manner, each.sizes, each.dropout, each.y)
                        promises[s.number] = s.actor.train.remote((executor.round, content))
                for number, part in enumerate(parts):
                    values = Values.of(executor.round, number, {INPUT: part})
                    with Uninterrupted():
                        sent = send(executor.stages[0].socket, Letter(values, number, False))
                        executor.traffic.sent += sent
                passed = self._ends(promises, len(parts))
                promises.clear()
                for s, each in zip(executor.stages, told_stages, strict=True):
                    s.manner = each.manner
                return passed
            finally:
                if promises:
                    with Uninterrupted():
                        executor.leave_round()
                executor.busy = False

    def _ends(self, promises: dict[int, Any], parts: int) -> list[Passed]:
        """What the stages say once all have ended a step of so many micro-batches."""
        waiting, limit_s = [*promises.values()], self.executor.timeout_s * parts
        began = time.monotonic()
        while waiting:
            ended, waiting = ray.wait(waiting, num_returns=1, timeout=LOOK_SECONDS)
            self.executor.require_open()
            given(ended, None)
            if not ended:
                self.executor.require_pace(
                    began, limit_s, f"did not end {parts} micro-batches within {limit_s:g} s"
                )
        return given([*promises.values()], None)

    def _update(self, told: Told) -> None:
        """Let the stages make the update of a step."""
        executor = self.executor
        moves = self._surviving(lambda: self._change_all(told), told)
        for stage, each in zip(executor.stages, moves, strict=True):
            stage.told.append((stage.clocks, STEP, (told,)))
            stage.clocks = moved(stage.clocks, each)
        self.trained = True
        self._bytes += sum(part.nbytes for part in told.parts)
        recovery = executor.recovery or Recovery()
        steps = sum(what == STEP for _, what, _ in executor.stages[0].told)
        if executor.launcher.update_delay:  # updates that wait are in no snapshot
            return
        if steps >= recovery.snapshot_messages or self._bytes > recovery.log_bytes:
            self._surviving(executor.revival.snapshot, None)
            self._bytes = 0

    def clip(self, max_norm: float, kind: float) -> Tensor:
        """Scale the step's gradients so that their norm is at most ``max_norm``; the norm before.

        Raises:
            ConfigError: there is no step whose gradients could be scaled.
        """
        present = self._present
        if present is None:
            raise ConfigError(
                "the stages have gradients within train_step alone: give it max_norm=, or call "
                "clip_grad_norm_ in a hook (optimizer.register_step_pre_hook)"
            )
        executor, norms = self.executor, dict[str, Tensor]()
        for of_stage in self._surviving(lambda: executor.tell_all("of_training", "norms", kind), present):
            norms |= of_stage
        norm = total_norm(norms, [name for name, _ in self.model.named_parameters()], kind)
        factors = (clip_factor(norm, max_norm),)
        self._surviving(lambda: executor.tell_all("of_training", "scale", factors), present)
        self._present = replace(present, factors=present.factors + factors)
        return norm

    def build(self, stages: Sequence[Stage]) -> None:
        """Let stages that were just loaded build their parts of all optimizers."""
        for each in enumerate(self._recipes):
            asked = [(s, s.actor.of_training.remote("build", *each)) for s in stages]
            answers(asked, self.executor.timeout_s)

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
        self._recipes.append(recipe)
        self.executor.ask_all("of_training", "build", number, recipe)
        self._numbers[optimizer] = number
        return number

    def _forget(self, optimizer: torch.optim.Optimizer) -> None:
        """An optimizer was given another state: the stages are to build it again."""
        self._numbers.pop(optimizer, None)

    def _before_state(self, *_: Any) -> None:
        """Somebody reads the state of the model or of an optimizer."""
        if self.executor.stages and not self._unheard:
            self.bring_home()

    @contextlib.contextmanager
    def unheard(self) -> Iterator[None]:
        """Within it the model's state and optimizers' can be read as they are here."""
        self._unheard = True
        try:
            yield
        finally:
            self._unheard = False

    def number_of(self, optimizer: torch.optim.Optimizer) -> int | None:
        """The number of an optimizer that the stages have built."""
        return self._numbers.get(optimizer)

    def is_owner(self, name: str, stage: int) -> bool:
        """Whether a parameter or buffer is trained by ``stage``, as far as anybody trains it."""
        return self._owners.get(name, stage) == stage

    def bring_home(self) -> None:
        """Give the driver's model and optimizers what the stages trained."""
        if not self.trained:
            return
        self.trained = False  # whoever reads a state below is not to begin this anew
        try:
            self._take_home()
        except BaseException:
            self.trained = True
            raise

    def _take_home(self) -> None:
        learnt = not self.executor.brings_home
        tensors = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
        for stage, of_stage in enumerate(self.executor.ask_all("of_training", "numbers", learnt)):
            for name, values in of_stage.items():
                if self.is_owner(name, stage):
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

    @property
    def has_trained(self) -> bool:
        """Whether there was a step, or an attempt."""
        return bool(self._recipes)

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
    return replace(step, y=None, manner=replace(step.manner, criterion=b""))
