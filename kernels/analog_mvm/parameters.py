"""What a user may choose about the periphery of a tile: converters, noise and their management."""

from __future__ import annotations

from enum import Enum

from ..config import Config, config, field
from ..errors import ConfigError, nearest


class NoiseManagementType(Enum):
    """How a vector is scaled before the DAC; the result is scaled back afterwards."""

    NONE = "None"
    ABS_MAX = "AbsMax"  # by its largest magnitude
    ABS_MAX_NP_SUM = "AbsMaxNPSum"  # also so that the sum of one sign fits the ADC at assumed weights
    MAX = "Max"  # by its largest value
    CONSTANT = "Constant"  # by nm_thres
    AVERAGE_ABS_MAX = "AverageAbsMax"  # by a running average of the largest magnitude


class BoundManagementType(Enum):
    """What happens to a vector whose result hits the bound of the ADC (forward only)."""

    NONE = "None"
    ITERATIVE = "Iterative"  # read again at half the input until nothing hits
    ITERATIVE_WORST_CASE = "IterativeWorstCase"  # the second read is scaled as by ABS_MAX_NP_SUM


class WeightNoiseType(Enum):
    """Noise of the weights during one read, referred to the output."""

    NONE = "None"
    ADDITIVE_CONSTANT = "AdditiveConstant"
    PCM_READ = "PCMRead"


class AnalogMVType(Enum):
    """How positive and negative inputs pass through the array."""

    IDEAL = "Ideal"  # as is_perfect
    ONE_PASS = "OnePass"
    POS_NEG_SEPARATE = "PosNegSeparate"  # two reads, summed before the ADC
    POS_NEG_SEPARATE_DIGITAL_SUM = "PosNegSeparateDigitalSum"  # two reads, each through the ADC


AnalogMVMType = AnalogMVType

NODAL = "nodal"  # of ir_drop
DEFAULT_G_RATIO = 1.0 / 0.35 / 5e-6


@config
class IOParameters(Config):
    """The periphery of a tile in one direction. Names follow aihwkit.

    A resolution is a step width relative to the range of 2 * bound, or (above 1) a number of steps;
    0 or less is a continuous converter. A bound of 0 or less is no bound.

    ``ir_drop`` tells how the wires' resistance is modelled. A number is the strength of a polynomial that is
    subtracted from each output (1 is physical, 0: ideal wires); it takes ``ir_drop_g_ratio``. With "nodal"
    the product is the solution of the tile's resistive network (``kernels.circuit``), which takes
    ``ir_drop_wire_ohm`` and ``ir_drop_g_max_microsiemens``: exact, slow after every change of weights, and on
    processors only::

        cg.SingleRPUConfig(forward=cg.IOParameters(ir_drop="nodal", ir_drop_wire_ohm=1.0))
    """

    is_perfect: bool = field(False)  # y = out_scale W x, and nothing below
    mv_type: AnalogMVType = field(AnalogMVType.ONE_PASS)
    inp_bound: float = field(1.0)
    inp_noise: float = field(0.0, at_least=0.0)  # std after the DAC
    inp_res: float = field(1.0 / (2**7 - 2))
    inp_sto_round: bool = field(False)
    inp_asymmetry: float = field(0.0)  # negative inputs are smaller by this fraction
    out_bound: float = field(12.0)
    out_noise: float = field(0.06, at_least=0.0)  # std before the ADC
    out_noise_std: float = field(0.0, at_least=0.0)  # relative spread of out_noise from line to line
    out_res: float = field(1.0 / (2**9 - 2))
    out_sto_round: bool = field(False)
    out_scale: float = field(1.0)
    out_asymmetry: float = field(0.0)  # negative outputs are smaller by this fraction
    bound_management: BoundManagementType = field(BoundManagementType.ITERATIVE)
    noise_management: NoiseManagementType = field(NoiseManagementType.ABS_MAX)
    w_noise: float = field(0.0, at_least=0.0)
    w_noise_type: WeightNoiseType = field(WeightNoiseType.NONE)
    ir_drop: str | float = field(0.0, at_least=0.0)  # on wires: strength of a polynomial, or "nodal"
    ir_drop_g_ratio: float = field(DEFAULT_G_RATIO, above=0.0)  # 1 / (wire resistance * g_max)
    # the pair whose product ir_drop_g_ratio's default, aihwkit's, inverts
    ir_drop_wire_ohm: float = field(0.35, at_least=0.0)  # of any line between two crossings
    ir_drop_g_max_microsiemens: float = field(5.0, above=0.0)  # of the device of a weight of 1; of 0: none
    out_nonlinearity: float = field(0.0)  # relative to out_bound
    out_nonlinearity_std: float = field(0.0, at_least=0.0)  # relative spread from line to line
    slope_calibration: float = field(0.0)  # fraction of out_bound where the non-linearity has slope 1
    v_offset_std: float = field(0.0, at_least=0.0)  # spread of the voltage offset from line to line
    v_offset_w_min: float = field(-1.0)  # weight of the reference device
    r_series: float = field(0.0, at_least=0.0)
    w_read_asymmetry_dtod: float = field(0.0, at_least=0.0)  # spread of a weight at negative inputs
    max_bm_factor: int = field(1000, at_least=1)  # bound management stops above this factor
    max_bm_res: float = field(0.25, above=0.0)  # ... or when this resolution of the input is left
    nm_thres: float = field(0.0, at_least=0.0)  # largest scale, or the scale of CONSTANT; 0: off
    bm_test_negative_bound: bool = field(True)  # whether a clip at the negative bound counts as a hit
    lines_per_adc: int = field(1, at_least=1)  # neighbouring lines with one spread of noise and curvature

    def validate(self) -> None:
        managed = self.noise_management is not NoiseManagementType.NONE
        if managed and self.inp_bound != 1.0 and not self.perfect:
            raise ConfigError(
                f"{type(self).__name__}.inp_bound = {self.inp_bound:g} must be 1 with noise management "
                f"{self.noise_management.value}: set noise_management to NONE or inp_bound to 1"
            )
        if isinstance(self.ir_drop, str):
            self._validate_nodal(self.ir_drop)

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
    """The periphery of most device presets: 7-bit DAC, 9-bit ADC, noise of about one ADC step."""

    out_bound: float = field(20.0)
    out_noise: float = field(0.1, at_least=0.0)


@config
class StandardIOParameters(IOParameters):
    """8-bit converters as in hardware-aware training (Rasch et al., 2023), with management on."""

    inp_res: float = field(1.0 / (2**8 - 2))
    out_res: float = field(1.0 / (2**8 - 2))
    out_bound: float = field(10.0)
    out_noise: float = field(0.04, at_least=0.0)
