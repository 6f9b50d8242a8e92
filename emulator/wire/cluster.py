"""Ray, the machines that it has, and who ends with it."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence

import psutil
import ray

from ..errors import BackendError
from ..hosts.interrupts import Uninterrupted
from ..hosts.room import Node


def _forget_ray() -> None:
    """A child that was forked off must not end its parent's Ray when it ends."""
    atexit.unregister(ray.shutdown)


os.register_at_fork(after_in_child=_forget_ray)


@contextlib.contextmanager
def _without_pyarrow() -> Iterator[None]:
    """Within it pyarrow looks as if it were not installed, where nobody has loaded it.

    Ray loads it to write tables of it in a way of its own: some 25 MB of a driver that has none. Who gives
    this Ray one all the same finds it written by pickle.
    """
    hidden = sys.modules.setdefault("pyarrow", None) is None  # type: ignore[arg-type]
    try:
        yield
    finally:
        if hidden:
            del sys.modules["pyarrow"]


def start_ray() -> None:
    """Start Ray on this machine, for this run alone."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # 15 if not set: actors would yield to everything
    try:
        with Uninterrupted():  # or Ray's processes stay that it has not told anybody of
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
            with _without_pyarrow():
                ray.get(ray.put(None))  # Ray learns here how to write values
    except ConnectionError as error:  # Ray keeps the address of what `ray start` began last
        raise BackendError(
            f"Ray does not start: {' '.join(str(error).split())}. If that is a cluster which is gone, run "
            "`ray stop`, or set RAY_ADDRESS=local for a Ray of this run alone"
        ) from error
    except Exception as error:
        raise BackendError(
            f"Ray does not start: {error}; run `crossgrid doctor`, or use backend='local'"
        ) from error


def this_machine() -> Node:
    """What this machine offers."""
    import torch

    cards = float(torch.cuda.device_count())
    card_bytes = torch.cuda.get_device_properties(0).total_memory if cards else 0
    return Node("", os.cpu_count() or 1, cards, psutil.virtual_memory().available, card_bytes)


def nodes() -> list[Node]:
    """What Ray's living nodes offer; of our own, the first, memory that is free now, and that of its cards.

    The others follow by their addresses: Ray lists nodes in any order.
    """
    here = ray.get_runtime_context().get_node_id()
    own = this_machine()
    alive = [node for node in ray.nodes() if node["Alive"]]
    alive.sort(key=lambda node: (node["NodeID"] != here, node["NodeManagerAddress"], node["NodeID"]))
    return [
        Node(
            node["NodeID"],
            node["Resources"].get("CPU", 0.0),
            node["Resources"].get("GPU", 0.0),
            own.free_bytes if node["NodeID"] == here else int(node["Resources"].get("memory", 0)),
            own.card_bytes if node["NodeID"] == here else 0,
        )
        for node in alive
    ]


def wait_until_gone(pids: Sequence[int], seconds: float = 10.0) -> None:
    """Wait until none of these processes is there."""
    deadline = time.monotonic() + seconds
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
