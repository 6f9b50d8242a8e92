"""Arrays as compiled kernels take them, asked in as few steps as can be: every read and update asks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOAT32, INT64 = np.dtype(np.float32), np.dtype(np.int64)  # what an array's own is, which is asked at once


def ready(values: Any, dtype: Any = FLOAT32) -> NDArray[Any]:
    """``values`` as kernels take them: of ``dtype``, C-contiguous and writable; not copied where they are."""
    flags = values.flags
    if (values.dtype is dtype or values.dtype == dtype) and flags.c_contiguous and flags.writeable:
        return values
    return np.array(values, dtype, order="C")
