"""Torch's layers and their analog twins: how one is made, and which names it has by itself."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..config.rpu import FloatingPointRPUConfig, RPUConfig
from ..nn.attention import AnalogMultiheadAttention
from ..nn.base import AnalogLayer
from ..nn.bilinear import AnalogBilinear
from ..nn.convolution.conv import AnalogConv1d, AnalogConv2d, AnalogConv3d
from ..nn.convolution.transposed import (
    AnalogConvTranspose1d,
    AnalogConvTranspose2d,
    AnalogConvTranspose3d,
)
from ..nn.experts.experts import AnalogExperts
from ..nn.linear import AnalogLinear
from ..nn.recurrent.cells import AnalogGRUCell, AnalogLSTMCell, AnalogRNNCell
from ..nn.recurrent.network import AnalogGRU, AnalogLSTM, AnalogRNN
from .kinds import EXPERTS, KINDS, TRANSPOSED, kind_of

#: makes an analog layer from (digital layer, configuration, name in the model)
Conversion = Callable[[Any, RPUConfig, str], AnalogLayer]

CONVERSIONS: dict[Any, Conversion] = {
    nn.Linear: AnalogLinear.from_digital,
    nn.Conv1d: AnalogConv1d.from_digital,
    nn.Conv2d: AnalogConv2d.from_digital,
    nn.Conv3d: AnalogConv3d.from_digital,
    nn.ConvTranspose1d: AnalogConvTranspose1d.from_digital,
    nn.ConvTranspose2d: AnalogConvTranspose2d.from_digital,
    nn.ConvTranspose3d: AnalogConvTranspose3d.from_digital,
    nn.RNN: AnalogRNN.from_digital,
    nn.LSTM: AnalogLSTM.from_digital,
    nn.GRU: AnalogGRU.from_digital,
    nn.RNNCell: AnalogRNNCell.from_digital,
    nn.LSTMCell: AnalogLSTMCell.from_digital,
    nn.GRUCell: AnalogGRUCell.from_digital,
    nn.Bilinear: AnalogBilinear.from_digital,
    nn.MultiheadAttention: AnalogMultiheadAttention.from_digital,
    TRANSPOSED: AnalogLinear.from_transposed,
    EXPERTS: AnalogExperts.from_digital,
}


def analog_twin(module: nn.Module, rpu_config: RPUConfig, name: str) -> AnalogLayer:
    """The analog layer that computes what ``module``, called ``name``, computes."""
    return CONVERSIONS[kind_of(module, trained=True)](module, rpu_config, name)


def own_names(old: nn.Module, digital: nn.Module) -> frozenset[str]:
    """The attributes, buffers and submodules that any layer like ``old`` has.

    It is the torch layer ``digital`` or its analog twin. Experts take along what they have themselves.
    """
    kind = kind_of(digital, trained=True)
    if kind is EXPERTS:
        return frozenset({*vars(old), *old._buffers, *old._modules})
    made: Any = type(digital) if kind is TRANSPOSED else kind
    return _names(made, 2 if kind is TRANSPOSED else KINDS[kind], old is not digital)


@functools.cache
def _names(kind: type[nn.Module], sizes: int, analog: bool) -> frozenset[str]:
    with torch.random.fork_rng(devices=[]):
        layer: nn.Module = kind(*(1,) * sizes)
        if analog:
            layer = analog_twin(layer, FloatingPointRPUConfig(), "")
    return frozenset({*vars(layer), *layer._buffers, *layer._modules})
