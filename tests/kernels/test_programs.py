"""What a card can be given at once: 2^31 - 1 programs, 65,535 of them along the second axis."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crossgrid.kernels.errors import ConfigError
from crossgrid.kernels.machine.programs import programs

KERNELS = Path(__file__).parents[2] / "kernels"


def test_what_a_card_takes_is_a_grid() -> None:
    assert programs("x", (1 << 31) - 1) == ((1 << 31) - 1, 1)
    assert programs("x", 32768, 65535) == (32768, 65535)


@pytest.mark.parametrize("axes", [(1 << 31,), (1, 65536), (32769, 65535), (1 << 16, 1 << 15)])
def test_what_a_card_does_not_take_says_the_limit_and_the_way_out(axes: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"^rows: .* 2147483647 in all and 65535 .*; use smaller batches"):
        programs("rows", *axes)


def test_every_launch_is_of_a_checked_grid() -> None:
    launches = [
        (path.name, launch)
        for path in sorted(KERNELS.rglob("*.py"))
        for launch in re.findall(r"\w+_kernel\[(.*)\]\(", path.read_text())
    ]
    assert len(launches) == 11
    for name, launch in launches:
        checked = launch.startswith("programs(") or "grid = programs(" in (
            next(path for path in KERNELS.rglob(name) if f"[{launch}](" in path.read_text()).read_text()
        )
        assert checked, (name, launch)
