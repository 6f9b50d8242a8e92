"""Where a model is cut into stages: which modules belong to which, by their order and their weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from torch import nn

from crossgrid.kernels.errors import ConfigError, unknown

#: what ``emulate(stages=...)`` takes
Stages = int | Literal["auto"] | Sequence[str]


@dataclass(frozen=True, slots=True)
class Cut:
    """The modules of a model by stage, in the order in which they are registered."""

    starts: tuple[str, ...]  # the module that each stage but the first begins with
    stage_of: dict[str, int]  # of each module that is in one stage with all below it
    parts: dict[str, int]  # the topmost of these that have parameters: a pass calls or leaves them out whole
    straddling: frozenset[
        str
    ]  # modules that hold parts of several stages; their own forward runs in all of them

    @property
    def count(self) -> int:
        """How many stages there are."""
        return len(self.starts) + 1

    def stage_of_matrix(self, name: str) -> int | None:
        """The stage of an analog matrix: it is called like its layer, or has a name of its own within it."""
        while name and name not in self.stage_of:
            name = name.rpartition(".")[0]
        return self.stage_of.get(name)

    def stage_of_parameter(self, name: str) -> int | None:
        """The stage that holds a parameter or buffer; None: all do, its module is in several."""
        return self.stage_of.get(name.rpartition(".")[0])


@dataclass(frozen=True, slots=True)
class Path:
    """The modules that a stage can begin with, in the order in which a pass calls them."""

    calls: tuple[str, ...]
    sure: bool  # whether a user's input takes it; or else one that was tried, and theirs may take another


def cut_model(model: nn.Module, stages: Stages, processors: int, path: Path | None = None) -> Cut:
    """Cut ``model`` into a number of stages of about equal weights, or before modules that are named.

    "auto": a stage for each of ``processors``, as far as there are modules for them. A ``path`` says where
    a pass does not go back; without one it is taken to call the modules in the order of registration.

    Raises:
        ConfigError: there are no such modules, or not as many.
    """
    names = [name for name, _ in model.named_modules()]
    if isinstance(stages, str) and stages != "auto":
        raise ConfigError(f"stages = {stages!r} must be a number, 'auto', or a list of names of modules")
    if isinstance(stages, int) and (isinstance(stages, bool) or stages < 1):
        raise ConfigError(f"stages = {stages!r} must be a number of at least 1, 'auto', or a list of names")
    if not isinstance(stages, (int, str)):
        return _cut_before(model, names, tuple(stages))
    sizes, units = _sizes(model), units_of(model)
    wanted = min(processors, len(units)) if stages == "auto" else int(stages)
    if wanted > len(units):
        raise ConfigError(
            f"stages = {stages}: the model has {len(units)} parts with weights that a stage can begin with "
            f"({', '.join(units[:4])}{', ...' if len(units) > 4 else ''}); use at most as many"
        )
    places = [*range(len(units))] if path is None else _places(units, path.calls)
    if wanted > len(places) and path is not None:
        if stages == "auto":
            wanted = len(places)
        elif path.sure:
            raise ConfigError(f"stages = {stages}: {way_out(units, path.calls)}")
        else:
            places = [*range(len(units))]  # the user's own input will tell
    weights = [_weight(sizes, unit) for unit in units]
    joined = [sum(weights[a:b]) for a, b in pairwise([*places, len(units)])]
    return _cut_before(model, names, _balanced([units[place] for place in places], joined, wanted))


def units_of(model: nn.Module) -> list[str]:
    """The modules with weights that a stage can begin with, in the order of registration."""
    sizes = _sizes(model)
    return [unit for unit in _units("", model) if _weight(sizes, unit)]


def apart(model: nn.Module) -> Cut:
    """Each module that a stage can begin with in a stage of its own, whatever a pass does."""
    return _cut_before(model, [name for name, _ in model.named_modules()], tuple(units_of(model)[1:]))


def way_out(units: Sequence[str], calls: Sequence[str]) -> str:
    """What a user can do whose pass calls modules so, and goes back to an earlier stage."""
    starts = [units[place] for place in _places(units, calls)[1:]]
    if not starts:
        return "this input's path comes back to its first modules: no cut is possible, leave stages= out"
    shown = ", ".join(starts[:8]) + (", ..." if len(starts) > 8 else "")
    return (
        f"this input's path comes back to modules: at most {len(starts) + 1} stages are possible, which "
        f"can begin with {shown} (stages=[names], or a number with example_input=)"
    )


def _places(units: Sequence[str], calls: Sequence[str]) -> list[int]:
    """The numbers of the units that a stage can begin with: what is before was called for the last time."""
    moments: dict[str, list[int]] = {unit: [] for unit in units}
    for moment, unit in enumerate(calls):
        moments[unit].append(moment)
    places, last = [0], -1
    for number, unit in enumerate(units[:-1], 1):
        last = max([last, *moments[unit]])
        if all(moment > last for later in units[number:] for moment in moments[later]):
            places.append(number)
    return places


def _cut_before(model: nn.Module, names: list[str], starts: tuple[str, ...]) -> Cut:
    for start in starts:
        if start not in names[1:]:
            raise unknown("module in stages", start, names[1:])
    places = [names.index(start) for start in starts]
    if places != sorted(set(places)):
        raise ConfigError(f"stages = {[*starts]}: name modules in the model's order, each once")
    of_index = [sum(place <= index for place in places) for index in range(len(names))]
    last: dict[str, int] = {}
    for index, name in enumerate(names):
        path = name
        last[name] = of_index[index]
        while path:
            path = path.rpartition(".")[0]
            last[path] = of_index[index]
    straddling = {name for index, name in enumerate(names) if last[name] != of_index[index]}
    stage_of = {name: of_index[index] for index, name in enumerate(names) if name not in straddling}
    parts = {name: stage_of[name] for name in _called(model, "", straddling, set())}
    return Cut(starts, stage_of, parts or {"": 0}, frozenset(straddling))


def _called(module: nn.Module, name: str, straddling: set[str], seen: set[int]) -> Iterator[str]:
    """The topmost modules in one stage that have parameters and can be called, each by its first name."""
    if id(module) in seen or not any(True for _ in module.parameters()):
        return
    seen.add(id(module))
    if name not in straddling and _has_forward(module):
        yield name
        return
    for key, child in module._modules.items():
        if child is not None:
            yield from _called(child, f"{name}.{key}".lstrip("."), straddling, seen)


def _has_forward(module: nn.Module) -> bool:
    """Whether a module can be called; of others, as lists, the modules in them are."""
    return type(module).forward is not nn.Module.forward


def _units(name: str, module: nn.Module) -> Iterator[str]:
    """The modules that a stage can begin with: blocks of lists, and what stands beside them."""
    for key, child in module._modules.items():
        if child is None:
            continue
        path = f"{name}.{key}".lstrip(".")
        within_list = isinstance(module, (nn.ModuleList, nn.Sequential))
        if isinstance(child, (nn.ModuleList, nn.Sequential)) or (not within_list and _has_list(child)):
            yield from _units(path, child)
        else:
            yield path


def _has_list(module: nn.Module) -> bool:
    lists = (part for part in module.modules() if isinstance(part, (nn.ModuleList, nn.Sequential)))
    return any(len(part) > 1 for part in lists)


def _sizes(model: nn.Module) -> dict[str, int]:
    """Weights by the name of the module that holds them, shared ones by the first."""
    sizes: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        path = name.rpartition(".")[0]
        sizes[path] = sizes.get(path, 0) + parameter.numel()
    return sizes


def _weight(sizes: dict[str, int], unit: str) -> int:
    return sum(size for name, size in sizes.items() if name == unit or name.startswith(f"{unit}."))


def _balanced(units: list[str], sizes: list[int], count: int) -> tuple[str, ...]:
    """The first units of all stages but the first: the largest stage as small as it can be."""
    ends = [0]
    for size in sizes:
        ends.append(ends[-1] + size)
    most = {(0, 0): (0, 0)}  # (stages, units in them) -> (weights of the largest, where the last begins)
    for stages in range(1, count + 1):
        for end in range(stages, len(units) - (count - stages) + 1):
            most[stages, end] = min(
                (max(most[stages - 1, start][0], ends[end] - ends[start]), start)
                for start in range(stages - 1, end)
                if (stages - 1, start) in most
            )
    starts, end = [], len(units)
    for stages in range(count, 1, -1):
        end = most[stages, end][1]
        starts.append(units[end])
    return tuple(reversed(starts))
