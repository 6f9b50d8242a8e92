"""The tiles of hardware-aware training as aihwkit trains them: what happens, happens after a step."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from crossgrid.emulator.analog_matrix.hardware_aware import HardwareAwareTiles
from crossgrid.emulator.analog_matrix.joined import Seen
from crossgrid.emulator.tiles.bank import Floats
from crossgrid.kernels.inference import WeightModifierType


def count_step(weight: Any) -> None:
    """Note on a parameter that an optimizer took a step with it, even one that changed nothing."""
    weight.steps = steps_of(weight) + 1


def steps_of(weight: Any) -> int:
    """How many steps were noted."""
    return getattr(weight, "steps", 0)


class SteppedTiles(HardwareAwareTiles):
    """Clipping, remapping and one modification follow each step of an optimizer, nothing comes before.

    A step is seen by the weight that it changed, whichever optimizer took it; aihwkit's optimizers also note
    the steps that change nothing.
    """

    written: tuple[Seen, int] | None = None  # the weight as it was set, after so many steps
    steps = -1  # that the last modification followed

    def note_written(self, weight: Tensor) -> None:
        """The weight was set: not by a step."""
        self.written = Seen.of(weight), steps_of(weight)

    def modification(self, weight: Tensor, samples: int) -> int | None:
        """The number of the modification that followed the last step, if there was one."""
        modifier = self.config.modifier
        if modifier.per_batch_sample:
            return super().modification(weight, samples)
        if modifier.type is WeightModifierType.NONE and modifier.pdrop == 0:
            return None
        if self._untouched(weight) or not (self.training or modifier.enable_during_test):
            return None
        same = self.drawn_for is not None and self.drawn_for[1].is_(weight)
        if not same or self.steps != steps_of(weight):
            self.modifier_tick += 1
            self.drawn_for, self.steps = (None, Seen.of(weight)), steps_of(weight)
        return self.modifier_tick

    def tidied(self, weight: Tensor) -> Floats:
        """What the tiles hold, clipped and remapped where a step changed it."""
        if self._untouched(weight):
            return self.held(weight)
        return super().tidied(weight)

    def _untouched(self, weight: Tensor) -> bool:
        if self.written is None:
            return False
        seen, steps = self.written
        return steps == steps_of(weight) and seen.is_(weight)

    def __getstate__(self) -> dict[str, Any]:
        """A copy's weight is another tensor."""
        return {**super().__getstate__(), "written": None}
