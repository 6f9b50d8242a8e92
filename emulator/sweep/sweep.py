"""``sweep``: every point of a study costed, what is equal emulated once, rows kept in a file."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from crossgrid.kernels.errors import ConfigError, CrossgridError, UnknownNameError, nearest

from ..run.progress import progress_bar
from .figures import Row
from .points import Bench, Costed, accuracy_or_error, blank
from .result import Sweep
from .sampler import Sampler, sample
from .settings import Settings
from .study import Point, Study, as_study
from .table import read_rows, write_rows

#: seconds between two writings of the rows: what a kill costs at most, beside the emulation that it ends
EVERY_S = 1.0

BACKENDS = ("local", "ray")


def sweep(
    study: Study | Mapping[str, Any] | str | os.PathLike[str],
    rows: str | os.PathLike[str] | None = None,
    backend: Literal["local", "ray"] = "local",
    workers: int | None = None,
) -> Sweep:
    """Accuracy, energy, area, latency and utilization at every point of a study.

    Points whose emulated numbers are equal share one emulation: how many lines share a converter, where
    blocks sit and how often a layer is copied change what a chip costs, not what it computes.

    Args:
        study: a YAML file, a mapping with the fields of a ``Study``, or one.
        rows: a CSV or Parquet file for the rows. It is the state of the sweep: after a kill, the same call
            goes on, and the file becomes byte for byte what it had become undisturbed.
        backend: "ray" emulates in parallel, on this machine or a cluster that Ray is connected to.
        workers: emulations at once under Ray; a processor each by default.

    Returns:
        A ``Sweep``: rows, fronts, a page, plots. A point that cannot be (it does not fit, a value is out of
        range) is a row with its ``error``.

    Raises:
        ConfigError: the study cannot be read, a parameter does not exist, the rows are another study's.
        BackendError: Ray is not installed or does not start.
    """
    read = as_study(study)
    return computed(read, rows, backend, workers, Bench(read))


def computed(
    read: Study, rows: str | os.PathLike[str] | None, backend: str, workers: int | None, bench: Bench
) -> Sweep:
    """The sweep of a study whose model and data ``bench`` may have loaded already; see ``sweep``."""
    if backend not in BACKENDS:
        raise ConfigError(f"backend = {backend!r} does not exist: {nearest(str(backend), BACKENDS)}")
    started = time.monotonic()
    sampler = None if read.sampler is None else Sampler.of(read.sampler)
    state = _State(read, None if rows is None else Path(rows), bench)
    kept = len(state.rows)
    if sampler is None:
        emulations = state.compute(read.points(), len(read), backend, workers)
    else:
        emulations = _sampled(state, sampler, backend, workers)
    state.write()
    ordered = [state.rows[number] for number in sorted(state.rows)]
    return Sweep(read, ordered, emulations, kept, time.monotonic() - started)


def _sampled(state: _State, sampler: Sampler, backend: str, workers: int | None) -> int:
    """Compute the points that a sampler asks for; how many emulations they took."""
    emulations = 0
    with progress_bar("points", sampler.points) as advance:

        def rows_of(points: list[Point]) -> list[Row]:
            nonlocal emulations
            distinct = {point.number: point for point in points}
            emulations += state.compute(distinct.values(), len(distinct), backend, workers)
            for _ in points:
                advance()
            return [state.rows[point.number] for point in points]

        sample(state.study, sampler, rows_of)
    return emulations


@dataclass(slots=True)
class _State:
    """The rows that are done, here and in the file."""

    study: Study
    path: Path | None
    bench: Bench
    rows: dict[int, Row] = field(init=False)
    written: float = field(default_factory=time.monotonic, init=False)

    def __post_init__(self) -> None:
        self.rows = {} if self.path is None else read_rows(self.path, self.study)

    def compute(self, points: Iterable[Point], count: int, backend: str, workers: int | None) -> int:
        """Give each of ``count`` points its row; how many emulations that took."""
        groups = self.cost(points, count)
        with progress_bar("emulations", len(groups)) as advance:
            for numbers, accuracy, error in _emulated(self.bench, groups, backend, workers):
                for costed in groups[numbers]:
                    self.add({**costed.row, "accuracy": accuracy, "error": error})
                advance()
        return len(groups)

    def cost(self, points: Iterable[Point], count: int) -> dict[str, list[Costed]]:
        """Cost the points that have no row yet: those that wait for an emulation, by their numbers.

        Numbers that a row has already are taken from there; what cannot be costed is a row with its error.
        """
        settings = Settings(self.study)
        known = {row["numbers"]: row for row in self.rows.values() if row["numbers"]}
        groups: dict[str, list[Costed]] = {}
        with progress_bar("points", count) as advance:
            for point in points:
                if point.number not in self.rows:
                    self.bench.load()  # what is wrong with it is the study's mistake
                    self._cost(point, settings, known, groups)
                advance()
        return groups

    def _cost(self, point: Point, settings: Settings, known: dict[str, Row], groups: dict[str, Any]) -> None:
        try:
            costed = self.bench.cost(point, settings.of(point))
        except UnknownNameError:
            raise  # a misspelt parameter is the study's mistake, not a point's
        except CrossgridError as error:
            self.add(blank(self.study, point, str(error)))
            return
        same = known.get(costed.row["numbers"])
        if same is None:
            groups.setdefault(costed.row["numbers"], []).append(costed)
        else:
            self.add({**costed.row, "accuracy": same["accuracy"], "error": same["error"]})

    def add(self, row: Row) -> None:
        """Keep a row; write it with others that wait."""
        self.rows[row["point"]] = row
        if time.monotonic() - self.written > EVERY_S:
            self.write()

    def write(self) -> None:
        """Write all rows."""
        if self.path is not None:
            write_rows(self.path, self.study, self.rows)
        self.written = time.monotonic()


Emulated = tuple[str, float | None, str]


def _emulated(
    bench: Bench, groups: Mapping[str, list[Costed]], backend: str, workers: int | None
) -> Iterator[Emulated]:
    """The accuracy of each group, or its error, as they come."""
    if backend == "ray" and groups:
        from .parallel import emulated

        yield from emulated(bench.study, {numbers: group[0] for numbers, group in groups.items()}, workers)
        return
    for numbers, group in groups.items():
        yield numbers, *accuracy_or_error(bench, group[0])
