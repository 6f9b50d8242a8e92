"""Every field of every kind of entry of a chip's file, with whatever a pen may slip to.

Each is a chip with finite costs that are not beyond all measure, or one line of ``ConfigError`` that names
the place; never another error, and never a key that nobody reads.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import yaml
from test_chip_fields import described, entries

from crossgrid.chip import Chip, LayerShape, load_chip, map_layers
from crossgrid.chip.cost.cost import cost_of, peak
from crossgrid.chip.description.load import parse_chip
from crossgrid.chip.description.yaml_text import from_yaml
from crossgrid.kernels.errors import ConfigError

ODD: tuple[Any, ...] = (
    0, -1, -1e-3, float("nan"), float("inf"), -float("inf"), "x", "5 us", "", "1e3", "nan", None, [], [1], {},
    {"a": 1}, True, 10**9, 1e30, 10**30, 1e308, 10**400, 1e-30, 0.5, 3,
)  # fmt: skip
LAYERS = (LayerShape("a", 30, 200, 9), LayerShape("b", 12, 30, 4, sources=("a",)))
#: in any unit of a report: a petajoule, a country, the age of the world
BEYOND_MEASURE = 1e27


def owner_of(data: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        data = data[key]
    return data


def places(name: str, of_a_kind: int) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Where the first entries of each kind are, and each field that one of its kind has, given or not."""
    seen: Counter[type] = Counter()
    for cls, place in entries(Chip, described()[name]):
        seen[cls] += 1
        if seen[cls] <= of_a_kind:
            for spec in dataclasses.fields(cls):
                yield place, spec.name


def figures(chip: Chip) -> np.ndarray:
    """Of a small network and of the chip at its peak."""
    found = cost_of(map_layers(LAYERS, chip, chips=None if chip.chips == 1 else chip.chips), chip)
    times = (found.latency_ns, found.latency_in_turn_ns, found.interval_ns, *found.latency_by_part.values())
    spent = (found.energy_pj, *found.energy_by_part.values(), found.area_mm2, *found.area_by_part.values())
    return np.array([*times, *spent, found.tops, found.tops_per_w, *dataclasses.astuple(peak(chip))])


def answer(data: Any) -> str | None:
    """The one line of a refusal; None of a chip whose figures are of this world."""
    try:
        found = figures(parse_chip(data, "chip.yaml"))
    except ConfigError as error:
        return str(error)
    assert np.isfinite(found).all()
    assert (found >= 0.0).all()
    assert (found < BEYOND_MEASURE).all()
    return None


def check(name: str, of_a_kind: int) -> None:
    refused, tried = 0, 0
    for place, field in places(name, of_a_kind):
        tried += 1
        for value in ODD:
            data = copy.deepcopy(described()[name])
            owner_of(data, place)[field] = copy.deepcopy(value)
            try:
                line = answer(data)
            except Exception as error:
                error.add_note(f"{name}: {place} {field} = {value!r}")
                raise
            if line is not None:
                refused += 1
                assert "\n" not in line, (place, field, value)
                assert len(line) < 500, (place, field, value)
    assert refused > 10 * tried  # of 25 odd values more than ten are nothing's value


def test_an_odd_value_anywhere_is_a_sound_chip_or_one_line() -> None:
    """On a chip that has every kind of entry, and what its file leaves out."""
    check("several", of_a_kind=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(described()))
def test_an_odd_value_anywhere_in_a_file(name: str) -> None:
    check(name, of_a_kind=1000)


@pytest.mark.parametrize("name", sorted(described()))
def test_a_key_that_nobody_reads_is_refused_wherever_it_stands(name: str) -> None:
    for _, place in entries(Chip, described()[name]):
        data = copy.deepcopy(described()[name])
        owner_of(data, place)["collumns"] = 1
        line = answer(data)
        assert line is not None, place
        assert "unknown key in chip.yaml" in line
        assert "'collumns'" in line


@pytest.mark.parametrize("name", sorted(described()))
def test_a_key_given_twice_is_refused_wherever_it_stands(name: str, tmp_path) -> None:
    """The file's own text with one line of it doubled: of every key that has a line of its own."""
    lines = yaml.safe_dump(described()[name], sort_keys=False, width=10_000).splitlines(keepends=True)
    path, doubled = tmp_path / "twice.yaml", 0
    for k, line in enumerate(lines):
        key, _, value = line.strip().partition(": ")
        if line.lstrip().startswith("- ") or not value or not key.isidentifier():
            continue
        path.write_text("".join([*lines[: k + 1], line, *lines[k + 1 :]]))
        with pytest.raises(ConfigError, match=f"key '{key}' is given twice, again in line {k + 2}"):
            load_chip(path)
        doubled += 1
    assert doubled > 5


def nodes(data: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every value of a file is, at any depth: of mappings and of lists."""
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in children:
        yield (*place, key)
        yield from nodes(value, (*place, key))


#: what may stand where an entry of a list is meant, or a figure's value
WRONG: tuple[Any, ...] = (
    "x", "", float("nan"), float("-inf"), -1, True, False, None, [], [[1]], {"a": [{}]}, [{"name": "ADC"}],
    1.5,
)  # fmt: skip


def changed_answer(data: Any, place: tuple[Any, ...], ends: slice | None, value: Any) -> str | None:
    """The answer to a file with ``value`` at a place, or in place of some entries of the list there."""
    changed = copy.deepcopy(data)
    if ends is None:
        owner_of(changed, place[:-1])[place[-1]] = copy.deepcopy(value)
    else:
        owner_of(changed, place)[ends] = [copy.deepcopy(value)]
    try:
        line = answer(changed)
    except Exception as error:
        error.add_note(f"{place} {ends} = {value!r}")
        raise
    assert line is None or ("\n" not in line and len(line) < 500), (place, value)
    return line


def test_an_odd_entry_of_a_list_is_one_line() -> None:
    """Of parts and clusters each entry in turn is something else, and one more at the end; also in lists of
    words, where a word is one more."""
    data, lists = described()["several"], 0
    for place in nodes(data):
        held = owner_of(data, place)
        if not isinstance(held, list):
            continue
        lists += 1
        for k in range(len(held) + 1):
            for value in WRONG:
                line = changed_answer(data, place, slice(k, k + 1), value)
                assert line is not None or isinstance(held[0], type(value)), (place, k, value)
    assert lists >= 2


def test_an_odd_value_at_any_depth_is_a_sound_chip_or_one_line() -> None:
    """Also within figures and the points at which they hold."""
    data = described()["several"]
    deep = [place for place in nodes(data) if len(place) > 2]
    assert len(deep) > 30
    for place in deep:
        for value in WRONG[::2]:
            changed_answer(data, place, None, value)


@pytest.mark.parametrize(
    "text", ["5e0", "1e-3", "1.5e3", ".5e1", "-2E2", "+1e+4", "1_0", "1e", "e4", "1e4x", "0x1e4"]
)
def test_numbers_are_those_of_yaml_1_2(text: str) -> None:
    """PyYAML follows 1.1, where a number needs a point and its exponent a sign; other text stays text."""
    exponent = re.fullmatch(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+", text)  # YAML 1.2.2, 10.3.2
    assert from_yaml(f"a: {text}") == {"a": float(text) if exponent else yaml.safe_load(text)}
