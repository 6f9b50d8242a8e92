"""What of a model is on tiles."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from crossgrid.emulator.summary.summary import AnalogSummary
from crossgrid.emulator.summary.summary import analog_summary as summary_of

from ..missing import absent


def analog_summary(model: nn.Module, input_size: Any = None, rpu_config: Any = None) -> AnalogSummary:
    """The summary of ``model``: print it.

    Args:
        model: a model with analog layers.
        input_size: shape of an input, by which multiplications are counted; of one vector if not given.
        rpu_config: has no effect: every tile has its own.
    """
    return summary_of(model, None if input_size is None else torch.zeros(*input_size))


__getattr__ = absent(__name__)
