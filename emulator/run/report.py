"""What a run tells about itself: where each layer sits, how full its tiles are, what they have done."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from rich.console import Console
from rich.table import Table

from crossgrid.chip import Chip, MappingPlan
from crossgrid.chip.cost.cost import cost_of
from crossgrid.chip.cost.events import layer_events, traffic_events
from crossgrid.chip.cost.parts import energy_by_part
from crossgrid.chip.cost.traffic import traffic_of
from crossgrid.chip.description.events import Events
from crossgrid.chip.reports.names import Name
from crossgrid.chip.reports.tables import layer_table, mapping_table

from ..config.rpu import update_of
from ..hosts.executor import Traffic
from ..tiles.layer_spec import LayerSpec
from .metrics.totals import TileSample, busy_share, waiting_share

#: a tile's counter -> its heading
COUNTED = {
    "forward_count": "read",
    "backward_count": "read back",
    "update_count": "updates",
    "pulses": "pulses",
    "adc_clips": "ADC clips",
    "retries": "retries",
    "saturated": "saturated",
}


#: what neither a run's energy nor a plan's holds
LEFT_OUT = "left out: digital layers, traffic of gradients, programming before the run"


@dataclass(frozen=True, slots=True)
class RunReport:
    """The mapping of a run and its tiles' counters; print it."""

    plan: MappingPlan | None
    specs: Sequence[LayerSpec]
    samples: Sequence[TileSample]
    chip: Chip | None = None
    reuse_known: bool = True  # whether the plan knows how often an input passes through each layer
    update_delay: int = 0  # steps that pulsed updates are late by
    programmings: Mapping[str, int] | None = None  # of each layer; None: as often as the plan's rounds say
    traffic: Traffic | None = None  # of the driver with stages
    card_steps: str | None = None  # of training steps on a card: whether it repeats them alone

    def __str__(self) -> str:
        return self._recorded().export_text()

    def _repr_html_(self) -> str:
        return self._recorded().export_html(inline_styles=True)

    def _recorded(self) -> Console:
        console = Console(width=110, record=True, markup=False, file=io.StringIO())
        for table in (self.mapping(), self.activity(), self.occupancy(), self.energy()):
            if table is not None:
                console.print(table)
        return console

    def mapping(self) -> Table:
        """Layer -> tiles, used rows x columns, utilization."""
        if self.plan is not None:
            return mapping_table(self.plan, self.reuse_known)
        table = layer_table(
            "layers on tiles cut at the configuration's own size", "layer", "outputs x inputs", "tiles"
        )
        for spec in self.specs:
            table.add_row(Name(spec.name), f"{spec.out_size} x {spec.in_size}", str(len(spec.tiles)))
        return table

    def events(self) -> Events | None:
        """What the chip's parts did: what the tiles counted, with the traffic and the pipeline's time that
        the plan has for the inputs that passed. None without a chip."""
        if self.plan is None or self.chip is None:
            return None
        kinds = self._events_by_kind(self.plan, self.chip)
        return replace(sum(kinds[1:], kinds[0]), static_ns=kinds[0].static_ns)  # for all at the same time

    def _events_by_kind(self, plan: MappingPlan, chip: Chip) -> list[Events]:
        """For each kind of tile what its parts did, its own first."""
        pulsed = {layer.name: 0.0 for layer in plan.layers}
        for labels, counters in self.samples:
            pulsed[labels["layer"]] += counters["pulses"]
        counted = (
            (layer_events(plan, chip), self._inputs(plan, ("forward_count", "retries"))),
            (layer_events(plan, chip, backward=True), self._inputs(plan, ("backward_count",))),
            (traffic_events(traffic_of(plan, chip)), self._inputs(plan, ("forward_count",))),
        )
        time_ns = max(counted[-1][1], default=0.0) * cost_of(plan, chip).interval_ns
        found = []
        for kind in range(len(chip.kind_names)):
            layers = np.flatnonzero(plan.layer_kind == kind).tolist()
            total = Events(pulse=sum(pulsed[plan.layers[k].name] for k in layers))
            for each, inputs in counted:
                total = sum((each[k] * inputs[k] for k in layers), total)
            if self.programmings is not None:
                often = self.programmings
                programmed = sum(often[plan.layers[k].name] * plan.layers[k].weights for k in layers)
                total = replace(total, program_weight=float(programmed))
            found.append(total + Events(static_ns=time_ns))
        return found

    def _inputs(self, plan: MappingPlan, counted: Sequence[str]) -> list[float]:
        """For each layer how many inputs its tiles' counters are worth."""
        found = []
        for layer in plan.layers:
            tiles = [counters for labels, counters in self.samples if labels["layer"] == layer.name]
            reads = [sum(counters[name] for name in counted) for counters in tiles]
            found.append(sum(reads) / max(len(reads), 1) / layer.vectors)
        return found

    def update_ns(self) -> float:
        """How long the arrays were pulsed at most: vectors times slots of a train times ``write.pulse_ns``.

        Tiles are pulsed at the same time; with ``update_bl_management`` trains may be shorter.
        0 without a chip.
        """
        if self.chip is None:
            return 0.0
        trains = {spec.name: update_of(spec.rpu_config) for spec in self.specs}
        slots = {name: 0 if train.exact else train.desired_bl for name, train in trains.items()}
        pulsed = [counters["update_count"] * slots[labels["layer"]] for labels, counters in self.samples]
        return max(pulsed, default=0.0) * self.chip.write.pulse_ns.value

    def energy(self) -> Table | None:
        """Energy of the run by part of the chip, from counted events."""
        events = self.events()
        counted = any(counters["forward_count"] for _, counters in self.samples)
        if events is None or not counted or self.plan is None or self.chip is None or not self.chip.parts:
            return None
        table = Table(title=f"energy on {self.chip.name}, from counted events")
        table.add_column("part")
        table.add_column("µJ", justify="right")
        parts: dict[str, float] = defaultdict(float)
        for kind, each in enumerate(self._events_by_kind(self.plan, self.chip)):
            for part, energy_pj in energy_by_part(self.chip, each, self.plan.chips_used, kind).items():
                parts[part] += energy_pj
        for part, energy_pj in sorted(parts.items(), key=lambda item: -item[1]):
            table.add_row(part, f"{energy_pj / 1e6:,.3f}")
        table.add_row("total", f"{sum(parts.values()) / 1e6:,.3f}")
        pulsed_ms = self.update_ns() / 1e6
        pulses = f"update pulses took at most {pulsed_ms:,.3g} ms; " if pulsed_ms else ""
        table.caption = f"{pulses}{LEFT_OUT}"
        return table

    def activity(self) -> Table:
        """What the tiles of each layer have done."""
        totals: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for labels, counters in self.samples:
            for name, value in counters.items():
                totals[labels["layer"]][name] += value
        table = layer_table("what the tiles have done", "layer", *COUNTED.values(), "seconds")
        for layer, counters in totals.items():
            seconds = sum(counters[f"{part}_seconds"] for part in ("forward", "backward", "update"))
            table.add_row(Name(layer), *(f"{counters[name]:,.0f}" for name in COUNTED), f"{seconds:.2f}")
        if self.card_steps is not None:
            table.caption = self.card_steps
        if self.traffic is not None:
            table.caption = (
                f"{self.traffic.sent:,} bytes went from this process to the stages, "
                f"{self.traffic.received:,} came back"
            )
        return table

    def occupancy(self) -> Table | None:
        """How busy each layer's tiles were, and how long their processes waited for work: bubbles."""
        by_layer: dict[str, list[dict[str, float]]] = defaultdict(list)
        for labels, counters in self.samples:
            by_layer[labels["layer"]].append(counters)
        if not any(counters["run_seconds"] for _, counters in self.samples):
            return None
        late = f"; updates are late by {self.update_delay} steps" if self.update_delay else ""
        headings = "layer", "tiles", "busy", "busiest tile", "bubbles"
        table = layer_table(f"how busy the tiles were{late}", *headings)
        for layer, tiles in by_layer.items():
            busy = [busy_share(counters) for counters in tiles]
            bubbles = sum(waiting_share(counters) for counters in tiles) / len(tiles)
            shares = (sum(busy) / len(busy), max(busy), bubbles)
            table.add_row(Name(layer), str(len(tiles)), *(f"{share:.1%}" for share in shares))
        return table
