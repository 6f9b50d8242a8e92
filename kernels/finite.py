"""Whether numbers are finite, in one pass that allocates nothing."""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import numpy as np

from .jit import kernel

NOT_FINITE = np.int32(0x7F800000)  # bits of infinity; those of NaN are larger


@kernel
def all_finite(values):
    """Whether flat float32 values are neither NaN nor infinite: compared as integers, which vectorises."""
    bits, largest = values.view(np.int32), np.int32(0)
    for i in range(bits.size):
        largest = max(largest, np.int32(bits[i] & np.int32(0x7FFFFFFF)))
    return largest < NOT_FINITE
