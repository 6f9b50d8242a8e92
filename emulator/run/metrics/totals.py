"""What is counted of a run: its totals, and one tile's counters."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from ...hosts.executor import Recovered, Traffic

#: counters of one tile by name, with its labels
TileSample = tuple[dict[str, str], dict[str, float]]


def busy_share(counters: dict[str, float]) -> float:
    """The part of its process' working time, bubbles included, that a tile itself worked."""
    worked = sum(counters[f"{part}_seconds"] for part in ("forward", "backward", "update"))
    return worked / counters["run_seconds"] if counters["run_seconds"] else 0.0


def waiting_share(counters: dict[str, float]) -> float:
    """The part of that time in which the process waited for work: bubbles."""
    return counters["waiting_seconds"] / counters["run_seconds"] if counters["run_seconds"] else 0.0


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
