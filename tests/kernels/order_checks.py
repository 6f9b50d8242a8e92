"""A card runs a launch's programs in any order: no result may depend on it, and no two may race.

Run as a script for Triton's interpreter: TRITON_INTERPRET=1 python order_checks.py

Every launch of a case is run with its programs in order, reversed, and shuffled; results must be equal.
Meanwhile it is noted which addresses each program reads and writes: one that another writes without an
atomic is a race, and one outside of all tensors is a stray.
"""

from __future__ import annotations

import contextlib
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from triton.runtime import interpreter

from crossgrid.kernels.analog_mvm import IOParameters, Periphery
from crossgrid.kernels.backends import CPU, CUDA
from crossgrid.kernels.pulsed_update.parameters import PulseType, UpdateParameters

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "analog_mvm"), str(HERE / "pulsed_update")]

import read_checks  # noqa: E402
from update_cases import DEVICES, trained  # noqa: E402

Order = Callable[[int], list[int]]


def _reversed(programs: int) -> list[int]:
    return [*range(programs)][::-1]


def _shuffled(programs: int) -> list[int]:
    return random.Random(7).sample(range(programs), programs)


ORDERS: dict[str, Order] = {
    "in order": lambda programs: [*range(programs)],
    "reversed": _reversed,
    "shuffled": _shuffled,
}


class Watch:
    """What the programs of a launch do to memory."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.program, self.places = 0, [0]
        self.writers: dict[int, int] = {}
        self.readers: dict[int, set[int]] = defaultdict(set)
        self.bounds: list[tuple[int, int]] = []
        self.wrong: Counter[str] = Counter()
        self.launches: Counter[str] = Counter()

    def begin(self, name: str, tensors: list[torch.Tensor]) -> None:
        """A launch with these tensors."""
        self.name, self.writers, self.readers = name, {}, defaultdict(set)
        self.launches[name] += 1
        storages = [each.untyped_storage() for each in tensors]
        self.bounds = [(each.data_ptr(), each.data_ptr() + each.nbytes()) for each in storages]

    def touch(self, pointers: Any, mask: Any, write: bool) -> None:
        """The present program reads or writes there."""
        at = np.asarray(pointers.data)
        here = (
            np.ones(at.shape, bool)
            if mask is None
            else np.broadcast_to(np.asarray(mask.data, bool), at.shape)
        )
        for address in np.unique(at[here]).tolist():
            if not any(low <= address < high for low, high in self.bounds):
                self.wrong[f"{self.name}: an address outside of every tensor"] += 1
            if not write:
                self.readers[address].add(self.program)
            elif self.writers.setdefault(address, self.program) != self.program:
                self.wrong[f"{self.name}: two programs write one address"] += 1

    def end(self) -> None:
        """The launch is over."""
        for address, writer in self.writers.items():
            if self.readers.get(address, set()) - {writer}:
                self.wrong[f"{self.name}: a program reads what another writes"] += 1


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _tensors(value)


@contextlib.contextmanager
def watched(order: Order) -> Iterator[Watch]:
    """Run launches in this order of their programs, and watch them."""
    watch, undo = Watch(order), []
    kind = type(interpreter.interpreter_builder)

    def replace(owner: Any, name: str, made: Callable[[Any], Any]) -> None:
        undo.append((owner, name, getattr(owner, name)))
        setattr(owner, name, made(getattr(owner, name)))

    def sized(original: Any) -> Any:
        def call(self: Any, *sizes: int) -> Any:
            watch.places = watch.order(int(np.prod(sizes)))
            return original(self, *sizes)

        return call

    def placed(original: Any) -> Any:
        def call(self: Any, x: int, y: int, z: int) -> Any:
            _, second, third = self.grid_dim
            watch.program = watch.places[(x * second + y) * third + z]
            first, rest = divmod(watch.program, second * third)
            return original(self, first, rest // third, rest % third)

        return call

    def loaded(original: Any) -> Any:
        def call(self: Any, pointers: Any, mask: Any, *more: Any) -> Any:
            watch.touch(pointers, mask, write=False)
            return original(self, pointers, mask, *more)

        return call

    def stored(original: Any) -> Any:
        def call(self: Any, pointers: Any, value: Any, mask: Any, *more: Any) -> Any:
            watch.touch(pointers, mask, write=True)
            return original(self, pointers, value, mask, *more)

        return call

    def launched(original: Any) -> Any:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            watch.begin(self.fn.__name__, [*_tensors([*args, *kwargs.values()])])
            result = original(self, *args, **kwargs)
            watch.end()
            return result

        return call

    replace(kind, "set_grid_dim", sized)
    replace(kind, "set_grid_idx", placed)
    replace(kind, "create_masked_load", loaded)
    replace(kind, "create_masked_store", stored)
    replace(interpreter.GridExecutor, "__call__", launched)
    try:
        yield watch
    finally:
        for owner, name, original in reversed(undo):
            setattr(owner, name, original)


def read_case(io: IOParameters, direction: str = "forward") -> list[np.ndarray]:
    """Results and counts of a read of 40 lines by 2 tiles."""
    out_size, in_size = (40, 9) if direction == "forward" else (9, 40)
    keys, w, x = read_checks.case(out_size, in_size, 9, batch=17)
    y, counts = Periphery(io, keys, out_size, in_size, direction, CUDA).read(
        w, x, read_checks.BLOCK_OF_TILE, 3, bounded=direction == "forward"
    )
    mask = counts.at_bound_QBL
    return [y.numpy().copy(), *counts[:4], np.zeros(0) if mask is None else mask.numpy().copy()]


def update_case(name: str, parameters: UpdateParameters) -> list[np.ndarray]:
    """Weights and pulses after an update of 2 tiles, which must be those of processors too."""
    size: dict[str, Any] = {"out_size": 3, "in_size": 5, "tiles": 2, "batches": 1, "batch": 3, "rate": 0.02}
    wanted, there = (trained(DEVICES[name], backend, parameters, **size) for backend in (CPU.name, CUDA.name))
    assert np.array_equal(wanted[0], there[0]), name
    return [*there[:2]]


CASES: dict[str, Callable[[], list[np.ndarray]]] = {
    "read, tried again": lambda: read_case(IOParameters(out_bound=1.0)),
    "read, an average": lambda: read_case(read_checks.CONFIGURATIONS[7].values[0]),
    "read back": lambda: read_case(IOParameters(), "backward"),
    "update": lambda: update_case("constant", UpdateParameters()),
    "update with write noise": lambda: update_case("pow_reference", UpdateParameters()),
    "update of both signs": lambda: update_case(
        "soft_bounds", UpdateParameters(pulse_type=PulseType.STOCHASTIC)
    ),
}


def check_the_watch() -> None:
    """A race and a stray that are put there are found."""
    watch = Watch(ORDERS["in order"])
    memory = torch.zeros(4)
    watch.begin("planted", [memory])
    at = type("At", (), {"data": np.array([memory.data_ptr()], np.uint64)})
    for program in range(2):
        watch.program = program
        watch.touch(at, None, write=True)
    watch.touch(type("At", (), {"data": np.array([8], np.uint64)}), None, write=False)
    watch.end()
    two, stray = "planted: two programs write one address", "planted: an address outside of every tensor"
    assert watch.wrong == {two: 1, stray: 1}


def main() -> None:
    """Every case in every order."""
    check_the_watch()
    for name, case in CASES.items():
        found = {}
        for how, order in ORDERS.items():
            with watched(order) as watch:
                found[how] = case()
            assert not watch.wrong, (name, how, watch.wrong)
            assert watch.launches, name
        for how, results in found.items():
            for wanted, got in zip(found["in order"], results, strict=True):
                assert np.array_equal(wanted, got), (name, how)
        print("agrees:", name, flush=True)


if __name__ == "__main__":
    main()
