"""What a user may choose about the weights that a mini-batch of hardware-aware training sees."""

from __future__ import annotations

from enum import Enum

from ...config import Config, config, field
from ...errors import ConfigError

MAX_COEFFS = 6


class WeightModifierType(Enum):
    """How the weights that a mini-batch sees differ from the trained ones."""

    NONE = "None"
    """Not at all."""
    DISCRETIZE = "Discretize"
    """Rounded to multiples of ``res``."""
    MULT_NORMAL = "MultNormal"
    """With normal noise that is proportional to the weight."""
    ADD_NORMAL = "AddNormal"
    """With normal noise that is the same for all weights."""
    DISCRETIZE_ADD_NORMAL = "DiscretizeAddNormal"
    """Rounded, and with the noise of ADD_NORMAL."""
    DOREFA = "DoReFa"
    """Passed through tanh, scaled and rounded (Zhou et al., 2016)."""
    POLY = "Poly"
    """With normal noise whose strength is a polynomial of the weight, ``coeffs``."""
    PCM_NOISE = "PCMNoise"
    """As phase-change memory some time after programming."""
    PROG_NOISE = "ProgNoise"
    """As POLY in units of conductance, with the sign of the weight kept."""
    DROP_CONNECT = "DropConnect"
    """Set to 0 with probability ``pdrop``."""
    COPY = "Copy"
    """As DROP_CONNECT; an older name."""


@config
class WeightModifierParameter(Config):
    """Noise and rounding of the weights during hardware-aware training.

    Strengths are relative to w_max, the largest magnitude of the tile's weights
    (``rel_to_actual_wmax``) or ``assumed_wmax``. ``pdrop`` acts after any type.
    """

    std_dev: float = field(0.0, at_least=0.0)
    """Strength of the noise in units of w_max; for POLY, PROG_NOISE and PCM_NOISE a factor of theirs."""
    per_batch_sample: bool = field(False)
    """Whether each sample of a mini-batch, a vector or an image, has a draw of its own, and so a pass of its
    own; or else one draw serves all."""
    res: float = field(0.0, at_least=0.0, at_most=1.0)
    """Step width of the rounding in units of w_max; 0: continuous."""
    sto_round: bool = field(False)
    """Whether weights are rounded stochastically."""
    dorefa_clip: float = field(0.6, above=0.0)
    """What DOREFA maps w_max to, in units of weight."""
    pdrop: float = field(0.0, at_least=0.0, at_most=1.0)
    """Probability that a weight is 0."""
    enable_during_test: bool = field(False)
    """Whether evaluation sees the last modified weights, or else the trained ones."""
    rel_to_actual_wmax: bool = field(True)
    """Whether w_max is the largest magnitude of the tile's weights, or else ``assumed_wmax``."""
    assumed_wmax: float = field(1.0, above=0.0)
    """The w_max of all tiles, in units of weight, unless ``rel_to_actual_wmax``."""
    copy_last_column: bool = field(False)
    """Whether the last column, a bias, is left as it is."""
    coeffs: list[float] = field(factory=lambda: [0.0105392, 0.0768, -0.046925])
    """Coefficients of the noise in ascending powers of |w| / w_max, in units of w_max (POLY), or in µS and
    divided by ``g_max`` (PROG_NOISE)."""
    type: WeightModifierType = field(WeightModifierType.NONE)
    """How the weights of a mini-batch are modified."""
    g_max: float = field(25.0, above=0.0)
    """Largest conductance in µS, of PCM_NOISE and PROG_NOISE."""
    pcm_zero_thres: float = field(0.0, at_least=0.0)
    """Targets below this stay at reset, in units of ``std_dev`` times 0.26 µS."""
    pcm_t_inference: float = field(0.0, at_least=0.0)
    """Time after programming in seconds, of PCM_NOISE."""
    pcm_prob_at_reset: float = field(0.0, at_least=0.0, at_most=1.0)
    """Probability that a device of PCM_NOISE is stuck at reset."""
    pcm_prob_at_gmax: float = field(0.0, at_least=0.0, at_most=1.0)
    """Probability that a device of PCM_NOISE is stuck at ``g_max``."""
    pcm_prob_at_random: float = field(0.0, at_least=0.0, at_most=1.0)
    """Probability that a device of PCM_NOISE is stuck at a random conductance."""
    pcm_t0: float = field(20.0, above=0.0)
    """Time from programming to the first read in seconds, of PCM_NOISE."""

    def unused(self) -> dict[str, str]:
        if self.assumed_wmax == 1.0 or not self.rel_to_actual_wmax:
            return {}
        return {"assumed_wmax": "w_max is that of the tile's weights; set rel_to_actual_wmax = False"}

    def validate(self) -> None:
        if not 1 <= len(self.coeffs) <= MAX_COEFFS:
            raise ConfigError(
                f"WeightModifierParameter.coeffs has {len(self.coeffs)} entries; "
                f"it must have 1 to {MAX_COEFFS}"
            )
