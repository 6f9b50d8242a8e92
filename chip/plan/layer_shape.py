"""A layer as the mapper sees it: a matrix, and what it has to do with other layers."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from numbers import Integral

from crossgrid.kernels.errors import ConfigError, unknown


@dataclass(frozen=True, slots=True)
class Convolution:
    """What a convolution's layer had before it was unfolded; exports and traffic need it."""

    channels_in: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    size_in: tuple[int, int]  # height, width of the input
    size_out: tuple[int, int]
    pooled: bool = False  # a pooling layer follows
    dilation: tuple[int, int] = (1, 1)


#: of a layer's outputs and inputs: a plan counts them in 32 bits
MOST_LINES = 2**31 - 1
#: of a layer's vectors and steps: counts are exact as floating-point numbers
MOST_VECTORS = 2**53

#: rows in which a layer's outputs are followed at most; of more, several are one
MOST_ROWS = 512

#: how the groups of a convolution are laid onto tiles
GROUPED = ("separate", "diagonal")

#: where the inputs of a network come from
OUTSIDE = ""


@dataclass(frozen=True, slots=True)
class Join:
    """Values that meet another layer's outputs where these are made: a shortcut, the query of a value."""

    name: str  # the layer that they come from; OUTSIDE: the network's input
    values: int  # how many for one input


@dataclass(frozen=True, slots=True)
class LayerShape:
    """A layer as the mapper sees it: an out x in matrix that ``reuse`` vectors an input pass through.

    The matrix of a grouped convolution is block-diagonal: ``groups`` equal parts, each of which makes outputs
    of its own from inputs of its own.
    """

    name: str
    out: int  # of all groups
    in_: int  # of all groups
    reuse: int = 1
    convolution: Convolution | None = None
    sources: tuple[str, ...] | None = None  # layers whose outputs it reads; None: the layer before it
    joins: tuple[Join, ...] = ()  # what is combined with its outputs before others read them
    groups: int = 1
    grouped: str = "separate"  # each group on tiles of its own; diagonal: side by side, a tile full of them
    steps: int | None = None  # in a loop: how often one after the other; None: as often as it is used
    activity: float = 1.0  # the part of its vectors that reach it: an expert's share of the tokens
    concatenated: tuple[
        int, ...
    ] = ()  # channels that each source gives, side by side; (): equal parts of all
    in_step: bool | None = (
        None  # reads its inputs as they are made; None: convolutions do, others wait for all
    )

    def __post_init__(self) -> None:
        for key in ("out", "in_", "reuse", "groups", "steps"):
            value = getattr(self, key)
            if key == "steps" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
                raise ConfigError(
                    f"layer '{self.name}': {key.rstrip('_')} = {value!r} must be an integer of at least 1"
                )
            most = MOST_LINES if key in ("out", "in_", "groups") else MOST_VECTORS
            if int(value) > most:
                raise ConfigError(
                    f"layer '{self.name}': {key.rstrip('_')} = {value} must be at most {most}; split it"
                )
            object.__setattr__(self, key, int(value))
        if self.out % self.groups or self.in_ % self.groups:
            sizes = f"{self.out} outputs and {self.in_} inputs"
            raise ConfigError(f"layer '{self.name}': groups = {self.groups} must divide its {sizes}")
        if self.grouped not in GROUPED:
            raise unknown(f"layer '{self.name}': grouped", self.grouped, GROUPED)
        if not 0.0 < self.activity <= 1.0:
            raise ConfigError(
                f"layer '{self.name}': activity = {self.activity!r} must be above 0 and at most 1"
            )
        if self.concatenated and len(self.concatenated) != len(self.sources or ()):
            raise ConfigError(
                f"layer '{self.name}': concatenated = {self.concatenated} must give the channels of each of "
                f"its {len(self.sources or ())} sources"
            )
        if any(channels < 1 for channels in self.concatenated):
            raise ConfigError(
                f"layer '{self.name}': concatenated = {self.concatenated} must be channels of at least 1"
            )

    @property
    def weights(self) -> int:
        """Weights of the layer: those between inputs and outputs of the same group."""
        return self.out * self.in_ // self.groups

    @property
    def vectors(self) -> float:
        """Vectors that pass through it for one input, on average."""
        return self.reuse * self.activity

    @property
    def rows(self) -> int:
        """Parts in which it makes its outputs one by one: rows of an image, vectors of a sequence."""
        return min(self.reuse if self.convolution is None else self.convolution.size_out[0], MOST_ROWS)

    @property
    def shares(self) -> tuple[tuple[float, float], ...]:
        """For each source the part of the input channels that it gives, from and to."""
        count = len(self.sources or (None,))
        if not self.concatenated:
            return ((0.0, 1.0),) * count
        ends = [sum(self.concatenated[:k]) / sum(self.concatenated) for k in range(count + 1)]
        return tuple(itertools.pairwise(ends))
