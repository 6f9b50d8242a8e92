"""Stages against one process, and against an actor a layer: bench_stages.py [--rows WORD] [--json FILE].

A network of BERT's shape, 12 layers, reads 8 x 128 tokens. Both sides may use all processors. Before a row is
timed, both must give equal bits (with as many torch threads as a stage has); then they are timed in turns.
Exits with 1 where a row misses what is wanted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
import torch
from bench_ray import placed, require_equal, seconds
from machine import machine
from torch import Tensor, nn

import crossgrid as cg

LAYERS, BATCH, TOKENS = 12, 8, 128

#: before a turn: threads of the one before may still wait by spinning
SETTLE_S = 0.2


def bert(hidden: int) -> nn.Module:
    """The encoder, of 64 values a head, on tiles of at most 512 x 512."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(1)
    config = BertConfig(
        hidden_size=hidden, num_hidden_layers=LAYERS, num_attention_heads=hidden // 64,
        intermediate_size=4 * hidden, vocab_size=1000,
    )  # fmt: skip
    model = cg.convert_to_analog(BertModel(config, add_pooling_layer=False), cg.InferenceRPUConfig(), seed=1)
    return model.eval()


def tokens(batches: int) -> list[Tensor]:
    drawn = torch.Generator().manual_seed(2)
    return [torch.randint(1000, (BATCH, TOKENS), generator=drawn) for _ in range(batches)]


def read(running: cg.Emulation, batches: list[Tensor], micro_batch: int, depth: int) -> Tensor:
    found: Any = running.infer(batches, micro_batch, depth)
    hidden: Tensor = found.last_hidden_state
    return hidden


@contextlib.contextmanager
def with_threads(count: int) -> Iterator[None]:
    """Torch's sums follow its threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_turns(works: dict[str, Callable[[], Tensor]], rounds: int) -> dict[str, dict[str, float]]:
    """Of each side the median of its turns, the fastest and the slowest, in ms."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            time.sleep(SETTLE_S)
            times[name].append(seconds(work) * 1e3)
    return {
        name: {"ms": statistics.median(taken), "from": min(taken), "to": max(taken)}
        for name, taken in times.items()
    }


def beside_local(rounds: int, batches: int, hidden: int, stages: int) -> dict[str, Any]:
    """Stages against the same tiles in this process, in whole batches or micro-batches: the faster counts."""
    x = tokens(batches)
    with placed(bert(hidden)) as here, placed(bert(hidden), backend="ray", stages=stages) as there:
        with with_threads(there.stages.stages[0].threads):
            require_equal("stages", read(here, x, 1, 1), read(there, x, 1, 4))
        works = {
            "stages, micro-batches of 1": lambda: read(there, x, 1, 4),
            "local, whole batches": lambda: read(here, x, BATCH, 1),
            "local, micro-batches of 1": lambda: read(here, x, 1, 2),
        }
        found = in_turns(works, rounds)
    name = f"hidden {hidden}: {batches} x {BATCH} x {TOKENS} tokens, {stages} stages beside one process"
    return {"row": name, "limit": 0.9, **found}


def beside_actors(rounds: int, batches: int, hidden: int, stages: int) -> dict[str, Any]:
    """Stages against one actor a layer, between which every value goes through the driver."""
    x = tokens(batches)
    with (
        placed(bert(hidden), backend="ray", stages=stages) as there,
        placed(bert(hidden), backend="ray") as actors,
    ):
        with with_threads(there.stages.stages[0].threads):
            require_equal("actors", read(actors, x, 1, 4), read(there, x, 1, 4))
        works = {
            "stages, micro-batches of 1": lambda: read(there, x, 1, 4),
            "actors, whole batches": lambda: read(actors, x, BATCH, 2),
            "actors, micro-batches of 1": lambda: read(actors, x, 1, 4),
        }
        found = in_turns(works, rounds)
    name = f"hidden {hidden}: {batches} x {BATCH} x {TOKENS} tokens, {stages} stages beside an actor a layer"
    return {"row": name, "limit": 1.5, **found}


def judged(row: dict[str, Any]) -> dict[str, Any]:
    """A row with how many times as fast as the fastest of the others the stages are."""
    (stages,) = (each["ms"] for name, each in row.items() if name.startswith("stages"))
    others = [each["ms"] for name, each in row.items() if isinstance(each, dict) and "stages" not in name]
    ratio = min(others) / stages
    return {**row, "ratio": ratio, "met": ratio >= row["limit"]}


ROWS: dict[str, Callable[[int, int, int, int], dict[str, Any]]] = {
    "local": beside_local, "actors": beside_actors,
}  # fmt: skip
HIDDEN = {"local": 768, "actors": 128}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", choices=[*ROWS], nargs="*", default=[*ROWS])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batches", type=int, default=1, help="of 8 x 128 tokens that are read in one call")
    parser.add_argument("--stages", type=int, default=2)
    parser.add_argument("--hidden", type=int, help="in the place of a row's own")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    rows = []
    for name in asked.rows:
        row = judged(ROWS[name](asked.rounds, asked.batches, asked.hidden or HIDDEN[name], asked.stages))
        rows.append(row)
        print(f"{row['row']}: {row['ratio']:.2f} times as fast (wanted: {row['limit']})")
        for side, each in row.items():
            if isinstance(each, dict):
                print(
                    f"    {side:28} {each['ms']:9.1f} ms ({each['from']:.1f} to {each['to']:.1f})", flush=True
                )
    if asked.json:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps({"machine": machine("torch", "ray"), "rows": rows}, indent=2) + "\n")
    sys.exit(0 if all(row["met"] for row in rows) else 1)


if __name__ == "__main__":
    main()
