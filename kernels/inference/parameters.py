"""What a user may choose about the trained weights of hardware-aware training: clipping, remapping."""

from __future__ import annotations

from enum import Enum

from ..config import Config, config, field
from ..errors import ConfigError


class WeightClipType(Enum):
    """Where the trained weights are clipped after an optimizer step."""

    NONE = "None"
    """They are not clipped."""
    FIXED_VALUE = "FixedValue"
    """At ``fixed_value``."""
    LAYER_GAUSSIAN = "LayerGaussian"
    """At ``sigma`` standard deviations of the tile's weights."""
    AVERAGE_CHANNEL_MAX = "AverageChannelMax"
    """At the mean, over the outputs, of the largest magnitude of an output's weights."""


@config
class WeightClipParameter(Config):
    """Clipping of the trained weights; a ``fixed_value`` > 0 also limits the other types."""

    fixed_value: float = field(-1.0)
    """Bound of the weights' magnitude, in units of weight, for any type; 0 or less: none."""
    sigma: float = field(2.5, above=0.0)
    """Bound of LAYER_GAUSSIAN, in units of the standard deviation of the tile's weights."""
    type: WeightClipType = field(WeightClipType.NONE)
    """Where the weights are clipped after a step of the optimizer."""


class WeightRemapType(Enum):
    """How the trained weights are rescaled to use the whole conductance range."""

    NONE = "None"
    """They are not rescaled."""
    LAYERWISE_SYMMETRIC = "LayerwiseSymmetric"
    """By one factor for all outputs."""
    CHANNELWISE_SYMMETRIC = "ChannelwiseSymmetric"
    """By a factor for each output."""


@config
class WeightRemapParameter(Config):
    """Rescaling of the trained weights to ``remapped_wmax``, undone by the digital output scales."""

    remapped_wmax: float = field(1.0, above=0.0)
    """Largest magnitude of the rescaled weights, in units of weight."""
    max_scale_range: float = field(0.0, at_least=0.0)
    """Largest ratio of two outputs' scales, as a factor; 0: no limit."""
    max_scale_ref: float = field(0.0, at_least=0.0)
    """Least value that the smallest scale counts as in that ratio, in units of weight."""
    type: WeightRemapType = field(WeightRemapType.NONE)
    """How the weights are rescaled."""

    def validate(self) -> None:
        if self.max_scale_range > 0.0 and self.remapped_wmax != 1.0:
            raise ConfigError(
                f"WeightRemapParameter.max_scale_range = {self.max_scale_range:g} needs remapped_wmax = 1, "
                f"not {self.remapped_wmax:g}"
            )
