"""What LeNet5's training step asks of a card, counted without one. Run as a script for Triton's interpreter:

TRITON_INTERPRET=1 python card_counts.py

It prints the counts as JSON (``> ../golden/card_step.json`` keeps them). Torch's processor stands for the
card: a tensor there is where the tiles compute. Kernels are counted and not run, as the interpreter would
take minutes for them; memory that nobody has written is zero.
"""

from __future__ import annotations

import contextlib
import json
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import crossgrid as cg

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "examples"))

BATCH, LEARNING_RATE = 8, 0.01  # of example 4

#: methods of a tensor that wait for the card and bring something from it
WAITS = ("item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__", "__array__")
#: functions that make a tensor of what is in the host's memory
COPIES = ("from_numpy", "tensor", "as_tensor")
#: operators that do nothing but take memory
ALLOCATE = ("empty", "new_empty", "zeros", "new_zeros")


class Counted(TorchDispatchMode):
    """Operators, launches, waits and copies while it is open."""

    def __init__(self, pretend: bool) -> None:
        super().__init__()
        self.pretend = pretend  # that launches run
        self.launches: Counter[str] = Counter()
        self.operators: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self.copies: Counter[str] = Counter()
        self.allocations: Counter[str] = Counter()
        self.numbers: list[tuple[str, tuple[Any, ...]]] = []  # that a launch or an operator was given
        self.quiet = 0  # whether what happens is of this count or of the interpreter

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name, result = func.overloadpacket.__name__, func(*args, **kwargs)
        if self.quiet:
            return result
        if self.pretend and name.startswith(ALLOCATE):
            result.zero_()
        if not _is_view(func) and not name.startswith("_record_function"):  # of torch's profiler
            self.operators[name] += 1
            self.numbers.append((name, tuple(_numbers([*args, *kwargs.values()]))))
            if name.startswith(ALLOCATE):
                self.allocations[_where()] += 1
        return result

    @contextlib.contextmanager
    def unseen(self) -> Iterator[None]:
        """Around what a card would not do."""
        self.quiet += 1
        try:
            yield
        finally:
            self.quiet -= 1

    def table(self) -> dict[str, Any]:
        """The counts, in the order of their names; allocations are among the operators."""
        kinds = ("launches", "operators", "waits", "copies", "allocations")
        counted: dict[str, Any] = {kind: dict(sorted(getattr(self, kind).items())) for kind in kinds}
        return {
            "launches and operators": self.launches.total() + self.operators.total(),
            "totals": {kind: getattr(self, kind).total() for kind in kinds},
            **counted,
        }


def _flat(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _flat(value)
        else:
            yield value


def _numbers(values: Any) -> list[Any]:
    return [value for value in _flat(values) if isinstance(value, (int, float))]


def _is_view(func: Any) -> bool:
    """Whether what an operator gives is another look at what it was given."""
    found = [each.alias_info for each in func._schema.returns]
    return bool(found) and all(alias is not None and not alias.is_write for alias in found)


def _where() -> str:
    """The function of the project that asked."""
    for frame in reversed(traceback.extract_stack()):
        for part in ("kernels", "emulator"):
            if f"/{part}/" in frame.filename and "/tests/" not in frame.filename:
                return f"{part}/{frame.filename.split(f'/{part}/')[-1]} {frame.name}"
    return "torch"


@contextlib.contextmanager
def counting(pretend: bool = True) -> Iterator[Counted]:
    """Count what happens inside; ``pretend``: launches are not run."""
    from triton.runtime.interpreter import GridExecutor

    counted, undo = Counted(pretend), []

    def replace(owner: Any, name: str, made: Callable[[Any, str], Any]) -> None:
        original = getattr(owner, name)
        undo.append((owner, name, original))
        setattr(owner, name, made(original, name))

    def launched(original: Any, _: str) -> Any:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            name = self.fn.__name__
            counted.launches[name] += 1
            counted.numbers.append((name, tuple(_numbers([*args, *kwargs.values(), *self.grid]))))
            with counted.unseen():
                return None if pretend else original(self, *args, **kwargs)

        return call

    def waited(original: Any, name: str) -> Any:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not counted.quiet and not getattr(self, "is_here", False):
                counted.waits[f"{name}, {_where()}"] += 1
            with counted.unseen():
                result = original(self, *args, **kwargs)
                if name == "cpu":
                    result = result.view_as(result)
                    result.is_here = True
            return result

        return call

    def copied(original: Any, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if not counted.quiet and not isinstance(args[0], torch.Tensor):
                counted.copies[f"{name}, {_where()}"] += 1
            with counted.unseen():
                return original(*args, **kwargs)

        return call

    replace(GridExecutor, "__call__", launched)
    for name in WAITS:
        replace(torch.Tensor, name, waited)
    for name in COPIES:
        replace(torch, name, copied)
    try:
        with counted:
            yield counted
    finally:
        for owner, name, original in reversed(undo):
            setattr(owner, name, original)


def lenet5_step() -> tuple[nn.Module, Callable[[], None]]:
    """The network of example 4 as it converts it, and a training step on a batch that is on the card."""
    from lenet5 import LeNet5

    torch.manual_seed(1)
    model = cg.convert_to_analog(LeNet5(), cg.SingleRPUConfig(device=cg.ConstantStepDevice()))
    optimizer, criterion = cg.AnalogSGD(model.parameters(), lr=LEARNING_RATE), nn.NLLLoss()
    for group in optimizer.param_groups:
        group["foreach"] = True  # as torch chooses on a card
    x, y = torch.rand(BATCH, 1, 28, 28), torch.arange(BATCH)

    def step() -> None:
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        optimizer.step()

    return model, step


def main() -> None:
    """The second step; what the third is given in other numbers."""
    with contextlib.redirect_stdout(sys.stderr), counting():
        model, step = lenet5_step()
        with cg.emulate(model, device="cuda"):
            step()
            with counting() as second:
                step()
            with counting() as third:
                step()
    assert second.table() == third.table()
    both = zip(second.numbers, third.numbers, strict=True)
    changed = sorted({name for (name, numbers), each in both if (name, numbers) != each})
    print(json.dumps({**second.table(), "given other numbers in the next step": changed}, indent=1))


if __name__ == "__main__":
    main()
