"""What of a model stays digital: everything that no tile computes, as work for one input."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

#: kinds of digital work
KINDS = (
    "attention",  # products of queries, keys and values, with their softmax
    "matrix product",  # of two results, or with a parameter that is no layer's
    "convolution",
    "normalization",
    "softmax",
    "pooling",
    "embedding",
    "elementwise",
    "copy",
)


@dataclass(frozen=True, slots=True)
class DigitalWork:
    """One kind of digital work of one module. Counts are None where no example input told them."""

    name: str  # the module's; "" is the model itself
    kind: str
    macs: float | None = None  # multiplications with their additions
    operations: float | None = None  # all others
    values: float | None = None  # read and written
    weights: int = 0  # parameters that it reads and no tile holds

    def shared_by(self, inputs: int) -> DigitalWork:
        """The same for one of ``inputs`` inputs."""
        macs, operations, values = (
            None if count is None else count / inputs for count in (self.macs, self.operations, self.values)
        )
        return replace(self, macs=macs, operations=operations, values=values)


def merged(works: Iterable[DigitalWork]) -> tuple[DigitalWork, ...]:
    """The same work with one entry for each module and kind, in the order of their first."""
    found: dict[tuple[str, str], DigitalWork] = {}
    for work in works:
        key = (work.name, work.kind)
        old = found.get(key)
        found[key] = work if old is None else _sum(old, work)
    return tuple(found.values())


def _sum(a: DigitalWork, b: DigitalWork) -> DigitalWork:
    macs, operations, values = (
        None if x is None or y is None else x + y
        for x, y in ((a.macs, b.macs), (a.operations, b.operations), (a.values, b.values))
    )
    return DigitalWork(a.name, a.kind, macs, operations, values, a.weights + b.weights)
