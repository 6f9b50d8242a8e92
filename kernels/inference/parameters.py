"""What a user may choose about the weights of hardware-aware training: noise, clipping, remapping."""

from __future__ import annotations

from enum import Enum

from ..config import Config, config, field
from ..errors import ConfigError


class WeightModifierType(Enum):
    """How the weights that a mini-batch sees differ from the trained ones."""

    NONE = "None"
    DISCRETIZE = "Discretize"
    MULT_NORMAL = "MultNormal"
    ADD_NORMAL = "AddNormal"
    DISCRETIZE_ADD_NORMAL = "DiscretizeAddNormal"
    DOREFA = "DoReFa"
    POLY = "Poly"
    PCM_NOISE = "PCMNoise"
    PROG_NOISE = "ProgNoise"
    DROP_CONNECT = "DropConnect"
    COPY = "Copy"  # an older name of DROP_CONNECT


@config
class WeightModifierParameter(Config):
    """Noise and rounding of the weights during hardware-aware training.

    Strengths are relative to w_max, the largest magnitude of the tile's weights
    (``rel_to_actual_wmax``) or ``assumed_wmax``. ``pdrop`` acts after any type.
    """

    std_dev: float = field(0.0, at_least=0.0)  # in units of w_max; a factor for POLY, PROG_NOISE, PCM_NOISE
    per_batch_sample: bool = field(False)  # not supported: one draw serves a mini-batch
    res: float = field(0.0, at_least=0.0, at_most=1.0)  # step width in units of w_max; 0: continuous
    sto_round: bool = field(False)
    dorefa_clip: float = field(0.6, above=0.0)  # where DOREFA maps w_max to
    pdrop: float = field(0.0, at_least=0.0, at_most=1.0)  # probability that a weight is 0
    enable_during_test: bool = field(False)  # evaluation sees the last modified weights
    rel_to_actual_wmax: bool = field(True)
    assumed_wmax: float = field(1.0, above=0.0)
    copy_last_column: bool = field(False)  # the last column (a bias) is not modified
    coeffs: list[float] = field(factory=lambda: [0.0105392, 0.0768, -0.046925])  # of POLY and PROG_NOISE
    type: WeightModifierType = field(WeightModifierType.NONE)
    g_max: float = field(25.0, above=0.0)  # µS, of PCM_NOISE and PROG_NOISE
    pcm_zero_thres: float = field(0.0, at_least=0.0)  # smaller targets stay at reset; units of 0.26 µS
    pcm_t_inference: float = field(0.0, at_least=0.0)  # s after programming
    pcm_prob_at_reset: float = field(0.0, at_least=0.0, at_most=1.0)
    pcm_prob_at_gmax: float = field(0.0, at_least=0.0, at_most=1.0)
    pcm_prob_at_random: float = field(0.0, at_least=0.0, at_most=1.0)
    pcm_t0: float = field(20.0, above=0.0)  # s from programming to the first read

    def validate(self) -> None:
        if self.per_batch_sample:
            raise ConfigError(
                "WeightModifierParameter.per_batch_sample = True is not supported: "
                "one draw serves a mini-batch; use a batch size of 1 for a draw per sample"
            )
        if not 1 <= len(self.coeffs) <= MAX_COEFFS:
            raise ConfigError(
                f"WeightModifierParameter.coeffs has {len(self.coeffs)} entries; "
                f"it must have 1 to {MAX_COEFFS}"
            )


MAX_COEFFS = 6


class WeightClipType(Enum):
    """Where the trained weights are clipped after an optimizer step."""

    NONE = "None"
    FIXED_VALUE = "FixedValue"
    LAYER_GAUSSIAN = "LayerGaussian"
    AVERAGE_CHANNEL_MAX = "AverageChannelMax"


@config
class WeightClipParameter(Config):
    """Clipping of the trained weights; a ``fixed_value`` > 0 also limits the other types."""

    fixed_value: float = field(-1.0)
    sigma: float = field(2.5, above=0.0)  # LAYER_GAUSSIAN: in standard deviations of the tile's weights
    type: WeightClipType = field(WeightClipType.NONE)


class WeightRemapType(Enum):
    """How the trained weights are rescaled to use the whole conductance range."""

    NONE = "None"
    LAYERWISE_SYMMETRIC = "LayerwiseSymmetric"
    CHANNELWISE_SYMMETRIC = "ChannelwiseSymmetric"


@config
class WeightRemapParameter(Config):
    """Rescaling of the trained weights to ``remapped_wmax``, undone by the digital output scales."""

    remapped_wmax: float = field(1.0, above=0.0)
    max_scale_range: float = field(0.0, at_least=0.0)  # largest scale / smallest scale; 0: no limit
    max_scale_ref: float = field(0.0, at_least=0.0)  # the smallest scale counts as at least this
    type: WeightRemapType = field(WeightRemapType.NONE)

    def validate(self) -> None:
        if self.max_scale_range > 0.0 and self.remapped_wmax != 1.0:
            raise ConfigError(
                f"WeightRemapParameter.max_scale_range = {self.max_scale_range:g} needs remapped_wmax = 1, "
                f"not {self.remapped_wmax:g}"
            )
