"""What one stage does in a training step: passes with gradients in both directions, then its own update.

Every sum is made in the order of the local run: torch's engine goes through a graph from its end to its
beginning, and the gradients of values that were handed on, which come from later stages, are there before
those that this stage adds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from ray import cloudpickle
from torch import Tensor, nn

from crossgrid.kernels.errors import ConfigError

from ..analog_matrix.mini_batch import mini_batch
from ..analog_matrix.weights import AnalogContext, plain
from ..model.joining import Criterion, Judged, add_gradients, flatten, judge, norm_of
from ..nn.dropout import addressed, of_micro_batch
from .links import Links, Values
from .optimizers import Options, Recipe, States, built, set_options, state_of
from .orders import order
from .passes.cut import Cut
from .passes.passing import Passages

#: the name of a micro-batch's input among its values
INPUT = "x"


@dataclass(frozen=True, slots=True)
class Manner:
    """What is the same in most steps and grows with the model's depth: it is told when it changes."""

    schedule: str
    modes: tuple[bool, ...]  # of all modules: whether they train
    learns: tuple[bool, ...]  # of all parameters
    wanted: tuple[tuple[str, ...], ...]  # the values that each stage hands on
    criterion: bytes  # the last stage's alone


@dataclass(frozen=True, slots=True)
class Step:
    """What all stages are told of a training step."""

    manner: Manner
    sizes: tuple[int, ...]  # samples of each micro-batch
    dropout: int | None  # key of the masks
    y: Any  # targets; the last stage's alone


@dataclass(frozen=True, slots=True)
class Passed:
    """What a stage says of a step that went forward and backward."""

    loss: float | None  # of the last stage
    reached: tuple[str, ...]  # parameters in several stages that a gradient came to here


@dataclass(slots=True)
class _Kept:
    """A micro-batch between its way forward and its way back."""

    handed: dict[str, Tensor]  # leaves in the place of what the stage before made
    made: Any  # by name what goes to the next stage; of the last one the model's output


class _Received(torch.autograd.Function):
    """A value of another stage as if it were made here: later operations may write to it in place."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.detach()

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> Tensor:  # type: ignore[override]
        return d


class StageTraining:
    """The training of one stage's part of a model."""

    def __init__(self, model: nn.Module, cut: Cut, stage: int, passages: Passages, states: States) -> None:
        self.model, self.cut, self.stage, self.passages = model, cut, stage, passages
        self.last = stage == cut.count - 1
        stages: dict[int, set[int | None]] = {}
        named = [*model.named_parameters(remove_duplicate=False)]
        for name, parameter in named:
            stages.setdefault(id(parameter), set()).add(cut.stage_of_parameter(name))
        self.own = {
            name: parameter
            for name, parameter in model.named_parameters()
            if stages[id(parameter)] & {None, stage}
        }
        self.several = {name for name, parameter in self.own.items() if stages[id(parameter)] != {stage}}
        self.manner: Manner | None = None  # of the last step
        self.optimizers: dict[int, torch.optim.Optimizer] = {}
        self._snapshot = states  # of optimizers that are built again

    def step_of(self, manner: Manner | None, *more: Any) -> Step:
        """A step in that manner, or in the last one's."""
        self.manner = manner or self.manner
        assert self.manner is not None
        return Step(self.manner, *more)

    def pass_through(self, step: Step, links: Links) -> Passed:
        """Let the micro-batches go forward and backward, and leave their gradients.

        Raises:
            Abandoned: another stage died or failed.
            ConfigError: random numbers are drawn that have no address, or the criterion does not fit.
        """
        for module, trains in zip(self.model.modules(), step.manner.modes, strict=True):
            module.training = trains
        for parameter, learns in zip(self.model.parameters(), step.manner.learns, strict=True):
            if parameter.requires_grad != learns:
                parameter.requires_grad_(learns)
        for parameter in self.own.values():
            parameter.grad = None
        run = _Run(self, step, links)
        before = torch.get_rng_state()
        with mini_batch(), addressed(self.model, step.dropout), torch.enable_grad():
            for back, number in order(step.manner.schedule, self.stage, self.cut.count, len(step.sizes)):
                with of_micro_batch(number):
                    (run.backward if back else run.forward)(number)
        if not torch.equal(before, torch.get_rng_state()):
            self._refuse_draws()
        reached = tuple(name for name in self.several if self.own[name].grad is not None)
        return Passed(run.loss, reached)

    def _refuse_draws(self) -> None:
        """Say that something drew from torch's generator, whose order no other process can keep.

        Raises:
            ConfigError: always.
        """
        first = min(name for name, stage in self.cut.parts.items() if stage == self.stage)
        raise ConfigError(
            f"stage {self.stage} of the model ({first or type(self.model).__name__}, ...) drew from torch's "
            "generator in training, and only nn.Dropout* layers have masks that are the same in any process: "
            "set the dropout of attention, recurrent layers and functions to 0, or leave stages= out"
        )

    def norms(self, kind: float) -> dict[str, Tensor]:
        """The norms of the digital gradients by parameter."""
        return {name: norm_of(grad, kind) for name, grad in self._gradients()}

    def scale(self, factors: Sequence[Tensor]) -> None:
        """Multiply the digital gradients by one factor after the other."""
        for _, grad in self._gradients():
            for factor in factors:
                grad.mul_(factor)

    def _gradients(self) -> list[tuple[str, Tensor]]:
        return [
            (name, parameter.grad)
            for name, parameter in self.own.items()
            if not isinstance(parameter, AnalogContext) and parameter.grad is not None
        ]

    def build(self, number: int, recipe: Recipe) -> None:
        """Make this stage's part of an optimizer."""
        state = self._snapshot.pop(number, recipe.state)
        self.optimizers[number] = built(replace(recipe, state=state), self._all_names())

    def step(self, number: int, options: bytes | None) -> None:
        """Let an optimizer move the stage's parameters, with other options where there are some."""
        optimizer = self.optimizers[number]
        if options is not None:
            told: tuple[Options, ...] = cloudpickle.loads(options)
            set_options(optimizer, told)
        optimizer.step()

    def _all_names(self) -> dict[str, nn.Parameter]:
        """The stage's parameters by all names that they have."""
        own = {id(parameter) for parameter in self.own.values()}
        named = self.model.named_parameters(remove_duplicate=False)
        return {name: parameter for name, parameter in named if id(parameter) in own}

    def state(self, number: int) -> dict[str, Mapping[str, Any]]:
        """What an optimizer keeps of this stage's parameters."""
        return state_of(self.optimizers[number], self._all_names())

    def states(self) -> States:
        """What all optimizers keep of this stage's parameters."""
        return {number: self.state(number) for number in self.optimizers}

    def numbers(self, learnt: bool) -> dict[str, Tensor]:
        """The digital parameters of this stage, and its buffers; or only parameters that have learnt."""
        numbers = {
            name: plain(parameter)
            for name, parameter in self.own.items()
            if not isinstance(parameter, AnalogContext) and (parameter.requires_grad or not learnt)
        }
        for name, buffer in () if learnt else self.model.named_buffers():
            if self.cut.stage_of_parameter(name) == self.stage:
                numbers[name] = buffer
        return numbers


@dataclass(slots=True)
class _Run:
    """The passes of one step."""

    training: StageTraining
    step: Step
    links: Links
    loss: float | None = None
    kept: dict[int, _Kept] = field(default_factory=dict)
    outputs: list[Any] = field(default_factory=list)  # of the last stage
    judged: Judged | None = None  # of GPipe, all at once
    used: list[list[Tensor]] = field(default_factory=list)  # gradients that outputs went back with

    def forward(self, number: int) -> None:
        """Let a micro-batch go forward through this stage."""
        training, links = self.training, self.links
        came = links.take(number)
        values, leaves = _received(came)
        x = values.pop(INPUT)
        wanted = () if training.last else self.step.manner.wanted[training.stage]
        made = training.passages.run(x, values, frozenset(wanted), learns=True)
        self.kept[number] = _Kept(leaves, made)
        if training.last:
            self.outputs.append(made)
        else:
            links.give(number, {INPUT: x, **made}, [name for name, v in made.items() if v.requires_grad])

    def backward(self, number: int) -> None:
        """Let a micro-batch go back through it, and add its gradients."""
        training, kept = self.training, self.kept.pop(number)
        ends, gradients = self._judge(number) if training.last else self._handed_back(number, kept)
        learning = [p for p in training.own.values() if p.requires_grad]
        found: Sequence[Tensor | None] = ()
        if ends:
            inputs = [*learning, *kept.handed.values()]
            found = torch.autograd.grad(ends, inputs, gradients, allow_unused=True)
            add_gradients(learning, found[: len(learning)])
        of_handed = zip(kept.handed, found[len(learning) :], strict=bool(ends))
        self.links.give_back(number, {name: d for name, d in of_handed if d is not None})

    def _handed_back(self, number: int, kept: _Kept) -> tuple[list[Tensor], list[Tensor]]:
        """What goes back of what was handed on, and its gradients."""
        back = self.links.take(number, back=True).tensors()
        return [kept.made[name] for name in back], [*back.values()]

    def _judge(self, number: int) -> tuple[list[Tensor], list[Tensor]]:
        """What of the output goes back, and its gradients."""
        model, step = self.training.model, self.step
        if self.judged is None or step.manner.schedule != "gpipe":
            criterion: Criterion = cloudpickle.loads(step.manner.criterion)
            ahead = step.sizes[len(self.outputs) :]
            unknown = [_like(self.outputs[-1], size, step.sizes[number]) for size in ahead]
            self.judged = judge(model, [*self.outputs, *unknown], step.sizes, criterion, step.y)
            self.loss = self.judged.loss.item()
        ends, gradients = self.judged.ends(number, self.outputs[number])
        if step.manner.schedule != "gpipe":
            self._require_same(number, gradients)
        return ends, gradients

    def _require_same(self, number: int, gradients: list[Tensor]) -> None:
        """An error where the criterion gives others once all outputs are known: no update is made then."""
        self.used.append(gradients)
        if number < len(self.step.sizes) - 1:
            return
        assert self.judged is not None
        for earlier, used in enumerate(self.used):
            _, known = self.judged.ends(earlier, self.outputs[earlier])
            if len(known) != len(used) or not all(map(torch.equal, known, used)):
                raise ConfigError(
                    "schedule = '1f1b' goes backward with a micro-batch before the next is known, and the "
                    f"criterion's gradient of micro-batch {earlier} depends on others': use schedule='gpipe'"
                )


def _received(came: Values) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Values by name, and the leaves at which their gradients are taken."""
    values = came.tensors()
    leaves = {name: values[name].requires_grad_() for name in came.learns}
    passed: Any = _Received.apply
    return {**values, **{name: passed(leaf) for name, leaf in leaves.items()}}, leaves


def _like(output: Any, size: int, own: int) -> Any:
    """The first of an output's ``own`` samples in the place of ``size`` that are not known yet."""
    leaves, back = flatten(output)
    if size == own:
        return back([leaf.detach() if isinstance(leaf, Tensor) else leaf for leaf in leaves])
    shorter = []
    for leaf in leaves:
        if isinstance(leaf, Tensor):
            axis = next((axis for axis, length in enumerate(leaf.shape) if length == own), None)
            shorter.append(leaf.detach() if axis is None else leaf.detach().narrow(axis, 0, size))
        else:
            shorter.append(leaf)
    return back(shorter)
