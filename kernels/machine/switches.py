"""Tricks that can be switched off one by one, to find out whether one of them is at fault.

``CROSSGRID_PLAIN`` names those to do without, separated by commas: ``pages`` (memory that is used again),
``malloc`` (an allocator that keeps what is freed), ``lean_numba`` (a numba that only loads) and ``fused``
(noise models as one kernel). It is read once, when
this module is. Kernels as a whole are replaced by readable ones with ``emulate(..., device="naive")``.
"""

from __future__ import annotations

import os

from ..errors import unknown

TRICKS = ("fused", "lean_numba", "malloc", "pages")


def chosen(names: str) -> frozenset[str]:
    """The tricks that ``names``, separated by commas, switches off."""
    found = frozenset(name.strip() for name in names.split(",") if name.strip())
    for name in sorted(found - set(TRICKS)):
        raise unknown("trick in CROSSGRID_PLAIN", name, TRICKS)
    return found


PLAIN = chosen(os.environ.get("CROSSGRID_PLAIN", ""))
