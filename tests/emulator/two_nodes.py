"""Trains a network over two raylets of this machine and here; prints what both gave, as JSON."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import ray
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


def trained(after_a_step: Callable[[], None] | None = None, **where: object) -> dict[str, object]:
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
    return {"weights": cg.weights_sha256(model), "outputs": outputs.tolist(), "actors": actors}


def with_a_kill(cluster: Cluster, seconds: float) -> dict[str, object]:
    """Trained over a second node that is killed so long after the first step, whatever is under way then."""
    node = cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    killing = threading.Timer(seconds, lambda: cluster.remove_node(node, allow_graceful=False))
    began = time.perf_counter()
    there = trained(killing.start, backend="ray", tiles_per_actor=2)
    there["seconds"] = time.perf_counter() - began
    killing.join()
    return there


def main() -> None:
    kills = [float(word) for word in sys.argv[1:]]
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    try:
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        if kills:
            there = [with_a_kill(cluster, seconds) for seconds in kills]
        else:
            cluster.add_node(num_cpus=2)
            cluster.wait_for_nodes()
            there = [trained(backend="ray", tiles_per_actor=2)]
        ray.shutdown()
    finally:
        cluster.shutdown()
    print(json.dumps([trained(), *there]))


if __name__ == "__main__":
    main()
