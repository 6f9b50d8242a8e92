"""The periphery of a tile."""

from __future__ import annotations

from crossgrid.kernels.analog_mvm import parameters
from crossgrid.kernels.config import config, field

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
class IOParametersIRDropT(IOParameters):
    """A periphery whose inputs are durations of pulses and whose wires have a resistance.

    As in aihwkit, the fields of its own act on tiles of torch alone: on those of an ``InferenceRPUConfig``
    ``ir_drop`` is the factor of ``IOParameters``, and takes ``ir_drop_g_ratio``.
    """

    ir_drop: str | float = field(1.0, at_least=0.0)
    """Factor of the wires' resistance; 0: ideal wires."""
    ir_drop_rs: float = field(0.15, at_least=0.0)
    """Resistance of a line between two crossings in Ω."""
    ir_drop_segments: int = field(8, at_least=1)
    """Number of pieces that a line is cut into, whose devices count as one."""
    ir_drop_time_step_resolution_scale: float = field(1.0, above=0.0)
    """Steps of time for a step of the DAC."""
    ir_drop_v_read: float = field(0.4005, above=0.0)
    """Voltage that the ADC holds a line at in V."""
    split_mode_bit_shift: int = field(3, at_least=1)
    """Number of low bits that are sent in a pass of their own."""
    apply_xdep_pcm_read_noise: bool = field(False)
    """Whether a device's noise depends on how long it is read."""
    xdep_pcm_read_noise_scale: float = field(1.0, at_least=0.0)
    """Factor of that noise."""
    adc_quantization: bool = field(True)
    """Whether the charge of a line is counted in whole ticks of the ADC."""
    adc_frequency: float = field(6.24, above=0.0)
    """Ticks of the ADC for a charge of 100 µA ns."""
    ir_drop_integration_sum: bool = field(False)
    """Whether charge is the sum over the steps of time, or else by the trapezoidal rule."""


__getattr__ = absent(__name__)
