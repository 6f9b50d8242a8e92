"""What stages send each other: the values of a micro-batch, as letters of ``actors/wire.py``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import ProtocolError
from ..tiles.messages import Count, Masks, Message

#: torch's types of values, by name
KINDS: dict[str, torch.dtype] = {
    name: getattr(torch, name)
    for name in (
        "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64",
        "complex64",
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Values(Message[None]):
    """Tensors of one micro-batch by their names: from the driver, a stage, or the last one's outputs.

    On the way back they are gradients, by the names of the values that they are of.
    """

    round: Count  # of passes: what is left of one that was given up is told apart
    batch: Count  # number of the micro-batch in its round
    back: bool  # whether a stage gives them to the one before it
    learns: tuple[str, ...]  # the names of those whose gradients are asked for
    names: tuple[str, ...]
    kinds: tuple[str, ...]  # types
    shapes: tuple[tuple[Count, ...], ...]
    data: Masks  # bytes of each

    def __post_init__(self) -> None:
        if not set(self.learns) <= set(self.names):
            raise ProtocolError(
                f"Values asks for gradients of {self.learns!r:.80}, and names {self.names!r:.80}"
            )
        if not len(self.names) == len(self.kinds) == len(self.shapes) == len(self.data):
            raise ProtocolError(f"Values names {len(self.names)} tensors and holds {len(self.data)}")

    @classmethod
    def of(
        cls, number: int, batch: int, tensors: Mapping[str, Tensor], back: bool = False,
        learns: Sequence[str] = (),
    ) -> Values:  # fmt: skip
        """The values of micro-batch ``batch`` of round ``number``."""
        kinds = tuple(str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values())
        shapes = tuple(tuple(tensor.shape) for tensor in tensors.values())
        data = [t.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy() for t in tensors.values()]
        return cls(number, batch, back, tuple(learns), tuple(tensors), kinds, shapes, data)

    def tensors(self) -> dict[str, Tensor]:
        """The tensors: copies.

        Raises:
            ProtocolError: their bytes are not what their types and shapes say.
        """
        found = {}
        for name, kind, shape, data in zip(self.names, self.kinds, self.shapes, self.data, strict=True):
            dtype = KINDS.get(kind)
            if dtype is None or math.prod(shape) * dtype.itemsize != data.nbytes:
                raise ProtocolError(f"Values.{name:.40} is {kind!r:.20} {shape!r:.80} of {data.nbytes} bytes")
            found[name] = torch.from_numpy(np.array(data)).view(dtype).reshape(shape)
        return found


@dataclass(frozen=True, slots=True)
class Abandon(Message[None]):
    """The driver to a stage: a round is given up, as another stage died or failed."""

    round: Count


#: letters by their names on the wire
LETTERS: dict[str, type] = {"Values": Values, "Abandon": Abandon}
