"""Trains a network over two raylets of this machine and here; prints what both gave, as JSON.

two_nodes.py, or: two_nodes.py tiles|stages SECONDS...: once for each, after which a node is killed.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ray
import torch
from networks import batch, small_net
from ray.cluster_utils import Cluster
from torch import nn

import crossgrid as cg


def two_small_chips() -> cg.Chip:
    """Two chips of five tiles of 12 x 16 weights: the network's nine fill one and most of the other."""
    chip = cg.load_chip("demo-128")
    crossbar = replace(chip.crossbar, rows=16, columns=24)
    return replace(
        chip, name="two small chips", chips=2, grid=replace(chip.grid, rows=1, columns=5), crossbar=crossbar
    )


def trained(after_a_step: Callable[[], None] | None = None, **where: Any) -> dict[str, Any]:
    """Hash of the weights, outputs, and where the tiles were; after the first step something may happen."""
    model, optimizer = small_net(7)
    with cg.emulate(model, two_small_chips(), **where) as running:
        for number in range(20):
            if number == 1 and after_a_step is not None:
                after_a_step()
            running.train_step(*batch(number), nn.CrossEntropyLoss(), optimizer, micro_batches=2)
        outputs = running.infer(batch(9)[0], micro_batch=2, depth=2)
        actors = [
            {"label": host.label, "node": host.address.node, "endpoint": host.address.endpoint.address}
            for host in getattr(running.executor, "hosts", [])
        ]
        lost = running.totals.recovered.seconds
    return {"weights": cg.weights_sha256(model), "outputs": outputs.tolist(), "actors": actors, "lost": lost}


def in_stages(after_a_step: Callable[[], None] | None = None, **where: Any) -> dict[str, Any]:
    """The same of a network in stages, whose snapshots are too large for Ray to send them with an answer."""
    torch.manual_seed(7)
    digital = nn.Sequential(nn.Linear(36, 300), nn.Tanh(), nn.Linear(300, 200), nn.Tanh(), nn.Linear(200, 4))
    model = cg.convert_to_analog(digital, cg.InferenceRPUConfig())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    emulation = cg.emulate(model, **where)
    emulation.recovery = cg.Recovery(snapshot_messages=3)
    with emulation as running:
        for number in range(20):
            if number == 1 and after_a_step is not None:
                after_a_step()
            x, y = batch(number)
            running.train_step(x.flatten(1), y, nn.CrossEntropyLoss(), optimizer, micro_batches=2)
        outputs = running.infer(batch(9)[0].flatten(1), micro_batch=2, depth=2)
        stages = [] if running.stages is None else running.stages.stages
        actors = [{"label": stage.where, "node": stage.address.node} for stage in stages]
        lost = running.totals.recovered.seconds
    return {"weights": cg.weights_sha256(model), "outputs": outputs.tolist(), "actors": actors, "lost": lost}


#: what is trained, and how it is spread
KINDS: dict[str, tuple[Callable[..., dict[str, Any]], dict[str, int]]] = {
    "tiles": (trained, {"tiles_per_actor": 2}),
    "stages": (in_stages, {"stages": 2}),
}


def with_a_kill(kind: str, cluster: Cluster, seconds: float) -> dict[str, Any]:
    """Trained over a second node that is killed so long after the first step, whatever is under way then."""
    node = cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    killing = threading.Timer(seconds, lambda: cluster.remove_node(node, allow_graceful=False))
    began, (train, where) = time.perf_counter(), KINDS[kind]
    there = train(killing.start, backend="ray", **where)
    there["seconds"] = time.perf_counter() - began
    killing.join()
    return there


def main() -> None:
    kind, *kills = sys.argv[1:] or ["tiles"]
    train, where = KINDS[kind]
    torch.set_num_threads(1)  # as many as a stage has: torch's sums follow them
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    try:
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        if kills:
            there = [with_a_kill(kind, cluster, float(seconds)) for seconds in kills]
        else:
            cluster.add_node(num_cpus=2)
            cluster.wait_for_nodes()
            there = [train(backend="ray", **where)]
    finally:
        ray.shutdown()
        cluster.shutdown()
    print(json.dumps([train(), *there]))


if __name__ == "__main__":
    main()
