"""Loading kernels without what compiling needs gives the same kernels, and compiling still works."""

from __future__ import annotations

import subprocess
import sys

LOADED = """
import sys
import numpy as np
import numba
from crossgrid.emulator.lean_numba import load_only
from crossgrid.kernels.devices.draws import naive_words
from crossgrid.kernels.devices.draws_cpu import crosspoint_words

load_only()
keys, high = np.array([[1, 2]], np.uint32), (np.uint32(3), np.uint32(4))
words = crosspoint_words(keys, 0, 2, 5, *high)
assert (words == naive_words(keys, slice(0, 2), 5, high)).all()
print(sum(crosspoint_words.stats.cache_hits.values()), "numba.np.arraymath" in sys.modules)

@numba.njit
def second(keys, c2, c3):
    return crosspoint_words(keys, 0, 2, 5, c2, c3)[1]

assert (second(keys, *high) == words[1]).all()
"""


def lean() -> str:
    """What a process that loads the kernel and then compiles one that uses it says."""
    ran = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_loaded_kernel_computes_and_can_be_compiled_against() -> None:
    """The first process may compile the kernel; the second loads it, and nothing of the compiler with it."""
    lean()
    assert lean().split() == ["1", "False"]
