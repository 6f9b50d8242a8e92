"""What a user may choose about the pulsed update: the pulse type and how trains are scaled."""

from __future__ import annotations

from enum import Enum

from ..config import Config, config, field

MAX_PULSES = 31  # a pulse train is one 32-bit word, its top bit the sign of the line


class PulseType(Enum):
    """How x and d become pulses on the lines."""

    NONE = "None"  # exact outer product, no bounds
    STOCHASTIC = "Stochastic"  # positive and negative inputs in two passes
    STOCHASTIC_COMPRESSED = "StochasticCompressed"
    NONE_WITH_DEVICE = "NoneWithDevice"  # exact outer product, clipped to the devices' bounds
    MEAN_COUNT = "MeanCount"  # rounded numbers of pulses instead of random trains
    DETERMINISTIC_IMPLICIT = "DeterministicImplicit"  # the rounded product of the scaled factors


@config
class UpdateParameters(Config):
    """How the gradient's two factors are turned into pulse trains (Gokmen and Vlasov, 2016)."""

    desired_bl: int = field(31, at_least=1, at_most=MAX_PULSES)
    fixed_bl: bool = field(True)
    update_management: bool = field(True)  # the longest x and d trains fire equally often
    update_bl_management: bool = field(True)  # the train is as short as the update allows; implies the above
    um_grad_scale: float = field(1.0, above=0.0)
    pulse_type: PulseType = field(PulseType.STOCHASTIC_COMPRESSED)
    res: float = field(0.0, at_most=1.0)  # step width of a firing probability, <= 0: continuous
    sto_round: bool = field(False)
    x_res_implicit: float = field(0.0, at_most=1.0)  # step widths of DeterministicImplicit
    d_res_implicit: float = field(0.0, at_most=1.0)
    d_sparsity: bool = field(False)  # accepted for compatibility: it only asks for a statistic

    @property
    def exact(self) -> bool:
        """Whether the update is the exact outer product, without pulses."""
        return self.pulse_type in (PulseType.NONE, PulseType.NONE_WITH_DEVICE)
