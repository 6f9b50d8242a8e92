"""A network over two nodes: two raylets on this machine, the network and its keys between them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="Ray is an extra: pip install 'crossgrid[ray]'")


def of_both(*flags: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the network gave here, and over two nodes."""
    program = Path(__file__).parent / "two_nodes.py"
    done = subprocess.run(
        [sys.executable, str(program), *flags], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    here, there = json.loads(done.stdout.splitlines()[-1])
    return here, there


@pytest.mark.slow
@pytest.mark.chaos
def test_a_node_that_is_killed_costs_no_bit() -> None:
    """All actors of a chip die at once; they go on beside the others."""
    here, there = of_both("kill")
    assert there["weights"] == here["weights"]
    assert there["outputs"] == here["outputs"]
    assert len({actor["node"] for actor in there["actors"]}) == 1


@pytest.mark.slow
def test_two_nodes_give_the_bits_of_local() -> None:
    """Every chip on a node of its own: the driver's over files, the other over TCP."""
    here, there = of_both()
    assert there["weights"] == here["weights"]
    assert there["outputs"] == here["outputs"]
    nodes = defaultdict(set)
    for actor in there["actors"]:
        chip = actor["label"].split()[1].split("/")[0]
        nodes[chip].add(actor["node"])
    assert set(nodes) == {"0", "1"}
    assert all(len(found) == 1 for found in nodes.values())
    assert nodes["0"] != nodes["1"]
    assert len(there["actors"]) == 3 + 2
    assert {actor["endpoint"].split(":")[0] for actor in there["actors"]} == {"ipc", "tcp"}
