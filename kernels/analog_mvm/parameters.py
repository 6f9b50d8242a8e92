"""What a user may choose about the periphery of a tile: converters, noise and their management."""

from __future__ import annotations

from enum import Enum

from ..config import Config, config, field
from ..errors import ConfigError, nearest


class NoiseManagementType(Enum):
    """How a vector is scaled before the DAC; the result is scaled back afterwards."""

    NONE = "None"
    """It is not scaled."""
    ABS_MAX = "AbsMax"
    """By its largest magnitude."""
    ABS_MAX_NP_SUM = "AbsMaxNPSum"
    """By its largest magnitude, and so that the sum of one sign fits the ADC at assumed weights."""
    MAX = "Max"
    """By its largest value."""
    CONSTANT = "Constant"
    """By ``nm_thres``."""
    AVERAGE_ABS_MAX = "AverageAbsMax"
    """By a running average of the largest magnitude."""


class BoundManagementType(Enum):
    """What happens to a vector whose result hits the bound of the ADC (forward only)."""

    NONE = "None"
    """It stays clipped."""
    ITERATIVE = "Iterative"
    """It is read again at half the input until nothing hits."""
    ITERATIVE_WORST_CASE = "IterativeWorstCase"
    """As ITERATIVE, but the second read is scaled as by ABS_MAX_NP_SUM."""


class WeightNoiseType(Enum):
    """Noise of the weights during one read, referred to the output."""

    NONE = "None"
    """There is none."""
    ADDITIVE_CONSTANT = "AdditiveConstant"
    """Its standard deviation is ``w_noise`` at any weight."""
    PCM_READ = "PCMRead"
    """Its standard deviation is ``w_noise`` times the root of |w|."""


class AnalogMVType(Enum):
    """How positive and negative inputs pass through the array."""

    IDEAL = "Ideal"
    """As with ``is_perfect``."""
    ONE_PASS = "OnePass"
    """In one read."""
    POS_NEG_SEPARATE = "PosNegSeparate"
    """In two reads that are summed before the ADC."""
    POS_NEG_SEPARATE_DIGITAL_SUM = "PosNegSeparateDigitalSum"
    """In two reads, each through the ADC."""
    SPLIT_MODE = "SplitMode"
    """Low bits and high bits of the inputs, each in a read; of periphery that is read in time."""
    BIT_WISE = "BitWise"
    """Each bit of the inputs in a read; of periphery that is read in time."""


AnalogMVMType = AnalogMVType
IN_PARTS = (AnalogMVType.SPLIT_MODE, AnalogMVType.BIT_WISE)

NODAL = "nodal"  # of ir_drop
DEFAULT_G_RATIO = 1.0 / 0.35 / 5e-6


@config
class IOParameters(Config):
    """The periphery of a tile in one direction.

    A resolution is a step width relative to the range of 2 * bound, or (above 1) a number of steps;
    0 or less is a continuous converter. A bound of 0 or less is no bound.

    ``ir_drop`` tells how the wires' resistance is modelled. A number is the strength of a polynomial that is
    subtracted from each output (1 is physical, 0: ideal wires); it takes ``ir_drop_g_ratio``. With "nodal"
    the product is the solution of the tile's resistive network (``kernels.circuit``), which takes
    ``ir_drop_wire_ohm`` and ``ir_drop_g_max_microsiemens``: exact, on processors only, and slow after every
    change of weights (1.5 s of a processor for a tile of 128 x 128, two minutes and 1.7 GB at 512 x 512)::

        cg.SingleRPUConfig(forward=cg.IOParameters(ir_drop="nodal", ir_drop_wire_ohm=1.0))
    """

    is_perfect: bool = field(False)
    """Whether y = out_scale W x, and nothing below."""
    mv_type: AnalogMVType = field(AnalogMVType.ONE_PASS)
    """How positive and negative inputs pass through the array."""
    inp_bound: float = field(1.0)
    """Largest magnitude that the DAC passes, in units of the scaled input."""
    inp_noise: float = field(0.0, at_least=0.0)
    """Noise of an input after the DAC, its standard deviation in units of the scaled input."""
    inp_res: float = field(1.0 / (2**7 - 2))
    """Resolution of the DAC: step width as a fraction of its range, or number of steps; b bits
    are 1 / (2^b - 2)."""
    inp_sto_round: bool = field(False)
    """Whether the DAC rounds stochastically."""
    inp_asymmetry: float = field(0.0)
    """Fraction by which negative inputs are smaller."""
    out_bound: float = field(12.0)
    """Largest magnitude that the ADC returns, in units of weight times scaled input."""
    out_noise: float = field(0.06, at_least=0.0)
    """Noise of an output before the ADC, its standard deviation in units of weight times scaled input."""
    out_noise_std: float = field(0.0, at_least=0.0)
    """Spread of ``out_noise`` from line to line, relative to it."""
    out_res: float = field(1.0 / (2**9 - 2))
    """Resolution of the ADC: step width as a fraction of its range, or number of steps; b bits
    are 1 / (2^b - 2)."""
    out_sto_round: bool = field(False)
    """Whether the ADC rounds stochastically."""
    out_scale: float = field(1.0)
    """Factor of the result, applied in digital, without unit."""
    out_asymmetry: float = field(0.0)
    """Fraction by which negative outputs are smaller."""
    bound_management: BoundManagementType = field(BoundManagementType.ITERATIVE)
    """What happens to a vector whose result hits ``out_bound``; forward only."""
    noise_management: NoiseManagementType = field(NoiseManagementType.ABS_MAX)
    """How a vector is scaled before the DAC."""
    w_noise: float = field(0.0, at_least=0.0)
    """Noise of the weights in each read, its standard deviation in units of weight; it needs a
    ``w_noise_type``."""
    w_noise_type: WeightNoiseType = field(WeightNoiseType.NONE)
    """How the noise of a weight depends on the weight."""
    ir_drop: str | float = field(0.0, at_least=0.0)
    """Strength of the IR drop as a factor of its physical value, 0: ideal wires; or "nodal" (see above)."""
    ir_drop_g_ratio: float = field(DEFAULT_G_RATIO, above=0.0)
    """Ratio of a wire's conductance between two crossings to a device's at a weight of 1, without unit."""
    # the pair whose product the default of ir_drop_g_ratio inverts
    ir_drop_wire_ohm: float = field(0.35, at_least=0.0)
    """Resistance of any line between two crossings in Ω, for "nodal"."""
    ir_drop_g_max_microsiemens: float = field(5.0, above=0.0)
    """Conductance of the device of a weight of 1 in µS, for "nodal"; that of a weight of 0 is none."""
    out_nonlinearity: float = field(0.0)
    """Curvature of an output, y / (1 + |n y / out_bound|), as the number n, relative to
    ``out_bound``; 0: straight."""
    out_nonlinearity_std: float = field(0.0, at_least=0.0)
    """Spread of the curvature from line to line, relative to ``out_nonlinearity``."""
    slope_calibration: float = field(0.0)
    """Fraction of ``out_bound`` where the slope of a curved output is set to 1; 0: it is not."""
    v_offset_std: float = field(0.0, at_least=0.0)
    """Spread of the voltage offset from line to line, relative to the read voltage; negative
    offsets count as 0."""
    v_offset_w_min: float = field(-1.0)
    """Weight of the reference device that sees the offset too, in units of weight."""
    r_series: float = field(0.0, at_least=0.0)
    """Series resistance of an output: y becomes y / (1 + r |y|), r in units of 1 / (weight times scaled
    input)."""
    w_read_asymmetry_dtod: float = field(0.0, at_least=0.0)
    """Spread of a weight at negative inputs, relative to the weight; for the modes of two reads."""
    max_bm_factor: int = field(1000, at_least=1)
    """Factor by which an input has been shrunk above which bound management stops."""
    max_bm_res: float = field(0.25, above=0.0)
    """Step of the DAC, as a fraction of the shrunk input, above which bound management stops."""
    nm_thres: float = field(0.0, at_least=0.0)
    """Largest scale of noise management, or the scale of CONSTANT, in units of the input; 0: none, or 1."""
    bm_test_negative_bound: bool = field(True)
    """Whether a clip at the negative bound counts as a hit too."""
    lines_per_adc: int = field(1, at_least=1)
    """Number of neighbouring lines that share one ADC, with its noise and curvature."""

    def validate(self) -> None:
        managed = self.noise_management is not NoiseManagementType.NONE
        if managed and self.inp_bound != 1.0 and not self.perfect:
            raise ConfigError(
                f"{type(self).__name__}.inp_bound = {self.inp_bound:g} must be 1 with noise management "
                f"{self.noise_management.value}: set noise_management to NONE or inp_bound to 1"
            )
        if isinstance(self.ir_drop, str):
            self._validate_nodal(self.ir_drop)
        if self.mv_type in IN_PARTS and not self.perfect:
            raise ConfigError(
                f"{type(self).__name__}.mv_type = {self.mv_type.name} sends inputs in parts, which is read "
                "in time: take TimedIOParameters of kernels.analog_mvm, in crossgrid.aihwkit a "
                "TorchInferenceRPUConfigIRDropT"
            )

    def _validate_nodal(self, ir_drop: str) -> None:
        name = type(self).__name__
        if ir_drop != NODAL:
            raise ConfigError(
                f"{name}.ir_drop = {ir_drop!r} is neither a number nor '{NODAL}': {nearest(ir_drop, [NODAL])}"
            )
        if self.perfect:
            return
        if self.ir_drop_g_ratio != DEFAULT_G_RATIO:
            raise ConfigError(
                f"{name}.ir_drop_g_ratio = {self.ir_drop_g_ratio:g} has no part in ir_drop = '{NODAL}': "
                "set ir_drop_wire_ohm and ir_drop_g_max_microsiemens instead"
            )
        if self.w_read_asymmetry_dtod > 0 and self.mv_type is not AnalogMVType.ONE_PASS:
            raise ConfigError(
                f"{name}.w_read_asymmetry_dtod = {self.w_read_asymmetry_dtod:g} makes other weights for "
                f"negative inputs; ir_drop = '{NODAL}' solves one network: set it to 0 or ir_drop to a number"
            )

    @property
    def nodal(self) -> bool:
        """Whether products are solutions of the tiles' resistive networks."""
        return self.ir_drop == NODAL and not self.perfect

    @property
    def perfect(self) -> bool:
        """Whether the read is the exact product."""
        return self.is_perfect or self.mv_type is AnalogMVType.IDEAL


@config
class PresetIOParameters(IOParameters):
    """The periphery of most device presets: 7-bit DAC, 9-bit ADC, noise of about one ADC step.

    Twenty inputs at full scale, on weights of 1, reach the bound of the ADC. Source: Rasch et al., "A
    flexible and fast PyTorch toolkit for simulating training and inference on analog crossbar arrays",
    AICAS 2021.
    """

    out_bound: float = field(20.0)
    out_noise: float = field(0.1, at_least=0.0)


@config
class StandardIOParameters(IOParameters):
    """8-bit converters as in hardware-aware training, with noise and bound management on.

    Source: Rasch et al., "Hardware-aware training for large-scale and diverse deep learning inference
    workloads using in-memory computing-based accelerators", Nature Communications 14, 5282 (2023).
    """

    inp_res: float = field(1.0 / (2**8 - 2))
    out_res: float = field(1.0 / (2**8 - 2))
    out_bound: float = field(10.0)
    out_noise: float = field(0.04, at_least=0.0)
