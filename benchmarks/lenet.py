"""LeNet5 on analog layers, which several benchmarks train."""

from __future__ import annotations

from peer import network
from torch import nn

import crossgrid as cg


def lenet5() -> nn.Module:
    """LeNet5 for 28 x 28 images: ten tiles of demo-128."""
    return cg.convert_to_analog(network.lenet5(), cg.SingleRPUConfig())
