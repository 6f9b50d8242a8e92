"""The base of all compensations, and one written for aihwkit on the tiles of this project."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossgrid.kernels import inference as kernels
from crossgrid.kernels.config import config, field

from ...missing import absent

Array = NDArray[np.float32]


class BaseDriftCompensation(ABC):
    """A base for your own, as in aihwkit: override ``readout`` and ``get_readout_tensor``."""

    @abstractmethod
    def get_readout_tensor(self, in_size: int) -> Tensor:
        """The inputs [vectors, ``in_size``] of a read-out."""

    @abstractmethod
    def readout(self, out_tensor: Tensor) -> Tensor:
        """What is kept of the outputs [vectors, out]: a number, or one for each output."""

    def apply(self, forward_output: Tensor, ref_value: Tensor) -> Tensor:
        """The factor of the outputs, where a read-out now gives ``forward_output``."""
        return ref_value / self.readout(forward_output)


BaseDriftCompensation.register(kernels.BaseDriftCompensation)


@config
class OwnDriftCompensation(kernels.BaseDriftCompensation):
    """What tiles take of a user's compensation: its methods, of what a tile reads."""

    model: Any = field(None)
    """The compensation, of a class derived from ``crossgrid.aihwkit.inference.BaseDriftCompensation``."""

    def read_out(self, outputs: Iterator[Array]) -> Array:
        return _array(self.model.readout(_whole(outputs)))

    def alpha(self, baseline: Array, read: kernels.compensation.Read, in_size: int) -> Array:
        apply = getattr(self.model, "apply", None)
        if apply is None:
            return kernels.BaseDriftCompensation.alpha(self, baseline, read, in_size)
        return _array(apply(_whole(self._outputs(read, in_size)), torch.as_tensor(baseline)))

    def _outputs(self, read: kernels.compensation.Read, in_size: int) -> Iterator[Array]:
        vectors = getattr(self.model, "get_readout_tensor", torch.eye)(in_size)
        yield read(_array(vectors).reshape(-1, in_size))


def _whole(outputs: Iterator[Array]) -> Tensor:
    return torch.from_numpy(np.concatenate(list(outputs)))


def _array(values: Any) -> Array:
    return torch.as_tensor(values).detach().cpu().float().numpy()


__getattr__ = absent(__name__)
