"""What Prometheus sees of a run: counters of every tile and gauges of the whole."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from torch import Tensor

from crossgrid.kernels.errors import ConfigError

from ..errors import PortError
from ..hosts.executor import Recovered, Traffic

#: where a run's metrics are served if the port is free; deploy/prometheus.yml scrapes these
USUAL_PORTS = range(9464, 9474)

#: seconds that a scrape waits for tiles: far less than Prometheus waits for it (10), and more than any takes
#: that is not in the middle of something
GLANCE_SECONDS = 1.0

#: a tile's counter -> metric name and help
TILE_COUNTERS = {
    "forward_seconds": ("crossgrid_tile_forward_seconds", "Time in forward reads"),
    "forward_count": ("crossgrid_tile_forward_vectors", "Vectors read forward"),
    "backward_seconds": ("crossgrid_tile_backward_seconds", "Time in backward reads"),
    "backward_count": ("crossgrid_tile_backward_vectors", "Vectors read backward"),
    "update_seconds": ("crossgrid_tile_update_seconds", "Time in pulsed updates"),
    "update_count": ("crossgrid_tile_update_vectors", "Vector pairs applied as updates"),
    "pulses": ("crossgrid_tile_pulses", "Coincidences that moved a device"),
    "adc_clips": ("crossgrid_tile_adc_clips", "Conversions that hit the range of the ADC"),
    "waiting_seconds": ("crossgrid_tile_waiting_seconds", "Time that the tile's process waited for work"),
    "retries": ("crossgrid_tile_bound_management_retries", "Reads repeated because the ADC clipped"),
}

#: counters of one tile by name, with its labels
TileSample = tuple[dict[str, str], dict[str, float]]


def busy_share(counters: dict[str, float]) -> float:
    """The part of its process' working time, bubbles included, that a tile itself worked."""
    worked = sum(counters[f"{part}_seconds"] for part in ("forward", "backward", "update"))
    return worked / counters["run_seconds"] if counters["run_seconds"] else 0.0


def waiting_share(counters: dict[str, float]) -> float:
    """The part of that time in which the process waited for work: bubbles."""
    return counters["waiting_seconds"] / counters["run_seconds"] if counters["run_seconds"] else 0.0


#: a tile's gauge -> its help and its value
TILE_GAUGES: dict[str, tuple[str, Callable[[dict[str, float]], float]]] = {
    "crossgrid_tile_saturated_crosspoints": (
        "Devices at one of their bounds", lambda counters: counters["saturated"],
    ),
    "crossgrid_tile_busy_ratio": ("Share of the run that the tile worked", busy_share),
    "crossgrid_tile_waiting_ratio": ("Share of the run that its process waited for work", waiting_share),
}  # fmt: skip


@dataclass(slots=True)
class RunTotals:
    """The run as a whole. ``loss`` is what the training loop reported last."""

    samples: int = 0
    loss: float | Tensor | None = None  # a tensor: on a card, and nobody has waited for it
    utilization: float = 0.0
    tiles: int = 0
    actors: int = 0
    micro_batches: int = 0  # that went through infer and train_step
    progress: float | None = None  # of the present infer, where its length is known
    update_delay: int = 0  # steps
    updates_waiting: int = 0  # of all layers
    counted: float | None = None  # when the tiles' counters were last known, by time.monotonic()
    recovered: Recovered = field(default_factory=Recovered)
    traffic: Traffic | None = None  # of this process with stages; None: there are none


class Glances:
    """Looks at what may not answer, in a thread of its own: who asks for it waits a moment and no longer."""

    def __init__(self, look: Callable[[], None]) -> None:
        """``look`` remembers what it sees, and raises nothing."""
        self._look, self._lock = look, threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def take(self) -> None:
        """Look, or wait with the others for who is looking already; at most ``GLANCE_SECONDS``."""
        with self._lock:
            if self._closed:
                return
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._look, name="crossgrid-scrape", daemon=True)
                self._thread.start()
            thread = self._thread
        thread.join(GLANCE_SECONDS)

    def close(self) -> None:
        """Look no more; whoever is at it is told that there is nothing more to see."""
        with self._lock:
            self._closed = True
        if self._thread is not None:
            self._thread.join()


@dataclass(slots=True, eq=False)
class RunCollector:
    """Turns a run's totals and its tiles' counters into metrics whenever somebody scrapes."""

    totals: RunTotals
    tiles: Callable[[], Iterable[TileSample]]

    def collect(self) -> Iterable[Metric]:
        """All metrics of the run, now; of tiles that do not answer, what they counted last."""
        samples = list(self.tiles())
        yield CounterMetricFamily("crossgrid_samples", "Samples trained on", value=self.totals.samples)
        yield GaugeMetricFamily(
            "crossgrid_utilization", "Weights over cells of the used tiles", value=self.totals.utilization
        )
        yield GaugeMetricFamily("crossgrid_tiles", "Physical tiles in use", value=self.totals.tiles)
        yield GaugeMetricFamily("crossgrid_actors", "Processes that host them", value=self.totals.actors)
        yield CounterMetricFamily(
            "crossgrid_micro_batches", "Micro-batches pipelined", value=self.totals.micro_batches
        )
        yield GaugeMetricFamily(
            "crossgrid_update_delay_steps", "Steps that updates are late by", value=self.totals.update_delay
        )
        yield GaugeMetricFamily(
            "crossgrid_updates_waiting", "Late updates not applied yet", value=self.totals.updates_waiting
        )
        yield from _of_recovery(self.totals.recovered)
        yield from _of_traffic(self.totals.traffic)
        if self.totals.progress is not None:
            yield GaugeMetricFamily(
                "crossgrid_progress_ratio", "Done of the present inference", value=self.totals.progress
            )
        if self.totals.loss is not None:
            yield GaugeMetricFamily("crossgrid_loss", "Loss reported last", value=float(self.totals.loss))
        if self.totals.counted is not None:
            yield GaugeMetricFamily(
                "crossgrid_tile_counters_age_seconds",
                "How old the tiles' counters are: more than a moment where one does not answer",
                value=time.monotonic() - self.totals.counted,
            )
        labels = ["tile", "layer"]
        for counter, (name, text) in TILE_COUNTERS.items():
            family = CounterMetricFamily(name, text, labels=labels)
            for where, values in samples:
                family.add_metric([where[label] for label in labels], values[counter])
            yield family
        for name, (text, value) in TILE_GAUGES.items():
            gauge = GaugeMetricFamily(name, text, labels=labels)
            for where, values in samples:
                gauge.add_metric([where[label] for label in labels], value(values))
            yield gauge


def _of_recovery(recovered: Recovered) -> Iterable[Metric]:
    yield CounterMetricFamily(
        "crossgrid_actor_restarts", "Actors that died and came back", value=recovered.restarts
    )
    yield CounterMetricFamily(
        "crossgrid_recovery_seconds", "Time until they were where they had been", value=recovered.seconds
    )
    yield GaugeMetricFamily(
        "crossgrid_recovery_log_bytes", "Messages kept for actors that may die, at the last snapshot",
        value=recovered.log_bytes,
    )  # fmt: skip
    yield GaugeMetricFamily(
        "crossgrid_recovery_snapshot_bytes", "Snapshots kept of their tiles", value=recovered.snapshot_bytes
    )


def _of_traffic(traffic: Traffic | None) -> Iterable[Metric]:
    if traffic is not None:
        yield CounterMetricFamily(
            "crossgrid_driver_sent_bytes", "Letters from this process to stages", value=traffic.sent
        )
        yield CounterMetricFamily(
            "crossgrid_driver_received_bytes", "Letters from stages to it", value=traffic.received
        )


@dataclass(slots=True)
class MetricsServer:
    """Serves a run's metrics on localhost until closed."""

    port: int
    _server: Any = field(repr=False)
    _thread: threading.Thread = field(repr=False)

    @classmethod
    def start(cls, collector: RunCollector, port: int | None) -> MetricsServer:
        """Serve on ``port``, or on a free one.

        Raises:
            PortError: ``port`` was asked for and is taken.
        """
        registry = CollectorRegistry(auto_describe=False)
        registry.register(collector)
        if port is not None:
            return cls._on(check_port(port), registry)
        for usual in filter(_is_free, USUAL_PORTS):
            with contextlib.suppress(PortError):  # another run took it in between
                return cls._on(usual, registry)
        return cls._on(0, registry)

    @classmethod
    def _on(cls, port: int, registry: CollectorRegistry) -> MetricsServer:
        """Serve on ``port``; 0: on one that the system chooses."""
        try:
            server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)
        except OSError as error:
            raise PortError(
                f"metrics_port {port} cannot be taken ({error.strerror}); "
                "give another one, or None to take a free one"
            ) from error
        return cls(server.server_port, server, thread)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/metrics"

    def close(self) -> None:
        """Stop serving and free the port.

        The server looks twice a second whether it shall stop, or as soon as somebody calls: so call it.
        """
        stopping = threading.Thread(target=self._server.shutdown)
        stopping.start()
        while stopping.is_alive():
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            stopping.join(0.01)
        self._server.server_close()
        self._thread.join(timeout=5)


def check_port(port: Any) -> int:
    """``port`` as a port number that is free now."""
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        raise ConfigError(f"metrics_port = {port!r} must be a port number from 1 to 65535, or None")
    if not _is_free(port):
        raise PortError(f"metrics_port {port} is taken; give another one, or None to take a free one")
    return port


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
