"""Large frames are read where ZeroMQ received them, and let go only where signals wait."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

zmq = pytest.importorskip("zmq", reason="ZeroMQ comes with an extra: pip install 'crossgrid[ray]'")

from crossgrid.emulator.tiles.messages import REQUESTS, WriteWeights  # noqa: E402
from crossgrid.emulator.wire.lent import Lent  # noqa: E402
from crossgrid.emulator.wire.letters import COPY_BYTES, Letter, receive, send  # noqa: E402


def sent_and_received(folder: Path, lent: Lent, w: list[np.ndarray]) -> list[np.ndarray]:
    """The arrays of a message after its way through a socket."""
    context = zmq.Context.instance()
    push: Any = context.socket(zmq.PUSH)
    pull: Any = context.socket(zmq.PULL)
    try:
        pull.bind(f"ipc://{folder}/socket")
        push.connect(f"ipc://{folder}/socket")
        send(push, Letter(WriteWeights(0, tuple(range(len(w))), w), 1, True))
        got: list[np.ndarray] = receive(pull, REQUESTS, lent).content.w
        return got
    finally:
        push.close()
        pull.close()


def test_a_large_array_keeps_its_frame_as_long_as_anything_looks_at_it(tmp_path: Path) -> None:
    rng, lent = np.random.default_rng(0), Lent()
    large = rng.normal(size=(300, COPY_BYTES // 600)).astype(np.float32)
    small = rng.normal(size=(3, 5)).astype(np.float32)
    got = sent_and_received(tmp_path, lent, [large, small, large[::2]])
    assert [a.tobytes() for a in got] == [a.tobytes() for a in (large, small, large[::2])]
    assert all(a.flags.aligned and a.flags.writeable and a.flags.c_contiguous for a in got)
    assert len(lent) == 1, "half of the large one fits the first frame"
    row = got[0][7]
    del got
    gc.collect()
    lent.give_back()
    assert len(lent) == 1
    np.testing.assert_array_equal(row, large[7])
    del row
    gc.collect()
    assert len(lent) == 1, "let go here, its memory would be given back in a destructor"
    lent.give_back()
    assert len(lent) == 0
