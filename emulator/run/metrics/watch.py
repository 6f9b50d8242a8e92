"""What a run tells while it goes on: asked for now, or as it was last known."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field

from crossgrid.kernels.errors import CrossgridError

from ...nn.matrix import AnalogMatrix
from .collector import RunCollector
from .glances import Glances
from .server import MetricsServer
from .totals import RunTotals, TileSample


@dataclass(slots=True)
class Watch:
    """The counters of a run's tiles, for its reports and for whoever scrapes."""

    totals: RunTotals
    layers: list[tuple[str, AnalogMatrix]]  # by name; their tiles may be anywhere
    last: list[TileSample] = field(default_factory=list)  # what the tiles counted when they were last asked
    over: bool = False  # whether nobody is left to ask
    _server: MetricsServer | None = None
    _glances: Glances | None = None

    def start(self, port: int | None) -> None:
        """Serve the metrics on ``port``, or on a free one.

        Raises:
            PortError: ``port`` was asked for and is taken.
        """
        self._glances = Glances(self._look)
        self._server = MetricsServer.start(RunCollector(self.totals, self._scraped), port)

    @property
    def url(self) -> str | None:
        """Where Prometheus finds the run, while it is served."""
        return None if self._server is None else self._server.url

    def count(self, glance: bool = False) -> list[TileSample]:
        """The counters of every physical tile; at a ``glance``, see ``TileGrid.stats``."""
        self.totals.updates_waiting = sum(len(layer.grid.late) for _, layer in self.layers)
        if not self.over:
            self.last = [
                ({"tile": layer.grid.spec.tiles[block].label, "layer": name}, counters)
                for name, layer in self.layers
                for block, counters in sorted(layer.grid.stats(glance).items())
            ]
            self.totals.counted = time.monotonic()
        return self.last

    def _look(self) -> None:
        """Learn the present counters for whoever scrapes, if tiles tell them."""
        with contextlib.suppress(CrossgridError):
            self.count(glance=True)

    def _scraped(self) -> list[TileSample]:
        """The counters for whoever scrapes: the last ones where a tile does not answer at once."""
        assert self._glances is not None
        self._glances.take()
        return self.last

    def stop_serving(self) -> None:
        """Free the port."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def close(self) -> None:
        """Look no more: the tiles are gone."""
        if self._glances is not None:
            self._glances.close()
