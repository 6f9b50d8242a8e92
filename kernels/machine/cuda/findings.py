"""What kernels found wrong, kept on the card until somebody asks: no step waits for it.

From the first finding on no update moves a device, until the host was told.
"""

from __future__ import annotations

from enum import IntEnum

import torch
import triton
import triton.language as tl

from ...card import card
from ...errors import InputError


class Wrong(IntEnum):
    """What a kernel may find, from 1 on; the first three are ``Status`` of an update."""

    X = 1
    D = 2
    TOO_LONG = 3
    INPUT = 4  # of a read forward
    GRADIENT = 5  # of a read backward
    WEIGHT = 6  # that a digital trainer wrote to tiles


KINDS = 8
_SAID = {
    Wrong.X: "the input of its update has NaN or infinite entries: look for a diverging loss or a "
    "division by zero before it",
    Wrong.D: "the gradient of its update has NaN or infinite entries: look for a diverging loss or a "
    "division by zero behind it",
    Wrong.TOO_LONG: "a pulse train of its update is longer than a card has room for: lower the learning "
    "rate, or set update_bl_management = True",
    Wrong.INPUT: "its input has NaN or infinite entries; a tile's converters need finite numbers: check the "
    "data and lower the learning rate",
    Wrong.GRADIENT: "its gradient has NaN or infinite entries; a tile's converters need finite numbers: "
    "check the data and lower the learning rate",
    Wrong.WEIGHT: "its weight, which is trained digitally, has NaN or infinite entries: lower the learning "
    "rate or clip the weights",
}


class Findings:
    """The first thing that was wrong, of all that a worker's tiles do."""

    def __init__(self) -> None:
        self.word = torch.zeros(2, dtype=torch.int64, device=card())  # the finding; steps before it
        self.counts_steps = False  # whether any step ended yet: reads alone have none
        self._names: list[str] = []

    def place(self, name: str) -> int:
        """What a layer's kernels call the layer: a finding is this, and the kind."""
        if name not in self._names:
            self._names.append(name)
        return self._names.index(name) * KINDS

    def note(self, name: str, wrong: str, values: torch.Tensor) -> None:
        """Note where values of a layer that no kernel looks at are not finite; ``wrong``: of ``Wrong``."""
        note_unless_finite(self.word, values, self.place(name) + Wrong[wrong])

    def withheld(self, gradient: torch.Tensor) -> torch.Tensor:
        """A gradient that a digital trainer takes: zeros once anything was found wrong."""
        return gradient.masked_fill(self.word[0] != 0, 0.0)

    def end_step(self) -> None:
        """A step of training ends that launched nothing which could count it."""
        self.counts_steps = True
        self.word[1].add_(self.word[0] == 0)

    def raise_found(self) -> None:
        """Wait for the card and say what was found, if anything was; updates move devices again.

        Raises:
            InputError: the layer, the step, and what was wrong.
        """
        found, steps = self.word.tolist()
        if found == 0:
            return
        self.word[0].fill_(0)
        place, kind = divmod(found, KINDS)
        name, said = self._names[place], _SAID[Wrong(kind)]
        if not self.counts_steps:
            raise InputError(f"{name}: {said}")
        raise InputError(
            f"{name}, step {steps + 1} of this run: {said}. From that step on no device was moved, and "
            "gradients of weights that are trained digitally were zero"
        )


def note_unless_finite(word: torch.Tensor, values: torch.Tensor, finding: int) -> None:
    """Note ``finding``, if it is the first, where a value is NaN or infinite."""
    right = torch.isfinite(values).all() | (word[0] != 0)
    word[0].copy_(torch.where(right, word[0], int(finding)))


def note_update(word: torch.Tensor, x_XBI: torch.Tensor, d_DBO: torch.Tensor, place: int) -> None:
    """Note where x or d of an update at ``place`` is not finite, as the trains of an update do."""
    for values, wrong in ((x_XBI, Wrong.X), (d_DBO, Wrong.D)):
        note_unless_finite(word, values, place + wrong)


@triton.jit
def found(word, finding):
    """Note ``finding``, if it is the first."""
    tl.atomic_cas(word, tl.cast(0, tl.int64), tl.cast(finding, tl.int64))
