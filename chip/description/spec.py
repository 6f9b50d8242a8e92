"""What a chip is: a validated YAML file that becomes a frozen ``Chip``.

A chip is a grid of tiles; a tile is one crossbar with its converters. Levels between tile and chip
(ISAAC's in-situ multiply-accumulate units, NeuroSim's processing elements) are ``clusters`` of equal
numbers of tiles. ``parts`` say what one tile, cluster or chip is built of: area, and energy per event
or power while busy, each figure with its source beside it.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from dataclasses import field as plain_field
from pathlib import Path
from typing import Any

from crossgrid.kernels.config import field
from crossgrid.kernels.errors import ConfigError, UnknownNameError, nearest, unknown

from .parsing import Figure, from_mapping, one_of

PRESETS = Path(__file__).parent.parent / "presets"

#: what a part's energy is counted by
EVENTS = (
    "none",  # the part costs area alone
    "adc_conversion",
    "dac_conversion",  # one input line driven for one pass
    "array_pass",  # the crossbar read once: one input slice of one phase
    "mvm",  # one vector through one tile
    "add",  # one partial sum added to another (or shifted and added)
    "activation",
    "buffer_bit",  # one bit written to or read from a buffer
    "hop_bit",  # one bit over one link between neighbours
    "crossing_bit",  # one bit from chip to chip
    "pulse",  # one update pulse on one crosspoint
    "program_weight",  # one weight written with read and verify
    "busy_ns",  # a nanosecond during which the part's tile works
    "static_ns",  # a nanosecond, working or not
)

UNKNOWN = Figure(0.0, "", estimate=True)
ONE_GHZ = Figure(1.0, "", estimate=True)

SIGNS = ("in-cell", "column-pair", "offset")
LINKS = ("mesh", "torus", "h-tree")
CHIP_LINKS = ("mesh", "ring", "star")
PHASES = (1, 2, 4)
MOST_SIDE = 8192  # of a grid: distances are counted in 16 bits


@dataclass(frozen=True, slots=True)
class Grid:
    """The tiles of one chip."""

    rows: int = field(at_least=1, at_most=MOST_SIDE)
    columns: int = field(at_least=1, at_most=MOST_SIDE)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A level between tile and chip: ``tiles`` neighbouring tiles that share parts."""

    name: str
    tiles: int = field(at_least=1)


@dataclass(frozen=True, slots=True)
class Crossbar:
    """The array of cells. Rows are word lines (inputs), columns are bit lines."""

    rows: int = field(at_least=1)
    columns: int = field(at_least=1)
    cells_per_weight: int = field(1, at_least=1)  # columns that one signed weight takes
    devices_per_cell: int = field(1, at_least=1)
    bits_per_cell: int | None = field(None, at_least=1)  # None: analog, not sliced
    weight_bits: int = field(8, at_least=2)  # with sign
    sign: str = "in-cell"  # in-cell: a cell is a pair; column-pair: two columns; offset: one column a tile
    offset_columns: int = field(0, at_least=0)  # columns of a tile that hold no weights
    phases: int = field(1, at_least=1)  # reads of the array for the signs of inputs and weights


@dataclass(frozen=True, slots=True)
class Dac:
    """How inputs reach the rows. ``bits`` a pass; an input of ``input_bits`` takes several passes."""

    bits: int = field(at_least=1)  # with sign where the input is signed and not streamed
    bound: float = field(1.0, above=0.0)
    input_bits: int | None = field(None, at_least=1)  # None: the whole input in one pass
    time_ns: Figure = UNKNOWN  # one pass: settling or pulse width, the array's integration with it


@dataclass(frozen=True, slots=True)
class Adc:
    """How columns become numbers."""

    bits: int = field(at_least=1)
    bound: float | None = field(None, above=0.0)  # largest output; None: the largest possible sum
    kind: str = "sar"
    saved_bits: int = field(0, at_least=0)  # bits that the encoding of weights spares the converter
    columns: int = field(1, at_least=1)  # columns that share one converter
    time_ns: Figure = UNKNOWN  # one conversion
    overlaps: bool = True  # converts while the array works on the next pass


@dataclass(frozen=True, slots=True)
class Links:
    """How tiles talk to each other, and chips."""

    kind: str = "mesh"
    width_bits: int = field(32, at_least=1)
    clock_ghz: Figure = ONE_GHZ
    multicast: bool = False  # what several tiles need travels once along a tree; or else once for each tile
    chips: str = "mesh"  # of chips: near-square, walked row by row to and fro; a ring; a star around a switch
    chip_gbit_per_s: Figure = UNKNOWN  # of a link between chips, in one direction; 0: as between tiles
    chip_hop_ns: Figure = UNKNOWN  # what a link between chips takes beside its bits


@dataclass(frozen=True, slots=True)
class Write:
    """What it takes to change weights."""

    time_ns_per_row: Figure = UNKNOWN  # program one row of a tile, verified
    pulse_ns: Figure = UNKNOWN  # one update pulse of training


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of circuit: how many there are, how large, and what an event costs."""

    name: str
    per: str = "tile"  # tile, chip, or a cluster's name
    count: float = field(1.0, above=0.0)
    area_mm2: Figure = UNKNOWN  # of one
    event: str = "none"
    energy_pj: Figure | None = None  # of one event
    power_mw: Figure | None = None  # of one, while it works; with time_ns it gives the energy of an event
    time_ns: Figure | None = None
    group: str = ""  # the bar it belongs to in reports; its own name by default


@dataclass(frozen=True, slots=True)
class Chip:
    """A described chip; ``chips`` of them make the system."""

    name: str
    grid: Grid
    crossbar: Crossbar
    title: str = ""
    reference: tuple[str, ...] = ()  # where plain numbers (sizes, bits, counts) are published
    estimated: tuple[str, ...] = ()  # plain numbers that are not, with the reason for the value
    chips: int = field(1, at_least=1)
    ideal: bool = False  # the converters leave the numbers alone
    clusters: tuple[Cluster, ...] = ()
    dac: Dac | None = None
    adc: Adc | None = None
    links: Links = Links()
    write: Write = Write()
    mvm_overhead_ns: Figure = UNKNOWN  # of one vector, besides its passes
    operation_bits: int = field(8, at_least=1)  # bits of one operand in quoted TOPS
    output_bits: int = field(8, at_least=1)  # bits of one value that travels between tiles
    parts: tuple[Part, ...] = plain_field(default=())

    @property
    def tile_out(self) -> int:
        """Signed weights along a tile's outputs."""
        return (self.crossbar.columns - self.crossbar.offset_columns) // self.crossbar.cells_per_weight

    @property
    def tile_in(self) -> int:
        """Signed weights along a tile's inputs."""
        return self.crossbar.rows

    @property
    def tiles(self) -> int:
        """Tiles of one chip."""
        return self.grid.rows * self.grid.columns

    @property
    def passes(self) -> int:
        """Reads of the array for one vector: input slices times phases."""
        if self.dac is None:
            return self.crossbar.phases
        return self.crossbar.phases * math.ceil((self.dac.input_bits or self.dac.bits) / self.dac.bits)

    @property
    def slices(self) -> int:
        """Cells that the magnitude of a weight is cut into; an analog cell holds the whole weight."""
        if self.crossbar.bits_per_cell is None:
            return 1
        return self.crossbar.cells_per_weight // (2 if self.crossbar.sign == "column-pair" else 1)

    @property
    def sliced(self) -> bool:
        """Whether an output takes several conversions, or its cells hold digits."""
        return self.crossbar.bits_per_cell is not None or self.passes > 1

    def identity(self) -> str:
        """A digest of everything that a plan and its cost depend on."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]

    def __str__(self) -> str:
        size = f"{self.grid.rows} x {self.grid.columns} tiles of {self.tile_out} x {self.tile_in} weights"
        return f"chip '{self.name}': {size}"


def presets() -> tuple[str, ...]:
    """Names of the chips that crossgrid describes."""
    return tuple(sorted(path.stem for path in PRESETS.glob("*.yaml")))


def load_chip(chip: str | Path | Chip) -> Chip:
    """A preset by name, a YAML file by path, or a ``Chip`` as it is."""
    if isinstance(chip, Chip):
        return chip
    if not isinstance(chip, (str, Path)):
        raise ConfigError(
            f"chip = {chip!r} must be a preset's name, a path or a Chip; presets: {', '.join(presets())}"
        )
    path = Path(chip)
    if str(chip) in presets():
        path = PRESETS / f"{chip}.yaml"
    elif not path.suffix and not path.exists():
        raise unknown("chip", str(chip), presets())
    elif not path.is_file():
        raise ConfigError(
            f"chip file '{chip}' does not exist; give a path to a YAML file or one of {', '.join(presets())}"
        )
    return parse_chip(_read_yaml(path), path.name)


def parse_chip(data: Any, where: str) -> Chip:
    """A chip from the mapping that a YAML file holds; ``where`` is named in errors."""
    try:
        chip = from_mapping(Chip, data, where)
        _validate(chip, where)
    except UnknownNameError:
        raise
    return chip


def _read_yaml(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"chip file '{path}' is no readable YAML: {reason}") from None


def _validate(chip: Chip, where: str) -> None:
    bar = chip.crossbar
    one_of(f"{where}.crossbar.sign", bar.sign, SIGNS)
    one_of(f"{where}.links.kind", chip.links.kind, LINKS)
    one_of(f"{where}.links.chips", chip.links.chips, CHIP_LINKS)
    if chip.tile_out < 1:
        raise ConfigError(
            f"{where}.crossbar: {bar.columns} columns less {bar.offset_columns} offset columns hold no "
            f"weight of {bar.cells_per_weight} cells; give more columns or fewer cells_per_weight"
        )
    if bar.sign == "column-pair" and bar.cells_per_weight % 2:
        raise ConfigError(
            f"{where}.crossbar.cells_per_weight = {bar.cells_per_weight} must be even for sign 'column-pair'"
        )
    if bar.bits_per_cell is not None and chip.slices * bar.bits_per_cell < bar.weight_bits - (
        bar.sign != "offset"
    ):
        raise ConfigError(
            f"{where}.crossbar: {chip.slices} slices of {bar.bits_per_cell} bits hold fewer than the "
            f"{bar.weight_bits} weight_bits; raise cells_per_weight or bits_per_cell"
        )
    if bar.phases not in PHASES:
        raise ConfigError(
            f"{where}.crossbar.phases = {bar.phases} must be 1, "
            "2 (signs of inputs apart) or 4 (of weights too)"
        )
    if chip.dac is not None and (chip.dac.input_bits or chip.dac.bits) < 2:
        raise ConfigError(f"{where}.dac: an input of 1 bit is a sign alone; give input_bits, or more bits")
    if not chip.ideal and (chip.dac is None or chip.adc is None):
        raise ConfigError(f"{where}: 'dac' and 'adc' are missing; describe both, or set 'ideal: true'")
    _validate_clusters(chip, where)
    for k, part in enumerate(chip.parts):
        _validate_part(chip, part, f"{where}.parts[{k}] ('{part.name}')")


def _validate_clusters(chip: Chip, where: str) -> None:
    names = [cluster.name for cluster in chip.clusters]
    for cluster in chip.clusters:
        if names.count(cluster.name) > 1 or cluster.name in ("tile", "chip"):
            raise ConfigError(f"{where}.clusters: the name '{cluster.name}' is taken; choose another")


def _validate_part(chip: Chip, part: Part, where: str) -> None:
    one_of(f"{where}.event", part.event, EVENTS)
    levels = ("tile", "chip", *(cluster.name for cluster in chip.clusters))
    if part.per not in levels:
        raise ConfigError(f"{where}.per = '{part.per}' is no level of this chip: {nearest(part.per, levels)}")
    if part.energy_pj is not None and part.power_mw is not None:
        raise ConfigError(f"{where} has both energy_pj and power_mw; give one (power_mw with time_ns)")
    timed = part.event in ("busy_ns", "static_ns", "none")
    if part.power_mw is not None and part.time_ns is None and not timed:
        raise ConfigError(f"{where} has power_mw but no time_ns: an event's energy is their product")
    if part.event == "none" and part.energy_pj is not None:
        raise ConfigError(f"{where} has energy_pj but no event: {nearest('', EVENTS)}")
