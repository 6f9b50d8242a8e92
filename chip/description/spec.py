"""What a chip is: frozen data. ``load`` reads it from a YAML file, ``checks`` refuses contradictions.

A chip is a grid of tiles; a tile is one crossbar with its converters. Levels between tile and chip
(ISAAC's in-situ multiply-accumulate units, NeuroSim's processing elements) are ``clusters`` of equal
numbers of tiles. ``parts`` say what one tile, cluster or chip is built of: area, and energy per event
or power while busy, each figure with its source beside it. A part that names a ``model`` follows the chip's
design from the point ``at`` which its figures were published (``cost.components``).

A chip may have ``kinds`` of tiles beside its own, and cores that multiply digitally, which are one more kind:
each is described as a chip of its own would be, so that whoever asks what a tile is asks ``described``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from dataclasses import dataclass
from dataclasses import field as plain_field

import numpy as np

from crossgrid.kernels.config import field

from .events import EVENT_NAMES, TIMES
from .layout import kind_of_places
from .parsing import Figure

#: what a part's energy is counted by; none: the part costs area alone
EVENTS = ("none", *EVENT_NAMES)

#: how a part follows the chip's design; "" keeps its figures as they are
MODELS = ("", "adc", "dac", "array", "line", "adder", "buffer", "link")

UNKNOWN = Figure(0.0, "", estimate=True)

AT_BITS = {"at_bits": True}  # marks a time that may say at which resolution it holds

ONE_GHZ = Figure(1.0, "", estimate=True)

# 8-bit arithmetic and an 8 KB memory at 45 nm and 0.9 V: 0.2 pJ a multiplication, 0.03 pJ an addition, 10 pJ
# for 64 bits
_HOROWITZ = "Horowitz, ISSCC 2014, figure 1.1.9"
HOROWITZ_MAC, HOROWITZ_BYTE, HOROWITZ_ADD = (Figure(value, _HOROWITZ) for value in (0.23, 1.25, 0.03))

SIGNS = ("in-cell", "column-pair", "offset")
LINKS = ("mesh", "torus", "h-tree")
CHIP_LINKS = ("mesh", "ring", "star")
SUMS = ("tree", "chain", "star")
PHASES = (1, 2, 4)
ADC_KINDS = ("sar", "flash", "counter")  # decides bit by bit; with a comparator a level; by counting levels
DAC_KINDS = ("voltage", "pulse-width")
MOST_SIDE = 8192  # of a grid: distances are counted in 16 bits
MOST_LINES = 1 << 16  # of a crossbar, far beyond what wires allow
MOST_BITS = 24  # of a converter: those of the ADC survey end at 20
MOST_VALUES = 1 << 24  # of a tile, or bits of one


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

    rows: int = field(at_least=1, at_most=MOST_LINES)
    columns: int = field(at_least=1, at_most=MOST_LINES)
    cells_per_weight: int = field(1, at_least=1, at_most=MOST_LINES)  # columns that one signed weight takes
    devices_per_cell: int = field(1, at_least=1, at_most=64)
    bits_per_cell: int | None = field(None, at_least=1, at_most=16)  # None: analog, not sliced
    weight_bits: int = field(8, at_least=2, at_most=32)  # with sign
    sign: str = "in-cell"  # in-cell: a cell is a pair; column-pair: two columns; offset: one column a tile
    offset_columns: int = field(0, at_least=0, at_most=MOST_LINES)  # columns of a tile that hold no weights
    phases: int = field(1, at_least=1)  # reads of the array for the signs of inputs and weights
    rows_at_once: int | None = field(None, at_least=1)  # rows that a read drives together; None: all


@dataclass(frozen=True, slots=True)
class Dac:
    """How inputs reach the rows. ``bits`` a pass; an input of ``input_bits`` takes several passes."""

    bits: int = field(at_least=1, at_most=16)  # with sign where the input is signed and not streamed
    bound: float = field(1.0, at_least=1e-6, at_most=1e6)
    input_bits: int | None = field(None, at_least=1, at_most=32)  # None: the whole input in one pass
    kind: str = "voltage"
    time_ns: Figure = plain_field(default=UNKNOWN, metadata=AT_BITS)  # one pass: settling or pulse width


@dataclass(frozen=True, slots=True)
class Adc:
    """How columns become numbers."""

    bits: int = field(at_least=1, at_most=MOST_BITS)
    bound: float | None = field(None, above=0.0, at_most=1e12)  # largest output; None: the largest sum
    kind: str = "sar"
    saved_bits: int = field(0, at_least=0, at_most=4)  # bits that the encoding of weights spares
    columns: int = field(1, at_least=1, at_most=MOST_LINES)  # lines that share one converter
    time_ns: Figure = plain_field(default=UNKNOWN, metadata=AT_BITS)  # one conversion
    overlaps: bool = True  # converts while the array works on the next pass


@dataclass(frozen=True, slots=True)
class Links:
    """How tiles talk to each other, and chips."""

    kind: str = "mesh"
    width_bits: int = field(32, at_least=1, at_most=1 << 16)
    clock_ghz: Figure = ONE_GHZ
    multicast: bool = False  # what several tiles need travels once along a tree; or else once for each tile
    sums: str = "tree"  # how partial sums of several tiles meet: in pairs, along a chain, all in one tile
    chips: str = "mesh"  # of chips: near-square, walked row by row to and fro; a ring; a star around a switch
    chip_gbit_per_s: Figure = UNKNOWN  # of a link between chips, in one direction; 0: as between tiles
    chip_hop_ns: Figure = UNKNOWN  # what a link between chips takes beside its bits


@dataclass(frozen=True, slots=True)
class Write:
    """What it takes to change weights."""

    time_ns_per_row: Figure = UNKNOWN  # program one row of a tile, verified
    pulse_ns: Figure = UNKNOWN  # one update pulse of training


@dataclass(frozen=True, slots=True)
class DesignPoint:
    """The design for which a part's figures were published; what is left out is as the chip has it."""

    bits: int | None = field(None, at_least=1, at_most=MOST_BITS)  # of the converter
    kind: str | None = None  # of the converter
    time_ns: float | None = field(None, at_least=1e-6, at_most=1e12)  # of a conversion or an array's pass
    rows: int | None = field(None, at_least=1, at_most=MOST_LINES)  # of the crossbar
    columns: int | None = field(None, at_least=1, at_most=MOST_LINES)
    lines: int | None = field(None, at_least=1, at_most=MOST_VALUES)  # of a tile that are converted
    values: int | None = field(None, at_least=1, at_most=MOST_VALUES)  # in and out of a tile, a vector
    value_bits: int | None = field(None, at_least=1, at_most=MOST_VALUES)  # of one of them
    width_bits: int | None = field(None, at_least=1, at_most=MOST_VALUES)  # of a link
    pitch_mm: float | None = field(None, at_least=1e-6, at_most=1e3)  # from tile to tile, which a link spans
    devices_per_cell: int | None = field(None, at_least=1, at_most=64)
    node_nm: float | None = field(None, at_least=1.0, at_most=1000.0)  # of the technology


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of circuit: how many there are, how large, and what an event costs."""

    name: str
    per: str = "tile"  # tile, chip, or a cluster's name
    count: float | None = field(None, at_least=1e-9, at_most=1e9)  # None: as many as the design needs
    model: str = ""  # how it follows the chip's design
    at: DesignPoint = DesignPoint()
    area_mm2: Figure = UNKNOWN  # of one
    event: str = "none"
    energy_pj: Figure | None = None  # of one event
    power_mw: Figure | None = None  # of one, while it works; with time_ns it gives the energy of an event
    time_ns: Figure | None = None
    group: str = ""  # the bar it belongs to in reports; its own name by default

    @property
    def component(self) -> str:
        """What kind of circuit it is: as its model says, or its event."""
        return self.model or {"adc_conversion": "adc", "dac_conversion": "dac"}.get(self.event, "")

    @property
    def draws_power(self) -> bool:
        """Whether its power is drawn for a time, working or not; another part's event takes an energy."""
        return self.event in TIMES


#: what tiles are called that the chip's own fields describe, and its digital cores
HOME, DIGITAL = "home", "digital"


@dataclass(frozen=True, slots=True)
class DigitalCores:
    """Cores that stand in the place of tiles and multiply exactly; each holds a block of weights in a memory.

    A core multiplies one row of weights at a time, all its columns, at ``macs_per_ns``.
    """

    cores: int = field(at_least=1)  # of one chip
    rows: int = field(256, at_least=1, at_most=MOST_LINES)  # inputs of the block that one holds
    columns: int = field(256, at_least=1, at_most=MOST_LINES)  # outputs
    weight_bits: int = field(8, at_least=2, at_most=32)
    macs_per_ns: float = field(256.0, above=0.0, at_most=1e9)
    mac_pj: Figure = HOROWITZ_MAC  # a multiplication and its addition
    byte_pj: Figure = HOROWITZ_BYTE  # of a memory: each vector reads the weights, values come and go
    operation_pj: Figure = HOROWITZ_ADD  # anything else, such as an activation
    area_mm2: Figure = UNKNOWN  # of one core


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of tile of which a chip has some: ``chip`` describes it as a chip of such tiles alone."""

    name: str
    tiles: int  # of one chip
    chip: Chip


@dataclass(frozen=True, slots=True)
class Chip:
    """A described chip; ``chips`` of them make the system.

    Tiles are numbered row by row; those of its ``kinds`` are spread among its own (``layout``).
    """

    name: str
    grid: Grid
    crossbar: Crossbar
    title: str = ""
    reference: tuple[str, ...] = ()  # where plain numbers (sizes, bits, counts) are published
    estimated: tuple[str, ...] = ()  # plain numbers that are not, with the reason for the value
    chips: int = field(1, at_least=1, at_most=1_000_000)
    node_nm: float | None = field(None, at_least=1.0, at_most=1000.0)  # of the technology
    ideal: bool = False  # the converters leave the numbers alone
    clusters: tuple[Cluster, ...] = ()
    dac: Dac | None = None
    adc: Adc | None = None
    links: Links = Links()
    write: Write = Write()
    mvm_overhead_ns: Figure = UNKNOWN  # of one vector, besides its passes
    stages_ns: Figure = UNKNOWN  # of one vector, in stages that work on other vectors meanwhile
    operation_bits: int = field(8, at_least=1, at_most=64)  # bits of one operand in quoted TOPS
    output_bits: int = field(8, at_least=1, at_most=64)  # bits of one value that travels between tiles
    sum_bits: int | None = field(None, at_least=1, at_most=128)  # of a partial sum; None: it loses nothing
    parts: tuple[Part, ...] = plain_field(default=())
    kinds: tuple[Kind, ...] = plain_field(default=(), repr=False)
    digital: DigitalCores | None = plain_field(default=None, repr=False)  # of a kind: it is one of cores

    @property
    def kind_names(self) -> tuple[str, ...]:
        """The chip's own tiles and its kinds; others number kinds in this order."""
        return (HOME, *(kind.name for kind in self.kinds))

    @property
    def kind_tiles(self) -> tuple[int, ...]:
        """How many tiles of each kind one chip has."""
        others = tuple(kind.tiles for kind in self.kinds)
        return (self.tiles - sum(others), *others)

    def described(self, kind: int) -> Chip:
        """The chip as the tiles of a kind are; a chip without kinds is itself."""
        if not self.kinds:
            return self
        return self.kinds[kind - 1].chip if kind else dataclasses.replace(self, kinds=())

    def kind_of(self, tile: np.ndarray) -> np.ndarray:
        """For each tile's number the number of its kind."""
        return kind_of_places(self.kind_tiles)[np.asarray(tile) % self.tiles]

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
    def rows_at_once(self) -> int:
        """Rows that one read drives together."""
        return min(self.crossbar.rows_at_once or self.crossbar.rows, self.crossbar.rows)

    @property
    def sliced(self) -> bool:
        """Whether an output takes several conversions, or its cells hold digits."""
        return (
            self.crossbar.bits_per_cell is not None
            or self.passes > 1
            or self.rows_at_once < self.crossbar.rows
        )

    def identity(self) -> str:
        """A digest of everything that a plan and its cost depend on."""
        said = repr(self) + (repr(self.digital) if self.digital else "")
        said += "".join(f" {kind.name} {kind.tiles} {kind.chip.identity()}" for kind in self.kinds)
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    def __str__(self) -> str:
        size = f"{self.grid.rows} x {self.grid.columns} tiles of {self.tile_out} x {self.tile_in} weights"
        kinds = "".join(f", {kind.tiles} of kind '{kind.name}'" for kind in self.kinds)
        return f"chip '{self.name}': {size}{kinds}"
