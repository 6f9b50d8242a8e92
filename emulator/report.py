"""What a run tells about itself: where each layer sits, how full its tiles are, what they have done."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from ..chip import MappingPlan
from ..chip.report import mapping_table
from .layer_spec import LayerSpec
from .metrics import TileSample

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


@dataclass(frozen=True, slots=True)
class RunReport:
    """The mapping of a run and its tiles' counters; print it."""

    plan: MappingPlan | None
    specs: Sequence[LayerSpec]
    samples: Sequence[TileSample]

    def __str__(self) -> str:
        return self._recorded().export_text()

    def _repr_html_(self) -> str:
        return self._recorded().export_html(inline_styles=True)

    def _recorded(self) -> Console:
        console = Console(width=110, record=True, file=io.StringIO())
        for table in (self.mapping(), self.activity()):
            console.print(table)
        return console

    def mapping(self) -> Table:
        """Layer -> tiles, used rows x columns, utilization."""
        if self.plan is not None:
            return mapping_table(self.plan)
        table = Table(title="layers on tiles cut at the configuration's own size")
        for heading in ("layer", "outputs x inputs", "tiles"):
            table.add_column(heading)
        for spec in self.specs:
            table.add_row(spec.name, f"{spec.out_size} x {spec.in_size}", str(len(spec.tiles)))
        return table

    def activity(self) -> Table:
        """What the tiles of each layer have done."""
        totals: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for labels, counters in self.samples:
            for name, value in counters.items():
                totals[labels["layer"]][name] += value
        table = Table(title="what the tiles have done")
        table.add_column("layer")
        for heading in COUNTED.values():
            table.add_column(heading, justify="right")
        table.add_column("seconds", justify="right")
        for layer, counters in totals.items():
            seconds = sum(counters[f"{part}_seconds"] for part in ("forward", "backward", "update"))
            table.add_row(layer, *(f"{counters[name]:,.0f}" for name in COUNTED), f"{seconds:.2f}")
        return table
