"""What a user may choose about the pulsed update: the pulse type and how trains are scaled."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import ClassVar

from ..config import Config, config, field

WORD_PULSES = 31  # of a pulse train in one 32-bit word, whose top bit is the sign of the line
MAX_PULSES = 32 * WORD_PULSES  # a longer train is cut into parts, each a word


class PulseType(Enum):
    """How x and d become pulses on the lines."""

    NONE = "None"
    """The exact outer product, without bounds."""
    STOCHASTIC = "Stochastic"
    """Random trains; positive and negative inputs in two passes."""
    STOCHASTIC_COMPRESSED = "StochasticCompressed"
    """Random trains; all inputs in one pass."""
    NONE_WITH_DEVICE = "NoneWithDevice"
    """The exact outer product, clipped to the devices' bounds."""
    MEAN_COUNT = "MeanCount"
    """Rounded numbers of pulses instead of random trains."""
    DETERMINISTIC_IMPLICIT = "DeterministicImplicit"
    """The rounded product of the scaled factors."""


@config
class UpdateParameters(Config):
    """How the gradient's two factors are turned into pulse trains (Gokmen and Vlasov, 2016)."""

    without_effect: ClassVar[Mapping[str, str]] = {"d_sparsity": "no such statistic is kept"}

    desired_bl: int = field(31, at_least=1, at_most=MAX_PULSES)
    """Number of slots of a pulse train; the largest number with ``update_bl_management``."""
    fixed_bl: bool = field(True)
    """Whether trains always have ``desired_bl`` slots, or else as many as the learning rate needs where that
    is more; not used with ``update_bl_management``."""
    update_management: bool = field(True)
    """Whether x and d are scaled so that the likeliest pulses of both fire equally often."""
    update_bl_management: bool = field(True)
    """Whether a train is as short as its largest update allows; implies ``update_management``."""
    um_grad_scale: float = field(1.0, above=0.0)
    """Factor of the largest |d| that both kinds of management reckon with; below 1 large d saturate."""
    pulse_type: PulseType = field(PulseType.STOCHASTIC_COMPRESSED)
    """How x and d become pulses."""
    res: float = field(0.0, at_most=1.0)
    """Step width of a firing probability; 0 or less: continuous."""
    sto_round: bool = field(False)
    """Whether probabilities are rounded to ``res`` stochastically."""
    x_res_implicit: float = field(0.0, at_most=1.0)
    """Step width of the scaled x of DETERMINISTIC_IMPLICIT, as a fraction of its largest value; 0 or less:
    continuous."""
    d_res_implicit: float = field(0.0, at_most=1.0)
    """Step width of the scaled d of DETERMINISTIC_IMPLICIT, as a fraction of its largest value; 0 or less:
    continuous."""
    d_sparsity: bool = field(False)
    """Whether the share of zeros in d is to be recorded."""

    def unused(self) -> dict[str, str]:
        found = {}
        if not self.fixed_bl and self.update_bl_management:
            found["fixed_bl"] = "update_bl_management chooses the length of trains; set it to False"
        if self.um_grad_scale != 1.0 and not (self.update_management or self.update_bl_management):
            found["um_grad_scale"] = "there is no management that reckons with it; set update_management"
        for name in ("x_res_implicit", "d_res_implicit"):
            if getattr(self, name) > 0.0 and self.pulse_type is not PulseType.DETERMINISTIC_IMPLICIT:
                found[name] = "only DETERMINISTIC_IMPLICIT rounds by it; set pulse_type"
        return found

    @property
    def exact(self) -> bool:
        """Whether the update is the exact outer product, without pulses."""
        return self.pulse_type in (PulseType.NONE, PulseType.NONE_WITH_DEVICE)
