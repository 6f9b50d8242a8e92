"""Whatever stands in a chip file or a plan, reading it gives a sound one or one error of the project's."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossgrid.chip import load_chip, map_layers
from crossgrid.chip.description.load import PRESETS
from crossgrid.chip.plan.file import _digest, load_plan, save_plan
from crossgrid.emulator.shapes.zoo import zoo_layers
from crossgrid.kernels.errors import ConfigError

DEMO = (PRESETS / "demo-128.yaml").read_text()
BOMB = "\n".join(
    ["c0: &c0 [lol, lol]", *(f"c{k}: &c{k} [{', '.join([f'*c{k - 1}'] * 9)}]" for k in range(1, 12))]
)
MERGES = "\n".join(["c0: &c0 {a: 1}", *(f"c{k}: &c{k} {{<<: [*c{k - 1}, *c{k - 1}]}}" for k in range(1, 40))])

CORNERS = {
    "an alias bomb as a value": f"{BOMB}\nname: *c11\n",
    "a bomb of merged keys": MERGES,
    "a date that is none": "name: 2020-13-45\n",
    "a truth that is none": "name: !!bool x\n",
    "a number without digits": 'name: !!int ""\n',
    "a number of letters": "name: !!float abc\n",
    "a time that is none": "name: !!timestamp x\n",
    "a number of 5,000 digits": f"grid: {{rows: {'9' * 5000}, columns: 2}}\n",
    "3,000 brackets": f"name: {'[' * 3000}{']' * 3000}\n",
    "an object of Python's": "name: !!python/object/apply:os.system [true]\n",
    "two documents": "--- {}\n--- {}\n",
    "nothing": "",
    "no text": "\xff\xfe",
    "a key twice": "name: a\nname: b\n",
    "E for a number": DEMO.replace("  clock_ghz: {", "  clock_ghz: E ns  # {"),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", list(CORNERS))
def test_dark_corners_of_yaml_are_one_short_error(name: str, tmp_path: Path) -> None:
    path = tmp_path / "chip.yaml"
    path.write_bytes(CORNERS[name].encode("latin-1" if name == "no text" else "utf-8"))
    with pytest.raises(ConfigError) as refused:
        load_chip(path)
    assert len(str(refused.value)) < 1500
    assert "\n" not in str(refused.value)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "chip.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # takes no room on the disk
    with pytest.raises(ConfigError, match="are no description of a chip"):
        load_chip(path)


ODD: list[Any] = [
    None, True, -1, 0, 10**30, 10**400, 1e308, float("nan"), float("inf"), "", "E ns", "x" * 5000, [], [[]],
    {}, {"value": []}, b"\0", [1, 2, 3], {1: 2},
]  # fmt: skip


def changed(tree: Any, path: list[int], odd: Any) -> Any:
    """``tree`` with one of its values replaced or dropped, the one that ``path`` leads to."""
    if not path or not isinstance(tree, (dict, list)) or not tree:
        return odd
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    key = keys[path[0] % len(keys)]
    made = dict(tree) if isinstance(tree, dict) else list(tree)
    if odd == "drop" and len(path) == 1:
        del made[key]
    else:
        made[key] = changed(tree[key], path[1:], odd)
    return made


PATHS = st.tuples(st.lists(st.integers(0, 30), min_size=1, max_size=4), st.sampled_from([*ODD, "drop"]))


def fuzz(check: Callable[[list[int], Any], None], examples: int) -> None:
    """Try many structural accidents; none takes more than 64 MB."""

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(PATHS)
    def run(accident: tuple[list[int], Any]) -> None:
        check(*accident)

    tracemalloc.start()
    try:
        run()
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def chips(tmp_path: Path, examples: int) -> None:
    """A chip that loads after an accident is a sound one: a model can be mapped onto it, or does not fit."""
    whole, file, layers = yaml.safe_load(DEMO), tmp_path / "chip.yaml", zoo_layers("lenet5")

    def check(path: list[int], odd: Any) -> None:
        try:
            file.write_text(yaml.dump(changed(whole, path, odd)))
        except ValueError:
            return  # a number that YAML cannot write either
        with contextlib.suppress(ConfigError):
            map_layers(layers, load_chip(file))

    fuzz(check, examples)


def plans(tmp_path: Path, examples: int) -> None:
    """Bytes as they are spoiled have no digest; a structure under a digest made anew is sound or refused."""
    file = tmp_path / "plan"
    save_plan(map_layers(zoo_layers("lenet5"), "demo-128", "packed"), file)
    whole = msgpack.unpackb(file.read_bytes())
    whole.pop("digest")

    def check(path: list[int], odd: Any) -> None:
        spoiled = changed(whole, path, odd)
        try:
            if isinstance(spoiled, dict) and {"plan", "table"} <= spoiled.keys():
                spoiled["digest"] = _digest(spoiled["plan"], spoiled["table"])
            file.write_bytes(msgpack.packb(spoiled))
        except OverflowError:
            return
        try:
            plan = load_plan(file)
        except ConfigError:
            return
        assert plan.tiles_used <= plan.tiles_available
        assert len(plan.blocks) == len(plan)

    fuzz(check, examples)


def test_accidents_in_a_chip_file(tmp_path: Path) -> None:
    chips(tmp_path, 100)


def test_accidents_in_a_plan(tmp_path: Path) -> None:
    plans(tmp_path, 100)


@pytest.mark.slow
@pytest.mark.fuzz
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", [chips, plans])
def test_thousands_of_accidents(kind: Callable[[Path, int], None], tmp_path: Path) -> None:
    kind(tmp_path, 5000)
