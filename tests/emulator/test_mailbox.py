"""The driver's mailbox: closing it while somebody waits."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from crossgrid.emulator.actors.actor import Flow
from crossgrid.emulator.actors.mailbox import Mailbox
from crossgrid.emulator.errors import BackendError


def test_closing_ends_all_who_wait(tmp_path: Path) -> None:
    """A scrape of the metrics may wait for an actor that stands still while the run ends.

    ZeroMQ aborts the process where a socket is closed while another thread receives on it.
    """
    mailbox = Mailbox(str(tmp_path), [Flow(4, 1 << 16)], "node", alone=True, sent=lambda actor: 1)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(mailbox.take, actor, 1, 30.0) for actor in range(2)]
        time.sleep(0.2)
        mailbox.close()
        for reply in waiting:
            with pytest.raises(BackendError, match="has ended"):
                reply.result(timeout=5)
    with pytest.raises(BackendError, match="has ended"):
        mailbox.take(0, 2, 1.0)
    mailbox.receive_waiting(0.01)
