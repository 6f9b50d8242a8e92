"""What becomes of an actor that dies or hangs: a successor that is told the same, or what is known of it."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

from crossgrid.kernels.errors import CrossgridError

from ..errors import BackendError, TileError
from ..hosts.interrupts import Uninterrupted
from ..tiles.messages import REQUESTS, Answer, Message
from ..tiles.worker import TileWorker
from ..wire.letters import decode
from ..wire.pulses import NOTICE_SECONDS
from .host import sent_whole
from .launch import START_SECONDS

if TYPE_CHECKING:
    from .executor import RayExecutor

LOG = logging.getLogger("crossgrid")

#: seconds that a waiter listens before it looks whether the actor still lives
LOOK_SECONDS = 0.05


class Revival:
    """Looks after the actors of ``executor``."""

    def __init__(self, executor: RayExecutor) -> None:
        self.executor = executor

    def look_after(self, number: int, since: float) -> None:
        """See to an actor that died, or that said nothing for too long while we waited."""
        executor, host = self.executor, self.executor.host(number)
        if not host.lock.acquire(blocking=False):
            return  # who sends to it looks after it
        try:
            if host.failure is not None:
                return
            missed_s = executor.pulses.missed_s(host.address.endpoint)
            with Uninterrupted():
                if host.running.ended:
                    self._lost(number, "died", dead=True)
                elif missed_s > executor.timeout_s:
                    what = f"did not answer within {executor.timeout_s:g} s; it is stopped and hangs"
                    self._lost(number, what)
            silent_s = time.monotonic() - max(since, executor.mail.heard.get(number, since))
            slow = silent_s > executor.timeout_s + NOTICE_SECONDS and not (missed_s or executor.patient)
            if slow and host.failure is None:
                raise TileError(
                    f"{host.where} did not answer within {executor.timeout_s:g} s, and is not stopped: it is "
                    "too slow: raise timeout_s or put fewer tiles into an actor"
                )
        finally:
            host.lock.release()

    def _lost(self, number: int, what: str, dead: bool = False) -> None:
        """Start a successor of an actor, or note why there is none. The host's lock is held."""
        executor, host, began = self.executor, self.executor.host(number), time.monotonic()
        recovery = executor.recovery
        if recovery is None or host.history is None:
            host.dead = dead
            host.failure = TileError(f"{host.where} {what}; the other tiles' weights can still be read")
            return
        while True:
            host.deaths.append(time.monotonic())
            while host.deaths[0] < time.monotonic() - recovery.storm_s:
                host.deaths.popleft()
            where, times = host.where, len(host.deaths)
            if times > recovery.restarts:
                why = f"{where} {what}, for the {times}. time in {recovery.storm_s:g} s"
                break
            LOG.warning("%s %s; it is started again", where, what)
            try:
                self._restart(number)
            except BackendError as error:
                what = f"died and did not come back ({error!s:.200})"
            else:
                executor.recovered.restarts += 1
                executor.recovered.seconds += time.monotonic() - began
                return
        host.running.kill(not host.address.endpoint.public_key)
        host.dead = True
        host.failure = TileError(f"{why}; its tiles' state is saved, and comes home on leaving")

    def _restart(self, number: int) -> None:
        """A new actor in the place of one, told what that one was told.

        Raises:
            BackendError: it did not start, or died at once.
        """
        executor, host = self.executor, self.executor.host(number)
        assert host.history is not None
        if host.history.asked:
            executor.take_snapshot(number, host.history)
        host.running.kill(not host.address.endpoint.public_key)
        executor.pulses.forget(host.address.endpoint)
        host.epoch += 1
        for layer, _, _ in host.plan.parts:
            executor.adders.forget(layer)
        executor.mail.epochs[number] = host.epoch % 256
        plan = (number, host.plan, host.flow)
        (host.running,) = executor.launcher.start([plan], executor.mail.address, host.epoch % 256)
        executor.pulses.watch(host.address.endpoint)
        executor.mail.heard[number] = since = time.monotonic()
        for frames in host.history.again(executor.mail.answered.get(number, ())):
            while not sent_whole(host.socket, frames):
                executor.mail.receive_waiting(LOOK_SECONDS)
                silent_s = time.monotonic() - max(since, executor.mail.heard[number])
                missed_s = executor.pulses.missed_s(host.address.endpoint)
                if (
                    host.running.ended
                    or missed_s > executor.timeout_s
                    or silent_s > executor.timeout_s + START_SECONDS
                ):
                    raise BackendError("its successor died or hangs")
        executor.mail.heard[number] = time.monotonic()

    def recall(self, number: int, message: Message[Answer]) -> Answer | None:
        """The answer of an actor that is lost for good, told again in this process; None if nothing is known.

        Raises:
            CrossgridError: what it was told cannot be done here.
        """
        host = self.executor.host(number)
        if host.history is None or not host.dead:
            return None
        if host.recalled is None:
            worker = TileWorker(self.executor.device)
            for layer, spec, blocks in host.plan.parts:
                worker.host(layer, spec, blocks)
            for frames in host.history.again(range(host.sent + 1)):
                with contextlib.suppress(CrossgridError):  # whoever sent it was told, or will be
                    worker.handle(decode(frames, REQUESTS).content)
            host.recalled = worker
        reply: Any = host.recalled.handle(message)
        return reply
