"""Layers and models."""

from ..missing import absent
from .modules.container import AnalogSequential as AnalogSequential
from .modules.container import AnalogWrapper as AnalogWrapper
from .modules.conv import AnalogConv1d as AnalogConv1d
from .modules.conv import AnalogConv2d as AnalogConv2d
from .modules.conv import AnalogConv3d as AnalogConv3d
from .modules.conv_mapped import AnalogConv1dMapped as AnalogConv1dMapped
from .modules.conv_mapped import AnalogConv2dMapped as AnalogConv2dMapped
from .modules.conv_mapped import AnalogConv3dMapped as AnalogConv3dMapped
from .modules.linear import AnalogLinear as AnalogLinear
from .modules.linear_mapped import AnalogLinearMapped as AnalogLinearMapped
from .modules.rnn.cells import AnalogGRUCell as AnalogGRUCell
from .modules.rnn.cells import AnalogLSTMCell as AnalogLSTMCell
from .modules.rnn.cells import AnalogLSTMCellCombinedWeight as AnalogLSTMCellCombinedWeight
from .modules.rnn.cells import AnalogVanillaRNNCell as AnalogVanillaRNNCell
from .modules.rnn.rnn import AnalogRNN as AnalogRNN

__getattr__ = absent(__name__)
