"""The table of stored bits: what it holds for, and how a run's bits are measured."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import llvmlite
import llvmlite.binding
import numba
import numpy as np
import scipy

FILE = Path(__file__).with_name("bits.json")
RULE = (
    "A stored value changes only in a commit of its own that names the entries, the formula or case that was "
    "wrong, and the outside check; all others stay equal"
)

#: the name of an array -> SHA-256 of its shape and numbers
Digests = dict[str, str]


class Bench:
    """A process in which runs are measured, one after another; use it as a context manager.

    Numpy chooses its loops when it is loaded, by what the processor can do, and their exponentials and
    powers differ in the last bit. So it is loaded there with its baseline alone, the same on all processors
    of a kind. The project's own kernels are compiled for this processor as ever.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(_numpy_loops("found"))},
        )  # fmt: skip

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:  # closes its standard input, upon which it ends
            pass

    def digests(self, name: str) -> Digests:
        """The bits of the run ``name``.

        Raises:
            RuntimeError: the run failed; its own traceback is on standard error.
        """
        asked, answers = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answers is not None
        asked.write(name + "\n")
        asked.flush()
        answer = answers.readline()
        if not answer:
            raise RuntimeError(f"stored run '{name}' failed: see its traceback on standard error")
        found: Digests = json.loads(answer)
        return found


def serve() -> None:
    """Answer the names on standard input with digests on standard output, a line each."""
    from stored_runs import RUNS

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what runs print
    for line in sys.stdin:
        print(json.dumps(digests(RUNS[line.strip()]())), file=answers, flush=True)


def digests(results: dict[str, Any]) -> Digests:
    """SHA-256 of each array: its shape, then its float32 numbers, little endian."""
    found = {}
    for name, values in results.items():
        array = np.asarray(values)
        assert array.dtype == np.float32, f"{name} is of type {array.dtype}; stored bits are of float32"
        shape = ",".join(map(str, array.shape)).encode()
        found[name] = hashlib.sha256(shape + b":" + array.astype("<f4").tobytes()).hexdigest()
    return found


def here() -> dict[str, str]:
    """What may change the bits of a run: libraries, and what this processor can do.

    Numba compiles for the processor's features by LLVM. Logarithms and exponentials of kernels, and those of
    numpy's baseline, are the C library's. The solver of networks is scipy's.
    """
    able = llvmlite.binding.get_host_cpu_features()
    return {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "libc": " ".join(platform.libc_ver()),
        "numpy": np.__version__,
        "numpy baseline": " ".join(_numpy_loops("baseline")),
        "scipy": scipy.__version__,
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "processor": llvmlite.binding.get_host_cpu_name(),
        "processor features": " ".join(sorted(name for name, there in able.items() if there)),
    }


def _numpy_loops(which: str) -> list[str]:
    """Numpy's names of the features that it always uses ("baseline") or found on this processor ("found")."""
    config: Any = np.show_config(mode="dicts")
    names: list[str] = config["SIMD Extensions"].get(which, [])
    return names


def differences(stored: dict[str, str], present: dict[str, str]) -> list[str]:
    """What differs from the machine that the values were stored on, a line each."""
    lines = []
    for what, before in stored.items():
        now = present[what]
        if what == "processor features":
            gone, new = sorted({*before.split()} - {*now.split()}), sorted({*now.split()} - {*before.split()})
            lines += [f"{what}: without {' '.join(gone)}"] if gone else []
            lines += [f"{what}: also {' '.join(new)}"] if new else []
        elif before != now:
            lines.append(f"{what}: {now}, stored with {before}")
    return lines


def load(file: Path = FILE) -> dict[str, Any]:
    """The stored table: ``holds_for``, and ``entries``, name -> digests."""
    table: dict[str, Any] = json.loads(file.read_text())
    return table


def save(table: dict[str, Any], file: Path = FILE) -> None:
    """Write the table, entries by name."""
    table = {**table, "entries": dict(sorted(table["entries"].items()))}
    file.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    serve()
