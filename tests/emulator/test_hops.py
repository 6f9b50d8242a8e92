"""How many of the project's functions a public call passes before a compiled kernel is entered.

The chain is what lies on the stack when a kernel of numba's is called: the project's own frames, the public
function included. Comprehensions are no hops, and the check that numbers are finite is none of the way.
"""

from __future__ import annotations

import ast
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from numba.core.registry import CPUDispatcher

import crossgrid as cg

ROOT = Path(__file__).resolve().parents[2]
PARTS = tuple(f"{ROOT / part}/" for part in ("crossgrid", "emulator", "chip", "kernels"))

FORWARD_HOPS, STEP_HOPS, COMPOUND_HOPS = 10, 9, 2

#: the compiled check that numbers are finite
VALIDATION = "all_finite"

Chain = tuple[types.CodeType, ...]


@contextmanager
def kernels_entered() -> Iterator[dict[Chain, str]]:
    """The project's functions that are alive whenever a kernel is entered inside, and the kernel."""
    entered: dict[Chain, str] = {}
    call = CPUDispatcher.__call__

    def enter(self: Any, *args: Any) -> Any:
        return call(self, *args)

    def look(frame: Any, event: str, _: Any) -> None:
        if event != "call" or frame.f_code is not enter.__code__:
            return
        kernel, chain = frame.f_locals["self"].__name__, []
        while (frame := frame.f_back) is not None:
            code = frame.f_code
            if code.co_filename.startswith(PARTS) and not code.co_name.startswith("<"):
                chain.insert(0, code)
        if kernel != VALIDATION:
            entered[tuple(chain)] = kernel

    CPUDispatcher.__call__ = enter
    sys.setprofile(look)
    try:
        yield entered
    finally:
        sys.setprofile(None)
        del CPUDispatcher.__call__


def walk(chain: Chain, kernel: str) -> str:
    """The chain as a list of lines."""
    lines = [
        f"{n:3} {code.co_qualname if hasattr(code, 'co_qualname') else code.co_name}"
        f"  {Path(code.co_filename).relative_to(ROOT)}:{code.co_firstlineno}"
        for n, code in enumerate(chain, 1)
    ]
    return "\n".join([*lines, f"    {kernel} (compiled)"])


def deepest(work: Callable[[], Any]) -> tuple[Chain, str]:
    """The longest chain with which a kernel is entered, once all kernels are compiled."""
    work()
    with kernels_entered() as entered:
        work()
    assert entered, "no kernel was entered"
    return max(entered.items(), key=lambda item: len(item[0]))


def soft() -> Any:
    return cg.SoftBoundsDevice()


DEVICES: dict[str, tuple[Callable[[], Any], int]] = {
    "one device": (cg.ConstantStepDevice, 0),
    "vector cell": (lambda: cg.VectorUnitCell(unit_cell_devices=[soft(), soft()]), 1),
    "Tiki-Taka": (
        lambda: cg.TransferCompound(unit_cell_devices=[soft(), soft()], transfer_every=1.0), 1,
    ),
    "chopped Tiki-Taka": (
        lambda: cg.ChoppedTransferCompound(unit_cell_devices=[soft(), soft()], transfer_every=1.0), 1,
    ),
    "mixed precision": (lambda: cg.MixedPrecisionCompound(device=soft()), 1),
    "one-sided cell": (lambda: cg.OneSidedUnitCell(unit_cell_devices=[soft(), soft()]), 1),
}  # fmt: skip


def layer_of(device: Any) -> cg.AnalogLinear:
    """A layer of one tile whose reads do not reach the ADC's bound."""
    kind = cg.SingleRPUConfig if isinstance(device, cg.ConstantStepDevice) else cg.UnitCellRPUConfig
    return cg.AnalogLinear(6, 4, rpu_config=kind(device=device), seed=1)


@pytest.mark.parametrize("device", DEVICES)
def test_a_forward_pass_enters_its_kernel_after_few_hops(device: str) -> None:
    layer = layer_of(DEVICES[device][0]())
    x = torch.linspace(-0.5, 0.5, 12).reshape(2, 6)
    chain, kernel = deepest(lambda: layer(x))
    assert any(code.co_name == "forward" and code.co_filename.endswith("nn/linear.py") for code in chain[:2])
    assert len(chain) <= FORWARD_HOPS, f"{len(chain)} hops:\n{walk(chain, kernel)}"


@pytest.mark.parametrize("device", DEVICES)
def test_an_optimizer_step_enters_its_kernel_after_few_hops(device: str) -> None:
    """A compound may take two more for each of its levels."""
    make, levels = DEVICES[device]
    layer = layer_of(make())
    optimizer = cg.AnalogSGD(layer.parameters(), lr=0.1)
    x = torch.linspace(-0.5, 0.5, 12).reshape(2, 6)

    def pass_through() -> None:
        layer(x).sum().backward()

    pass_through()
    optimizer.step()
    pass_through()
    with kernels_entered() as entered:
        optimizer.step()
    chain, kernel = max(entered.items(), key=lambda item: len(item[0]))
    assert chain[0].co_name == "step"
    assert chain[0].co_filename.endswith("model/optim.py")
    most = STEP_HOPS + COMPOUND_HOPS * levels
    assert len(chain) <= most, f"{len(chain)} hops:\n{walk(chain, kernel)}"


def test_no_function_on_the_way_only_forwards() -> None:
    """None of them is one call, returned or not, of another function with what it was given itself."""
    layer = layer_of(cg.ConstantStepDevice())
    optimizer = cg.AnalogSGD(layer.parameters(), lr=0.1)
    x = torch.linspace(-0.5, 0.5, 12).reshape(2, 6)

    def train() -> None:
        layer(x).sum().backward()
        optimizer.step()

    train()
    with kernels_entered() as entered:
        train()
    on_the_way = {code for chain in entered for code in chain}
    assert len(on_the_way) > FORWARD_HOPS
    for code in on_the_way:
        assert not only_forwards(code), f"{code.co_name} in {code.co_filename}:{code.co_firstlineno}"


def only_forwards(code: types.CodeType) -> bool:
    """Whether a function's one statement is a call of another whose arguments are plain names."""
    tree = ast.parse(Path(code.co_filename).read_text())
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and node.name == code.co_name
        and code.co_firstlineno <= node.body[0].lineno <= (node.end_lineno or 0)
        and min([node.lineno, *(each.lineno for each in node.decorator_list)]) == code.co_firstlineno
    ]
    assert len(found) == 1, code
    body = [each for each in found[0].body if not _is_text(each)]
    if len(body) != 1 or not isinstance(body[0], (ast.Return, ast.Expr)):
        return False
    call = body[0].value
    return isinstance(call, ast.Call) and all(
        isinstance(each, (ast.Name, ast.Attribute, ast.Constant, ast.Starred))
        for each in [*call.args, *(keyword.value for keyword in call.keywords)]
    )


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
