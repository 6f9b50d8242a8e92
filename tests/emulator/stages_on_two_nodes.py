"""Runs a network in two stages over two raylets, and here; prints what both gave, as JSON.

The raylets are on this machine, with one address, or, given the address of their cluster, where they are.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator

import ray
import torch
from ray.cluster_utils import Cluster
from torch import nn

import crossgrid as cg


def outputs(stages: bool, **where: object) -> dict[str, object]:
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
        known = running.stages.stages if stages else getattr(running.executor, "hosts", [])
        at = [[each.address.node, each.address.endpoint.address] for each in known]
    return {"outputs": [each.tolist() for each in found], "weights": cg.weights_sha256(model), "at": at}


@contextlib.contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """A cluster of two raylets of one processor each."""
    if address is not None:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        yield
        ray.shutdown()
        return
    both = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        ray.init(address=both.address, log_to_driver=False, logging_level="ERROR")
        both.add_node(num_cpus=1)
        both.wait_for_nodes()
        yield
        ray.shutdown()
    finally:
        both.shutdown()


def main() -> None:
    torch.set_num_threads(1)
    with cluster(sys.argv[1] if len(sys.argv) > 1 else None):
        there = outputs(True, backend="ray", stages=2)
        tiles = outputs(False, backend="ray")
    print(json.dumps([outputs(False), there, tiles]))


if __name__ == "__main__":
    main()
