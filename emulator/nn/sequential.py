"""AnalogSequential: torch's Sequential that also programs and ages its analog layers."""

from __future__ import annotations

from torch import nn

from .. import convert


class AnalogSequential(nn.Sequential):
    """A sequence of analog and digital layers."""

    def program_analog_weights(self) -> None:
        """Write the trained weights to the devices (layers with an ``InferenceRPUConfig``)."""
        convert.program_analog_weights(self)

    def drift_analog_weights(self, t_inference: float = 0.0) -> None:
        """Age the programmed weights to ``t_inference`` seconds after their programming."""
        convert.drift_analog_weights(self, t_inference)
