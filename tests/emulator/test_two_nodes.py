"""A network over two nodes: two raylets on this machine, the network and its keys between them."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from chaos import Tally

pytest.importorskip("ray", reason="Ray is an extra: pip install 'crossgrid[ray]'")

#: how many nodes are killed
NODES = {"tiles": 20, "stages": 10}


def of_both(*words: Any, timeout: float = 280, program: str = "two_nodes.py") -> list[dict[str, Any]]:
    """What the network gave here, and over two nodes: once, or once for each kill of a node."""
    program = str(Path(__file__).parent / program)
    command = [sys.executable, program, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("kind", "seconds", "whose"),
    [("tiles", 0.08, "its tile actors"), ("stages", 0.5, "the stages on it")],
    ids=["tiles", "stages"],
)
def test_nodes_that_are_killed_cost_no_bit(kind: str, seconds: float, whose: str) -> None:
    """All actors of a chip, or a stage with its snapshots, die at once; they go on beside the others."""
    drawn, count = random.Random(3), NODES[kind]
    kills = [0.0, *(drawn.uniform(0.0, seconds) for _ in range(count - 1))]
    here, *there = of_both(kind, *kills, timeout=1700)
    assert len(there) == count
    for each in there:
        assert each["weights"] == here["weights"]
        assert each["outputs"] == here["outputs"]
    lost = [each["lost"] for each in there if len({actor["node"] for actor in each["actors"]}) == 1]
    assert len(lost) > 0.7 * count  # a run may end before its node does
    Tally(f"SIGKILL of a raylet with {whose}", len(lost), len(lost), lost).note()


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


@pytest.mark.slow
def test_a_stage_on_each_node_gives_the_bits_of_local() -> None:
    """Values go from node to node over TCP with keys."""
    here, there, tiles = of_both(program="stages_on_two_nodes.py")
    assert tiles["outputs"] == here["outputs"]  # a model without a chip
    assert len({node for node, _ in tiles["at"]}) == 2
    assert there["outputs"] == here["outputs"]
    assert there["weights"] == here["weights"]
    assert len({node for node, _ in there["at"]}) == 2
    assert {address.split(":")[0] for _, address in there["at"]} == {"tcp"}
    assert "on which stage 1 of the model was to start, has gone; 1 nodes are left" in there["said"]
