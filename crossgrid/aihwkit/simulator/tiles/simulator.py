"""The devices of a tile behind its digital periphery, by the names of aihwkit's simulator tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from .module import TileModule


DEVICE = "rpu.rpu_device."  # before what aihwkit calls the choppers, which are flags there: 1 is flipped
SIGNS = ("in_chopper", "out_chopper")


@dataclass(frozen=True)
class SimulatorView:
    """W as the devices hold it: without scales, a bias column among its columns."""

    module: TileModule

    @property
    def weight(self) -> Tensor:
        """The parameter, of digitally trained tiles; or, of scaled ones, a copy of what the devices hold."""
        return self.module.weight if self.module.mapping_scales is None else self.get_weights()

    def get_x_size(self) -> int:
        """Inputs, a bias column among them."""
        return self.module.in_size + self.module.analog_bias

    def get_d_size(self) -> int:
        """Outputs."""
        return self.module.out_size

    def get_weights(self, as_ref: bool = False) -> Tensor:
        """W[out, in] as the devices hold it: a copy."""
        return self.module.raw_weights()

    def set_weights(self, weight: Tensor) -> None:
        """Write W[out, in] to the devices."""
        self.module.write_raw(weight)

    def get_learning_rate(self) -> float:
        """The rate of the next update."""
        return self.module.get_learning_rate()

    def set_learning_rate(self, learning_rate: float | None) -> None:
        """Set the rate of the next update."""
        self.module.set_learning_rate(learning_rate)

    def get_hidden_parameters(self) -> Tensor:
        """What was drawn for the devices, [parameters, out, in]."""
        drawn = list(self.module.get_hidden_parameters().values())
        return torch.stack(drawn) if drawn else torch.empty(0)

    def get_hidden_parameter_names(self) -> list[str]:
        """The names of what was drawn."""
        return list(self.module.get_hidden_parameters())

    def dump_extra(self) -> dict[str, Any]:
        """What changes of the devices beside their weights; choppers by aihwkit's names, 1 where flipped."""
        state = self.module.grid.state()
        return {_their_name(name): _theirs(name, np.atleast_1d(values)) for name, values in state.items()}

    def load_extra(self, extra: dict[str, Any], strict: bool = False) -> None:
        """Take over what ``dump_extra`` gave.

        Raises:
            RuntimeError: a part is missing, and ``strict``.
        """
        own = self.module.grid.state()
        missing = [name for name in map(_their_name, own) if name not in extra]
        if missing and strict:
            raise RuntimeError(f"the state of {self.module.get_brief_info()} lacks {', '.join(missing)}")
        for name, values in own.items():
            if _their_name(name) in extra:
                own[name] = _ours(name, extra[_their_name(name)], values)
        self.module.grid.load_state(own)

    def get_brief_info(self) -> str:
        """The devices in words."""
        return self.module.get_brief_info()

    def get_meta_parameters(self) -> Any:
        """The configuration, with its peripheries as ``forward_io`` and ``backward_io``."""
        return _Meta(self.module.rpu_config)


def _their_name(name: str) -> str:
    last = name.rpartition(".")[2]
    return DEVICE + last if last in SIGNS else name


def _theirs(name: str, values: Any) -> Any:
    if name.endswith(SIGNS):
        return ((1 - values) / 2).astype(float).ravel().tolist()
    return torch.from_numpy(values.copy())


def _ours(name: str, given: Any, like: Any) -> Any:
    values = np.asarray(given, like.dtype).reshape(like.shape)
    return 1 - 2 * values if name.endswith(SIGNS) else values


class _Meta:
    def __init__(self, rpu_config: Any) -> None:
        self.rpu_config = rpu_config

    @property
    def forward_io(self) -> Any:
        return self.rpu_config.forward

    @property
    def backward_io(self) -> Any:
        return self.rpu_config.backward

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rpu_config, name)
