"""Runs a network in two stages over two raylets of this machine, and here; prints what both gave, as JSON.

Then a node goes away between the plan and the start of a stage on it: what is said stands there too.
"""

from __future__ import annotations

import json
from typing import Any

import ray
import torch
from ray.cluster_utils import Cluster
from torch import nn

import crossgrid as cg
from crossgrid.emulator.stages.launch import StageLauncher


def outputs(**where: object) -> dict[str, object]:
    """What it gives fresh, programmed and aged; and where its stages listened."""
    torch.manual_seed(3)
    digital = nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 4))
    model = cg.convert_to_analog(digital, cg.InferenceRPUConfig(), seed=1)
    x = torch.rand(8, 12)
    with cg.emulate(model, **where) as running:
        found = [running.infer(x, micro_batch=2)]
        cg.program_analog_weights(model)
        cg.drift_analog_weights(model, 60.0)
        found.append(running.infer(x, micro_batch=2))
        stages = [] if running.stages is None else running.stages.stages
        at = [[stage.address.node, stage.address.endpoint.address] for stage in stages]
    return {"outputs": [each.tolist() for each in found], "weights": cg.weights_sha256(model), "at": at}


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


def main() -> None:
    torch.set_num_threads(1)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        second = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        there = outputs(backend="ray", stages=2)
        cluster.remove_node(second)
        said = refusal(cluster)
        ray.shutdown()
    finally:
        cluster.shutdown()
    print(json.dumps([outputs(), {**there, "said": said}]))


if __name__ == "__main__":
    main()
