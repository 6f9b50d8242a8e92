"""Compiled CPU kernels that are cached on disk, and never stale.

numba's disk cache looks at a function's own file only. A kernel here also depends on the formulas that
are bound into it and on the random-number code that is inlined into it, so the copy that is compiled
carries a hash of all of these in its name, which is part of the cache's key.
"""

from __future__ import annotations

import functools
import hashlib
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

from .bind import Formula

_RANDOM = Path(__file__).parent / "rng"


@functools.cache
def sources_hash(folder: Path) -> str:
    """A hash of the code that a kernel of ``folder`` may inline: its neighbours and the random numbers."""
    digest = hashlib.blake2b(numba.__version__.encode(), digest_size=8)
    here = Path(__file__)
    neighbours = [*sorted(_RANDOM.glob("*.py")), *sorted(folder.glob("*.py"))]
    for path in [here, here.with_name("bind.py"), *neighbours]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def code_hash(function: Formula) -> str:
    """A hash of what ``function`` computes: its instructions and constants."""
    assert isinstance(function, types.FunctionType)
    code = function.__code__
    text = repr((code.co_code, code.co_consts, code.co_names))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def kernel(
    function: Formula, *, parallel: bool = False, uses: dict[str, Any] | None = None, tag: str = ""
) -> Callable[..., Any]:
    """``function`` compiled for CPUs with the names in ``uses`` bound; ``tag`` tells what they are."""
    assert isinstance(function, types.FunctionType)
    scope = {**function.__globals__, **(uses or {})}
    copy = types.FunctionType(function.__code__, scope, function.__name__, function.__defaults__)
    sources = sources_hash(Path(function.__code__.co_filename).parent)
    suffix = hashlib.blake2b(f"{sources}{tag}{parallel}".encode(), digest_size=8).hexdigest()
    copy.__qualname__ = f"{function.__qualname__}_{suffix}"
    copy.__module__ = function.__module__
    return numba.njit(copy, parallel=parallel, cache=True, error_model="numpy", nogil=True)
