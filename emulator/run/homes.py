"""The layers of a run: their tiles leave this process when it starts, and come home when it ends."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crossgrid.kernels.errors import CrossgridError

from ..hosts.executor import Executor, Hosting
from ..hosts.grid import TileGrid
from ..hosts.moving import move
from ..model.filling import Filling, is_in_file, leave_in_file
from ..nn.matrix import AnalogMatrix
from ..tiles.layer_spec import LayerSpec
from .specs import is_on_cores, leave_cores

if TYPE_CHECKING:
    from ..stages.executor import StageExecutor


@dataclass(slots=True)
class Homes:
    """The tiles that layers have in this process, and those of the run."""

    layers: list[tuple[str, AnalogMatrix]]  # by name
    specs: list[LayerSpec]  # in the run
    on_tiles: dict[str, TileGrid] = field(default_factory=dict, init=False)  # of layers now on cores

    def move_in(
        self,
        executor: Executor,
        hostings: Sequence[Hosting],
        update_delay: int,
        filling: Filling | None,
        moves: bool,
    ) -> None:
        """Give each layer its tiles at ``executor``; where tiles move, they hold what those here do.

        ``filling`` has the numbers of layers that have none: they are written here, unless hosts read them.
        """
        for number, ((_, layer), spec) in enumerate(zip(self.layers, self.specs, strict=True)):
            of_hosts = filling is not None and filling.is_for_hosts(layer)
            if filling is not None and not of_hosts:
                filling.fill(layer)
            old = layer.grid
            grid = TileGrid(spec, executor, number, hostings[number], copy.copy(old.ticks))
            grid.update_delay = update_delay
            if moves and not of_hosts:
                move(old, grid)
            layer.analog_tile.grid = grid
            if is_on_cores(spec, old.spec):
                self.on_tiles[spec.name] = old

    def give_back(self, before: Sequence[TileGrid]) -> None:
        """Leave every layer with the tiles that it had ``before`` a start that failed."""
        for (_, layer), grid in zip(self.layers, before, strict=True):
            if is_in_file(layer):
                leave_in_file(layer)
            layer.analog_tile.grid = grid

    def come_home(self, stages: StageExecutor | None) -> list[CrossgridError | None]:
        """Bring every layer's tiles home that can be read or are known; returns what failed."""
        failures = []
        for _, layer in self.layers:
            if stages is not None:
                failures.append(failure_of(functools.partial(stages.leave, layer)))
                if failures[-1] is not None:
                    layer.analog_tile.grid = TileGrid.local(layer.grid.spec)
            elif is_in_file(layer):
                leave_in_file(layer)
            else:
                layer.analog_tile.grid, lost = layer.grid.rescue()
                failures.append(lost)
        for name, layer in self.layers:
            if name in self.on_tiles:
                leave_cores(layer, self.on_tiles.pop(name))
        return failures


def failure_of(do: Callable[[], None]) -> CrossgridError | None:
    """What it fails with."""
    try:
        do()
    except CrossgridError as error:
        return error
    return None
