"""The Mersenne Twister MT19937, moved on without giving its numbers.

Matsumoto and Nishimura, "Mersenne Twister", ACM TOMACS 8 (1998): 624 words are replaced at once, and each is
then tempered into a number, which is most of the work. Torch's generator on processors is this one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..machine.jit import kernel

#: words of the state, and how far apart two of them are combined
WORDS, APART = 624, 397

_HIGH, _LOW, _MATRIX = np.uint32(0x80000000), np.uint32(0x7FFFFFFF), np.uint32(0x9908B0DF)
_ONE = np.uint32(1)
_WRAPS = WORDS - APART  # from this word on the one that is combined has been replaced before


@kernel
def _twist(words: NDArray[Any], times: int) -> None:
    for _ in range(times):
        for k in range(_WRAPS):
            mixed = (words[k] & _HIGH) | (words[k + 1] & _LOW)
            words[k] = words[k + APART] ^ (mixed >> _ONE) ^ (_MATRIX * (mixed & _ONE))
        for k in range(_WRAPS, WORDS - 1):
            mixed = (words[k] & _HIGH) | (words[k + 1] & _LOW)
            words[k] = words[k - _WRAPS] ^ (mixed >> _ONE) ^ (_MATRIX * (mixed & _ONE))
        mixed = (words[WORDS - 1] & _HIGH) | (words[0] & _LOW)
        words[WORDS - 1] = words[APART - 1] ^ (mixed >> _ONE) ^ (_MATRIX * (mixed & _ONE))


def twisted(words: NDArray[np.uint32], times: int) -> NDArray[np.uint32]:
    """The state [624] that follows ``times`` x 624 numbers later, at the same place in it."""
    found = np.array(words, np.uint32)
    _twist(found, times)
    return found
