"""What can happen on a chip and cost energy: the events that a chip file's parts name, and their counts."""

from __future__ import annotations

from dataclasses import dataclass, fields

from crossgrid.kernels.config import field
from crossgrid.kernels.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Events:
    """Counts of what costs energy. A further kind of event is one more field, and somebody who counts it."""

    mvm: float = field(0.0, at_least=0.0)  # one vector through one tile
    array_pass: float = field(0.0, at_least=0.0)  # an array read once: a slice of a phase, rows read together
    cell_pass: float = field(0.0, at_least=0.0)  # one cell of it read once
    adc_conversion: float = field(0.0, at_least=0.0)
    dac_conversion: float = field(0.0, at_least=0.0)  # one input line driven for one pass
    add: float = field(0.0, at_least=0.0)  # one partial sum added to another (or shifted and added)
    activation: float = field(0.0, at_least=0.0)
    buffer_bit: float = field(0.0, at_least=0.0)  # one bit written to or read from a buffer
    hop_bit: float = field(0.0, at_least=0.0)  # one bit over one link between neighbours
    crossing_bit: float = field(0.0, at_least=0.0)  # one bit from chip to chip
    pulse: float = field(0.0, at_least=0.0)  # one update pulse on one crosspoint
    program_weight: float = field(0.0, at_least=0.0)  # one weight written with read and verify
    busy_ns: float = field(0.0, at_least=0.0)  # a nanosecond in which a tile works, summed over tiles
    static_ns: float = field(0.0, at_least=0.0)  # a nanosecond, working or not

    def __post_init__(self) -> None:
        for name in EVENT_NAMES:
            value = getattr(self, name)
            if not value >= 0.0 or value == float("inf"):
                raise ConfigError(f"Events.{name} = {value!r} must be a finite count of at least 0")

    def __add__(self, other: Events) -> Events:
        return Events(*(getattr(self, name) + getattr(other, name) for name in EVENT_NAMES))

    def __mul__(self, factor: float) -> Events:
        return Events(*(getattr(self, name) * factor for name in EVENT_NAMES))


EVENT_NAMES = tuple(spec.name for spec in fields(Events))

#: nanoseconds: a part that is counted by them has a power, not an energy
TIMES = tuple(name for name in EVENT_NAMES if name.endswith("_ns"))
