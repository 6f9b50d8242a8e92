"""Compiles Triton kernels for an architecture, without a card, and says what they take of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

#: registers, bytes of stack and of spills of every kernel, by architecture: a file for each Triton
TABLES = Path(__file__).with_suffix("")

#: the Triton whose kernels are held to limits; older ones spill some bytes more, as their tables say
NEWEST = "3.7.1"

_KERNELS = Path(__file__).parents[1] / "kernels"
UPDATES = _KERNELS / "pulsed_update" / "triton_ahead.py"
READS = _KERNELS / "analog_mvm" / "read_ahead.py"
MODIFIERS = _KERNELS / "inference" / "modifiers_ahead.py"
CELLS = _KERNELS / "cells" / "cells_ahead.py"
SCRIPTS = (UPDATES, READS, MODIFIERS, CELLS)

# what would give a card other bits than a processor: functions of its own, flushed denormals
FORBIDDEN = ("ex2.approx", "lg2.approx", "sqrt.approx", "div.full", "div.approx", ".ftz")
FUSED = "fma.rn"  # only the terms of a product may be


class Usage(NamedTuple):
    """What a thread of a kernel takes."""

    registers: int
    stack_bytes: int
    spilled_bytes: int


def usage(
    kernel: Any, types: dict[str, Any], constants: dict[str, Any], architecture: int, warps: int = 4,
    forbidden: tuple[str, ...] = (*FORBIDDEN, FUSED),
) -> Usage:  # fmt: skip
    """Compile ``kernel``; arguments that ``types`` does not name are int32, ``constants`` compiled in.

    Nothing ``forbidden`` may be in its assembly.
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    known = {**types, **dict.fromkeys(constants, "constexpr")}
    signature = {name: known.get(name, "i32") for name in kernel.arg_names}
    values = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=values)
    options = {"enable_fp_fusion": False, "num_warps": warps}
    assembly = triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options).asm["ptx"]
    found = [word for word in forbidden if word in assembly]
    assert not found, f"{kernel.__name__} {constants}: {found} in its assembly"
    return _assembled(assembly)


def _assembled(assembly: str) -> Usage:
    """What ptxas, as Triton calls it, says of its result."""
    from triton import knobs

    target = re.search(r"^\.target (sm_(\d+)\w*)", assembly, re.MULTILINE)
    assert target is not None
    tool = knobs.nvidia.ptxas_blackwell if int(target[2]) >= 100 else knobs.nvidia.ptxas
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.ptx"
        file.write_text(assembly)
        command = [tool.path, "-v", "--fmad=false", "--regAllocOptLevel=2", f"--gpu-name={target[1]}"]
        done = subprocess.run(
            [*command, str(file), "-o", str(file.with_suffix(".cubin"))],
            check=True,
            capture_output=True,
            text=True,
        )
    registers = re.search(r"Used (\d+) registers", done.stderr)
    stack = re.search(
        r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", done.stderr
    )
    assert registers is not None
    assert stack is not None
    return Usage(int(registers[1]), int(stack[1]), max(int(stack[2]), int(stack[3])))


def say(name: str, taken: Usage) -> None:
    """A line for ``compiled_by``."""
    print(json.dumps([name, *taken]), flush=True)


def compiled_by(script: Path, architecture: int, *flags: str, seconds: float = 280) -> dict[str, Usage]:
    """What the kernels take that a script compiles, by name."""
    paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, str(script), str(architecture), *flags],
        env={**os.environ, "TRITON_INTERPRET": "0", "PYTHONPATH": os.pathsep.join(paths)},
        check=False, capture_output=True, text=True, timeout=seconds,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return {name: Usage(*numbers) for name, *numbers in map(json.loads, done.stdout.splitlines())}


def compiled(script: Path, architecture: int, *flags: str) -> dict[str, Usage]:
    """As ``compiled_by``, held to the table of this Triton where there is one."""
    import triton

    found = compiled_by(script, architecture, *flags)
    if (TABLES / f"{triton.__version__}.json").exists():
        held = stored(architecture, triton.__version__)
        wrong = [(name, taken, held.get(name)) for name, taken in found.items() if taken != held.get(name)]
        assert not wrong, f"sm_{architecture}: {wrong}; if it is right: tests/golden/make_card_registers.py"
    return found


def stored(architecture: int, triton: str = NEWEST) -> dict[str, Usage]:
    """What the table of a Triton holds for an architecture, by a kernel's name."""
    kernels = json.loads((TABLES / f"{triton}.json").read_text())["kernels"]
    key = str(architecture)
    return {name: Usage(*taken[key]) for name, taken in kernels.items() if key in taken}
