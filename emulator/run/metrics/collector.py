"""What Prometheus sees of a run: counters of every tile and gauges of the whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ...hosts.executor import Recovered, Traffic
from .totals import RunTotals, TileSample, busy_share, waiting_share

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

#: a tile's gauge -> its help and its value
TILE_GAUGES: dict[str, tuple[str, Callable[[dict[str, float]], float]]] = {
    "crossgrid_tile_saturated_crosspoints": (
        "Devices at one of their bounds", lambda counters: counters["saturated"],
    ),
    "crossgrid_tile_busy_ratio": ("Share of the run that the tile worked", busy_share),
    "crossgrid_tile_waiting_ratio": ("Share of the run that its process waited for work", waiting_share),
}  # fmt: skip


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
