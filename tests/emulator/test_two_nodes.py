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

pytest.importorskip("ray", reason="Ray is an extra: pip install 'crossgrid[ray]'")


def of_both(*kills: float, timeout: float = 280, program: str = "two_nodes.py") -> list[dict[str, Any]]:
    """What the network gave here, and over two nodes: once, or once for each kill of a node."""
    program = str(Path(__file__).parent / program)
    command = [sys.executable, program, *map(str, kills)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_twenty_nodes_that_are_killed_cost_no_bit(capsys: pytest.CaptureFixture[str]) -> None:
    """All actors of a chip die at once, whatever they are at; they go on beside the others."""
    drawn = random.Random(3)
    here, *there = of_both(*[0.0, *(drawn.uniform(0.0, 0.08) for _ in range(19))], timeout=1700)
    assert len(there) == 20
    for each in there:
        assert each["weights"] == here["weights"]
        assert each["outputs"] == here["outputs"]
    lost = [each for each in there if len({actor["node"] for actor in each["actors"]}) == 1]
    assert len(lost) > 15  # a run may end before its node does
    with capsys.disabled():
        print(
            "\n",
            sorted(round(each["seconds"], 1) for each in there),
            "seconds a run,",
            len(lost),
            "lost a node",
        )


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
    here, there = of_both(program="stages_on_two_nodes.py")
    assert there["outputs"] == here["outputs"]
    assert there["weights"] == here["weights"]
    assert len({node for node, _ in there["at"]}) == 2
    assert {address.split(":")[0] for _, address in there["at"]} == {"tcp"}
    assert "on which stage 1 of the model was to start, has gone; 1 nodes are left" in there["said"]
