"""What a training step asks of a card, counted without one. Run as a script for Triton's interpreter:

TRITON_INTERPRET=1 python card_counts.py [others]

It prints the counts as JSON: of LeNet5 (``> ../golden/card_step.json`` keeps them), or with ``others`` of a
small network (``> ../golden/card_others.json``): devices that decay, cells of several devices, weights of a
digital trainer. Torch's processor stands for the card: a tensor there is where the tiles compute. Kernels are
counted and not run, as the interpreter would take minutes for them; memory that nobody has written is zero.
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
sys.path += [str(ROOT / "examples"), str(ROOT / "tests" / "golden")]

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


DECAYING = {"lifetime": 100.0, "diffusion": 0.001, "reset": 0.1, "reset_dtod": 0.01}


def others() -> dict[str, Any]:
    """The configurations that are counted besides LeNet5's."""
    from stored_runs.cells import CELLS, Policy, vector

    exact = cg.UpdateParameters(pulse_type=cg.PulseType.NONE_WITH_DEVICE)
    modifier = cg.WeightModifierParameter(type=cg.WeightModifierType.ADD_NORMAL, std_dev=0.05)
    return {
        "decay and diffusion": cg.SingleRPUConfig(device=cg.ConstantStepDevice(**DECAYING)),
        "decay, diffusion, write noise": cg.SingleRPUConfig(
            device=cg.LinearStepDevice(write_noise_std=1.0, **DECAYING)
        ),
        **{name: cg.UnitCellRPUConfig(device=make()) for name, make in CELLS.items()},
        "a cell in a cell": cg.UnitCellRPUConfig(
            device=cg.TransferCompound(unit_cell_devices=[vector(Policy.ALL), cg.ConstantStepDevice()])
        ),
        "no pulses": cg.SingleRPUConfig(device=cg.LinearStepDevice(write_noise_std=1.0), update=exact),
        "no pulses in a cell": cg.UnitCellRPUConfig(device=vector(Policy.SINGLE_RANDOM), update=exact),
        "digital weights": cg.FloatingPointRPUConfig(),
        "digital trainer": cg.InferenceRPUConfig(modifier=modifier),
        "digital trainer, scaled, with ranges": cg.InferenceRPUConfig(
            mapping=cg.MappingParameter(
                digital_bias=False,
                weight_scaling_omega=0.6,
                weight_scaling_columnwise=True,
                learn_out_scaling=True,
                max_input_size=2,
            ),
            pre_post=cg.PrePostProcessingParameter(
                input_range=cg.InputRangeParameter(enable=True, init_from_data=0)
            ),
        ),
    }


def small_step(config: Any) -> tuple[nn.Module, Callable[[], None]]:
    """A network of two layers of four inputs, and a training step on a batch of a multiple of that."""
    torch.manual_seed(1)
    model = cg.convert_to_analog(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)), config)
    kind = torch.optim.SGD if isinstance(config, cg.InferenceRPUConfig) else cg.AnalogSGD
    optimizer, criterion = kind(model.parameters(), lr=LEARNING_RATE), nn.CrossEntropyLoss()
    for group in optimizer.param_groups:
        group["foreach"] = True
    x, y = torch.rand(BATCH, 4), torch.arange(BATCH) % 4

    def step() -> None:
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        optimizer.step()

    return model, step


def counted_others() -> dict[str, Any]:
    """Of each configuration the third step, by when what is kept is on the card; waits of three steps.

    A cell may write or be refreshed in every second one: a step is compared with the one after the next.
    """
    table: dict[str, Any] = {}
    for name, config in others().items():
        steps: list[Counted] = []
        with contextlib.redirect_stdout(sys.stderr), counting():
            model, step = small_step(config)
            with cg.emulate(model, device="cuda"):
                step()
                step()
                for _ in range(3):
                    with counting() as one:
                        step()
                    steps.append(one)
        first, _, third = steps
        changed = "in all of them"
        if first.table() == third.table():
            both = zip(first.numbers, third.numbers, strict=True)
            changed = ", ".join(sorted({each[0] for each, other in both if each != other})) or "none"
        found = [sum((getattr(each, kind) for each in steps), Counter()) for kind in ("waits", "copies")]
        table[name] = {
            "launches": first.launches.total(), "operators": first.operators.total(),
            "allocations": first.allocations.total(), "given other numbers": changed,
            "waits": dict(sorted(found[0].items())), "copies": dict(sorted(found[1].items())),
        }  # fmt: skip
    return table


def main() -> None:
    """The second step; what the third is given in other numbers."""
    if sys.argv[1:] == ["others"]:
        print(json.dumps(counted_others(), indent=1))
        return
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
