"""The same jobs on either side: ``OwnUpdate`` in this project, ``PeerUpdate`` in aihwkit's environment."""

from __future__ import annotations

import sys
import time
import types
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .rows import LEARNING_RATE, Row


class Job:
    """Something that can be run again and again, and checked."""

    def run(self) -> None:
        """The work that is timed."""
        raise NotImplementedError

    def start(self) -> None:
        """Put the weights back to where they were."""
        raise NotImplementedError

    def weights(self) -> NDArray[np.float32]:
        """The weights, [out, in]."""
        raise NotImplementedError

    def times(self, repeats: int) -> list[float]:
        """Milliseconds of ``repeats`` runs."""
        self.start()
        taken = []
        for _ in range(repeats):
            begin = time.perf_counter()
            self.run()
            taken.append(1e3 * (time.perf_counter() - begin))
        return taken


class OwnUpdate(Job):
    """A pulsed update by this project."""

    def __init__(self, device: str, row: Row) -> None:
        from crossgrid.kernels import devices
        from crossgrid.kernels.pulsed_update.parameters import UpdateParameters
        from crossgrid.kernels.rng import tile_key

        config = getattr(devices, device)()
        keys = tile_key(1, 0)[None]
        self.cell = devices.build_cell(config, UpdateParameters(), keys, row.out_size, row.in_size, "cpu")
        x, d = row.data()
        self.x, self.d, self.batch = x[None], d[None], row.batch
        self.index, self.tick = np.zeros(1, np.int64), 0
        self.zero = np.zeros((1, row.out_size, row.in_size), np.float32)

    def start(self) -> None:
        self.cell.set_weights(self.zero)

    def run(self) -> None:
        self.cell.update(self.x, self.index, self.d, self.index, LEARNING_RATE, self.tick)
        self.tick += self.batch

    def weights(self) -> NDArray[np.float32]:
        return np.array(self.cell.weights[0])


class PeerUpdate(Job):
    """A pulsed update by aihwkit."""

    def __init__(self, device: str, row: Row) -> None:
        sys.modules.setdefault("torchvision", types.ModuleType("torchvision"))
        import torch
        from aihwkit.simulator.configs import SingleRPUConfig
        from aihwkit.simulator.configs import devices as peer_devices
        from aihwkit.simulator.tiles import AnalogTile

        config = SingleRPUConfig(device=getattr(peer_devices, device)())
        self.tile: Any = AnalogTile(row.out_size, row.in_size, config)
        self.tile.set_learning_rate(LEARNING_RATE)
        x, d = row.data()
        self.x, self.d = torch.from_numpy(x), torch.from_numpy(d)
        self.zero = torch.zeros(row.out_size, row.in_size)

    def start(self) -> None:
        self.tile.set_weights(self.zero)

    def run(self) -> None:
        self.tile.update(self.x, self.d)

    def weights(self) -> NDArray[np.float32]:
        return np.array(self.tile.get_weights()[0])


JOBS: dict[str, tuple[type[Job], type[Job]]] = {"update": (OwnUpdate, PeerUpdate)}
