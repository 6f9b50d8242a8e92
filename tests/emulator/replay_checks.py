"""A training step that a card repeats alone has the bits of one that the host leads. Run as a script:

TRITON_INTERPRET=1 python replay_checks.py retries momentum obstacles

The words are kinds of a run, see ``made``, or ask for what is told where no step can be repeated. A tape
takes the place of a CUDA graph: all operators and launches of a step, in order, with the tensors and the
numbers that they were given then. Played again it does what a graph does, and nothing of Python's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from triton.runtime.interpreter import GridExecutor

import crossgrid as cg
from crossgrid.emulator.replay import steps
from crossgrid.emulator.replay.steps import WARM_STEPS, CardSteps, Graph

LAUNCH = GridExecutor.__call__

#: of a run, half of them with another learning rate
STEPS = 2 * (WARM_STEPS + 2)


class Tape(TorchDispatchMode):
    """What is done while it is open, to be done again."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[Callable[[], None]] = []
        self.within_launch = False
        self.is_new = True

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if not self.within_launch:
            self.done.append(lambda: self._again(func, args, kwargs, result))
        return result

    @staticmethod
    def _again(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """The operator once more, with its results where they were."""
        again = func(*args, **kwargs)
        for new, old in zip(tree_leaves(again), tree_leaves(result), strict=True):
            if isinstance(new, Tensor) and new.data_ptr() != old.data_ptr():
                old.copy_(new)

    @contextmanager
    def recording(self) -> Iterator[None]:
        def launch(grid: Any, *args: Any, **kwargs: Any) -> None:
            self.within_launch = True
            LAUNCH(grid, *args, **kwargs)
            self.within_launch = False
            self.done.append(lambda: LAUNCH(grid, *args, **kwargs))

        GridExecutor.__call__ = launch
        try:
            with self:
                yield
        finally:
            GridExecutor.__call__ = LAUNCH

    def replay(self) -> None:
        """Do all of it again; the first time it has just been done: a graph is captured without effect."""
        if not self.is_new:
            with torch._C._AutoDispatchBelowAutograd():  # type: ignore[attr-defined]  # where it was recorded
                for each in self.done:
                    each()
        self.is_new = False


def as_tape(work: Callable[[], Tensor]) -> tuple[Graph, Tensor]:
    tape = Tape()
    with tape.recording():
        result = work()
    return tape, result


def no_capture(_: Callable[[], Tensor]) -> tuple[Graph, Tensor]:
    raise RuntimeError("operation not permitted when stream is capturing")


def made(kind: str) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A convolution and a layer on tiles; biases and a norm are digital."""
    device: Any = cg.SoftBoundsDevice() if kind == "soft bounds" else cg.ConstantStepDevice()
    config = cg.SingleRPUConfig(device=device, update=cg.UpdateParameters(desired_bl=3))
    if kind == "retries":
        config.forward.out_bound = 0.3
    torch.manual_seed(2)
    net = nn.Sequential(
        nn.Conv2d(1, 2, 2, stride=2), nn.BatchNorm2d(2), nn.Tanh(), nn.Flatten(), nn.Linear(2, 3)
    )  # fmt: skip
    model = cg.convert_to_analog(net, config, seed=4)
    momentum = 0.5 if kind == "momentum" else 0.0
    return model, cg.AnalogSGD(model.parameters(), lr=0.1, momentum=momentum)


def batches(count: int) -> Iterator[tuple[Tensor, Tensor]]:
    drawn = torch.Generator().manual_seed(5)
    for _ in range(count):
        yield torch.randn(2, 1, 3, 3, generator=drawn), torch.randint(3, (2,), generator=drawn)


def trained(kind: str, capture: Any) -> tuple[list[Any], int]:
    """All that a run shows: losses, an inference in the middle, another rate, weights, counters."""
    model, optimizer = made(kind)
    seen = list[Any]()
    with cg.emulate(model, device="cuda") as running:
        if capture is not None:
            counted = [(running.totals, "samples")]
            running._steps = CardSteps(model, running._layers, running.executor, counted, capture)
        for number, (x, y) in enumerate(batches(STEPS)):
            loss = running.train_step(x, y, nn.CrossEntropyLoss(), optimizer)  # made anew, it is the same
            assert isinstance(loss, Tensor)
            assert loss.shape == ()
            seen.append(loss.item())
            if number == WARM_STEPS:
                seen.append(running.infer(x))
            if number == STEPS // 2 - 1:
                optimizer.param_groups[0]["lr"] = 0.05
        replays = running._steps.replays
        counters = [
            {name: count for name, count in each.items() if not name.endswith("seconds")}
            for _, each in running.tile_samples()
        ]
        seen += [counters, running.totals.samples, *model.state_dict().values(), cg.weights_sha256(model)]
        assert ("not replayed" in str(running.report())) == (replays == 0)
        assert kind != "retries" or any(each["retries"] for each in counters)
    return seen, replays


def check_bits(kind: str) -> None:
    """Played from a tape or led by the host: equal losses, outputs, weights, statistics and counters."""
    led, none = trained(kind, no_capture)
    played, replays = trained(kind, as_tape)
    assert none == 0
    assert replays == STEPS - 2 * WARM_STEPS  # of either rate
    for a, b in zip(led, played, strict=True):
        assert torch.equal(a, b) if isinstance(a, Tensor) else a == b, (kind, a, b)


def scaled_entropy(factor: float, found: Tensor, wanted: Tensor) -> Tensor:
    return nn.functional.cross_entropy(found, wanted) * factor


def check_obstacles() -> None:
    """What the host must take part in is told by name."""
    x, y = torch.linspace(-1, 1, 4).reshape(2, 2), torch.arange(2)
    noisy = cg.SingleRPUConfig(device=cg.ConstantStepDevice(diffusion=0.01))
    cases: list[tuple[Any, nn.Module, str]] = [
        (noisy, nn.Linear(2, 2), "diffuse"),
        (cg.InferenceRPUConfig(), nn.Linear(2, 2), "modified for each mini-batch"),
        (cg.SingleRPUConfig(), nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 2)), "dropout"),
        (cg.SingleRPUConfig(), nn.Linear(2, 2), "torch could not capture it"),
    ]
    for config, net, words in cases:
        model = cg.convert_to_analog(nn.Sequential(net), config)
        criterion, optimizer = nn.CrossEntropyLoss(), cg.AnalogSGD(model.parameters(), lr=0.1)
        with cg.emulate(model, device="cuda") as running:
            running._steps = CardSteps(model, running._layers, running.executor, [], no_capture)
            for _ in range(WARM_STEPS + 1 if "capture" in words else 1):
                assert torch.isfinite(running.train_step(x, y, criterion, optimizer))
            assert words in " ".join(str(running.report()).split()), words
    steps.MOST_KINDS = 2  # a step takes seconds here
    with cg.emulate(model, device="cuda") as running:
        for factor in (1.0, 2.0):
            rule = partial(scaled_entropy, factor)
            running.train_step(x, y, rule, optimizer)
        assert "each is of another kind" in " ".join(str(running.report()).split())


def main() -> None:
    for kind in sys.argv[1:]:
        check_obstacles() if kind == "obstacles" else check_bits(kind)
    print("agrees")


if __name__ == "__main__":
    main()
