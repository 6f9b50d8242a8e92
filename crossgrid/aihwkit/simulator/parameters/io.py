"""The periphery of a tile."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from crossgrid.kernels.analog_mvm import TimedIOParameters, parameters
from crossgrid.kernels.config import config, field
from crossgrid.kernels.inference import BaseConductanceConverter

from ...missing import absent


@config
class IOParameters(parameters.IOParameters):
    """The periphery of a tile in one direction; scaled inputs may be clipped elsewhere than at 1."""

    def validate(self) -> None:
        bound = self.inp_bound
        object.__setattr__(self, "inp_bound", 1.0)
        try:
            parameters.IOParameters.validate(self)
        finally:
            object.__setattr__(self, "inp_bound", bound)


@config
class IOParametersIRDropT(IOParameters, TimedIOParameters):
    """A periphery whose inputs are durations of pulses and whose wires have a resistance.

    As in aihwkit, the fields of its own act on tiles of a ``TorchInferenceRPUConfigIRDropT`` alone; on those
    of an ``InferenceRPUConfig`` ``ir_drop`` is the factor of ``IOParameters``, and takes ``ir_drop_g_ratio``.
    What contradicts each other is said when a tile is made.
    """

    without_effect: ClassVar[Mapping[str, str]] = {
        "ir_drop_bit_shift": "the number of low bits is split_mode_bit_shift"
    }

    ir_drop: str | float = field(1.0, at_least=0.0)
    ir_drop_bit_shift: int = field(3)
    """A name that scripts give to ``split_mode_bit_shift``; it has no effect, in aihwkit neither."""

    def validate(self) -> None:
        """Nothing is known yet of the tile."""

    def in_time(self, rows: int, converter: BaseConductanceConverter) -> TimedIOParameters:
        """The read in time of lines of ``rows`` crossings (0: as many as inputs) of ``converter``'s pairs."""
        own = {each.name: getattr(self, each.name) for each in dataclasses.fields(TimedIOParameters)}
        return TimedIOParameters(**{**own, "ir_drop_rows": rows, "ir_drop_converter": converter})

    def at_once(self) -> parameters.IOParameters:
        """The read of other tiles."""
        fields = dataclasses.fields(parameters.IOParameters)
        return IOParameters(**{each.name: getattr(self, each.name) for each in fields})


__getattr__ = absent(__name__)
