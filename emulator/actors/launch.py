"""Starting tile actors where they are planned: at the beginning of a run and after one has died."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
import zmq
from ray.util.placement_group import placement_group, placement_group_table, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from crossgrid.kernels.backends import BackendName

from ..errors import BackendError
from ..hosts.interrupts import Uninterrupted
from ..wire.addresses import ActorAddress, DriverAddress, Flow
from .actor import TileActor
from .packing import ActorPlan

#: seconds that Ray may take to start the first actor, and each further one, on a busy machine
START_SECONDS, START_SECONDS_EACH = 120.0, 4.0

#: seconds within which Ray hears that somebody who ended has given back what he had reserved
FREED_SECONDS = 10.0

#: seconds that Ray may be in the middle of reserving what somebody wants to give back
RESERVING_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Running:
    """An actor that was started, and the way to it."""

    actor: Any
    address: ActorAddress
    socket: zmq.Socket[bytes]
    serving: Any  # Ray's promise of serve(): kept as long as the actor lives

    @property
    def ended(self) -> bool:
        """Whether Ray knows that its process is gone."""
        ended, _ = ray.wait([self.serving], timeout=0)
        return bool(ended)

    def kill(self, here: bool) -> None:
        """End it, whatever it does; a stopped process does not hear Ray, so one that is ``here`` hears us."""
        self.socket.close(linger=0)
        with contextlib.suppress(Exception):  # it may be gone, and Ray too
            ray.kill(self.actor)
        if here:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.address.pid, signal.SIGKILL)


class Launcher:
    """Starts actors in placement groups, one for all actors of a chip."""

    def __init__(self, timeout_s: float, device: BackendName) -> None:
        self.timeout_s, self.device = timeout_s, device
        self.groups: dict[int, Any] = {}  # Ray's placement groups by chip
        self.homes: dict[int, str] = {}  # the node of each

    def reserve(self, plans: Sequence[ActorPlan]) -> None:
        """A placement group for each chip: all its actors on one node.

        Raises:
            BackendError: others use what it needs.
        """
        for chip in {plan.chip for plan in plans}:
            actors = [plan for plan in plans if plan.chip == chip]
            wanted = {"CPU": sum(a.processors for a in actors), "GPU": sum(a.cards for a in actors)}
            bundle = {name: round(amount, 4) for name, amount in wanted.items() if amount}
            node = {"ray.io/node-id": actors[0].node}
            whose = f"process {os.getpid()} on {os.uname().nodename}"
            name = f"crossgrid, chip {chip}, {whose}, {secrets.token_hex(4)}"  # Ray takes a name once
            with Uninterrupted():  # or it is reserved, and nobody knows by whom
                self.homes[chip] = actors[0].node
                self.groups[chip] = group = placement_group(
                    [bundle], strategy="STRICT_PACK", name=name, bundle_label_selector=[node]
                )
            if not self._is_reserved(group, self._seconds(len(actors))):
                raise BackendError(
                    f"Ray cannot reserve {bundle} on node {actors[0].node[:8]} for the {len(actors)} actors "
                    f"of chip {chip}: {_holders(actors[0].node)}. Wait until they end; or start a Ray for "
                    "this run alone (leave ray.init out, or ray.init(address='local')); or start Ray with as "
                    "many processors as both take (ray start --num-cpus=N): they share those of the machine"
                )

    def _is_reserved(self, group: Any, seconds: float) -> bool:
        """Wait until a group has its resources; not for long where Ray knows that others have them."""
        since = time.monotonic()
        while time.monotonic() - since < seconds:
            if group.wait(1):
                return True
            if _progress(group) == "NO_RESOURCES" and time.monotonic() - since > FREED_SECONDS:
                return False
        return False

    def start(
        self, plans: Sequence[tuple[int, ActorPlan, Flow]], driver: DriverAddress, epoch: int = 0
    ) -> list[Running]:
        """Start numbered actors and connect to them.

        Raises:
            BackendError: they do not start.
        """
        actors = [self._actor(number, plan, flow, driver, epoch) for number, plan, flow in plans]
        try:
            addresses = ray.get(
                [actor.where.remote() for actor in actors], timeout=self._seconds(len(actors))
            )
        except BaseException as error:
            for actor in actors:
                with contextlib.suppress(Exception):
                    ray.kill(actor)
            if not isinstance(error, Exception):
                raise
            raise BackendError(
                f"{len(actors)} tile actors did not start: {error}; see `ray status`, "
                "or pack tiles with tiles_per_actor='auto'"
            ) from error
        return [
            Running(actor, address, address.endpoint.connected(flow), actor.serve.remote())
            for actor, address, (_, _, flow) in zip(actors, addresses, plans, strict=True)
        ]

    def _actor(self, number: int, plan: ActorPlan, flow: Flow, driver: DriverAddress, epoch: int) -> Any:
        living = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
        if self.homes[plan.chip] in living:
            where: Any = PlacementGroupSchedulingStrategy(self.groups[plan.chip])
            processors, cards = plan.processors, plan.cards
        else:  # its node is gone: on one that lives, beside what runs there
            where = NodeAffinitySchedulingStrategy(living[number % len(living)], soft=True)
            processors, cards = 0.0, plan.cards
        made: Any = ray.remote(TileActor).options(
            num_cpus=processors, num_gpus=cards, scheduling_strategy=where
        )
        return made.remote(number, plan.parts, plan.threads, driver, flow, self.device, epoch)

    def _seconds(self, actors: int) -> float:
        return max(self.timeout_s, START_SECONDS + START_SECONDS_EACH * actors)

    def close(self) -> None:
        """Give back what was reserved.

        Ray keeps what it is about to reserve for a group that is removed meanwhile, for ever (#64693).
        """
        for group in self.groups.values():
            deadline = time.monotonic() + RESERVING_SECONDS
            while _progress(group) in ("QUEUED", "SCHEDULING_STARTED") and time.monotonic() < deadline:
                time.sleep(0.002)
            remove_placement_group(group)
        self.groups.clear()


def _progress(group: Any) -> str | None:
    """How far Ray is with reserving what a group needs; None where it does not know the group any more."""
    state: str | None = placement_group_table(group).get("stats", {}).get("scheduling_state")
    return state


def _holders(node: str) -> str:
    """Who has reserved what of a node, as far as Ray knows."""
    found = []
    for group in placement_group_table().values():
        for number, where in group["bundles_to_node_id"].items():
            if where == node and group["state"] == "CREATED":
                found.append(f"{group['bundles'][number]} by {group['name'] or 'a group without a name'!r}")
    others = "; ".join(found[:4]) + ("; ..." if len(found) > 4 else "")
    return f"reserved there are {others}" if found else "actors or tasks have them, see `ray status`"
