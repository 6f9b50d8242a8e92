"""Runs a network in two stages over two raylets, and here; prints what both gave, as JSON.

The raylets are on this machine, with one address, or, given the address of their cluster, where they are.
Here a node then goes away between the plan and the start of a stage on it: what is said stands there too.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import ray
import torch
from ray.cluster_utils import Cluster
from torch import nn

import crossgrid as cg
from crossgrid.emulator.stages.launch import StageLauncher


def outputs(**where: object) -> dict[str, object]:
    """What it gives fresh, trained, programmed and aged; and where its processes listened."""
    torch.manual_seed(3)
    digital = nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 4))
    mapping = cg.MappingParameter(max_input_size=8, max_output_size=8)
    model = cg.convert_to_analog(digital, cg.InferenceRPUConfig(mapping=mapping), seed=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    x, y = torch.rand(8, 12), torch.arange(8) % 4
    with cg.emulate(model, **where) as running:
        found = [running.infer(x, micro_batch=2)]
        for _ in range(2):
            found.append(torch.tensor(running.train_step(x, y, nn.CrossEntropyLoss(), optimizer, 2)))
        cg.program_analog_weights(model)
        cg.drift_analog_weights(model, 60.0)
        found.append(running.infer(x, micro_batch=2))
        known = running.stages.stages if "stages" in where else getattr(running.executor, "hosts", [])
        at = [[each.address.node, each.address.endpoint.address] for each in known]
    return {"outputs": [each.tolist() for each in found], "weights": cg.weights_sha256(model), "at": at}


def over_nodes() -> list[dict[str, Any]]:
    """What the nodes of the cluster give in two stages, and with an actor for each tile."""
    stages = outputs(backend="ray", stages=2)
    return [stages, outputs(backend="ray")]


def refusal(cluster: Cluster) -> str:
    """What is said where a node goes away once stages have been placed on it."""
    start, node = StageLauncher.start, cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()

    def behind_the_node(launcher: StageLauncher, stages: Any) -> None:
        cluster.remove_node(node)
        start(launcher, stages)

    StageLauncher.start = behind_the_node  # type: ignore[method-assign]
    try:
        outputs(backend="ray", stages=2)
    except cg.BackendError as error:
        return str(error)
    finally:
        StageLauncher.start = start  # type: ignore[method-assign]
    return ""


def over_raylets_of_its_own() -> list[dict[str, Any]]:
    """Over a cluster of two raylets of one processor each, one of which then goes away."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        second = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        stages, tiles = over_nodes()
        cluster.remove_node(second)
        stages["said"] = refusal(cluster)
        ray.shutdown()
    finally:
        cluster.shutdown()
    return [stages, tiles]


def main() -> None:
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
        while sum(node["Alive"] for node in ray.nodes()) < 2:  # one may still be on its way
            time.sleep(0.2)
        there = over_nodes()
        ray.shutdown()
    else:
        there = over_raylets_of_its_own()
    print(json.dumps([outputs(), *there]))


if __name__ == "__main__":
    main()
